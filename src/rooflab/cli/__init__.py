"""The command line: one module a command under `commands`, imported when it is called.

It knows flags, exit statuses and what goes to which stream; it computes nothing.
Start with `main`, which lists the commands; `scenario_options` gives each of them the fields of a scenario as flags.
"""
