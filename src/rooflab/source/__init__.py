"""Files that somebody else made, read without trust: bounded, nothing executed, wrong only in one line that says where.

It knows bytes, text, JSON and YAML; it knows none of our data.
Start with `text.content`, which every reader of a file goes through, and `yaml_file.yaml_value`.
"""
