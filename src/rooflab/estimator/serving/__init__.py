"""Serving in closed form, one scenario or a hundred thousand at a time.

It knows queues and step prices; columns of arrays rather than objects.
Start with `front.estimate`; `modes` has the three ways of arriving, `answer` what is handed back.
"""
