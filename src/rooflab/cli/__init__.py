"""The command line: thin faces over the Python API, no arithmetic."""
