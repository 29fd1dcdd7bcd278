"""`rooflab web`: the pages, for a browser on this machine."""

from __future__ import annotations

import secrets
from typing import Final

import click

__all__ = ["command"]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@click.command("web")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="A name that readers ask for; repeatable.")
@click.option(
    "--token",
    default="",
    metavar="TEXT",
    envvar="ROOFLAB_TOKEN",
    help="What readers must have; made up where others than this machine can ask.",
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Processes that compute.")
@click.option(
    "--seconds", default=120.0, show_default=True, type=click.FloatRange(1, 3600), help="Most that a job may take."
)
def command(*, host: str, port: int, names: tuple[str, ...], token: str, workers: int, seconds: float) -> int:
    """Serve papers, plans and simulations as pages and as JSON until Ctrl-C.

    Anybody on this machine may ask; on another ADDRESS than loopback a token is needed, which the printed address has.
    """
    from rooflab.extras import needed

    with needed("starlette", "the web"), needed("uvicorn", "the web"):
        from rooflab.web.app import Settings
        from rooflab.web.serve import serve
    if host not in _LOOPBACK:
        token = token or secrets.token_urlsafe(24)
    hosts = ("127.0.0.1", "localhost", "[::1]", host, *names)
    settings = Settings(workers=workers, seconds=seconds, token=token, hosts=hosts)
    serve(settings, host, port, lambda address: click.echo(f"{address}   (Ctrl-C stops it)"))
    return 0
