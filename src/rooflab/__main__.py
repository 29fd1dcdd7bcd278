"""``python -m rooflab``."""

from rooflab.cli.main import main

main()
