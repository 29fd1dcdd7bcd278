"""Serving the site until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from rooflab.errors import InputError
from rooflab.web.app import Settings, application

__all__ = ["serve"]


def serve(settings: Settings, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serve on `host` and `port` (0: any that is free) until Ctrl-C or SIGTERM; `told` hears the address once it
    answers. Raises InputError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen there ({error.strerror or error})", f"--host {host} --port {port}") from None
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}/" + (f"?token={settings.token}" if settings.token else "")

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                told(address)

    config = uvicorn.Config(
        application(settings),
        log_level="warning",
        server_header=False,
        access_log=False,
        limit_concurrency=512,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
    )
    try:
        Server(config).run([listener])
    finally:
        listener.close()
