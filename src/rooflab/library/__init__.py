"""The papers that can be run, on shelves by what they are about; found by entry point, imported by nobody.

Each file knows the contract in `rooflab.papers`, the engines through its lab, and no other paper.
Start with the shelf `serving`; docs/how-to/add-a-paper.md says how another is added.
"""
