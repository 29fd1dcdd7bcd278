"""Which papers of the feed: options that its listings share."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["filters"]


def filters(function: Any) -> Any:
    """Give a command the options `kind`, `saves`, `day` and `runnable`."""
    function = click.option("--runnable", is_flag=True, help="Only papers that can be run.")(function)
    function = click.option("--day", default="", metavar="DATE", help="Of a day, or the beginning of one: 2024-08.")(
        function
    )
    function = click.option(
        "--saves", default="", metavar="RESOURCE", help="That save a resource: memory, energy, money, ..."
    )(function)
    return click.option("--kind", default="", metavar="KIND", help="Of a kind: serving, quantization, training, ...")(
        function
    )
