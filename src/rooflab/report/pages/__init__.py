"""Answers as one HTML file each, without network, light and dark, readable when printed.

It knows results, the chart kit, and the templates in `templates/`, which escape whatever is put into them.
Start with `plan`, and `render` for how a page is made.
"""
