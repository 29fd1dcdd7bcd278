"""To be described with its first module."""
