"""Papers about serving: every module here is one paper and is named as its key."""
