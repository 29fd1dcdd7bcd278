"""Papers about serving: every module here is one paper and is named as its key, every package one with its module
`paper`."""
