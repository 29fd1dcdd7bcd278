"""What is published of the errors: aims, bounds, misses with their reasons, the accuracy page.

It knows scores; it changes no constant.
Start with `page`, which writes docs/accuracy.md.
"""
