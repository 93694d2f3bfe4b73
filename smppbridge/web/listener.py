"""uvicorn in our own loop: our sockets, our signals, our logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Octets that may come one after the other and be no body: a head, or what is between its chunks.
_MOST = 65536


class _Requests(HttpToolsProtocol):
    """Twice as fast as uvicorn's other reader of requests, which however reads no head without end."""

    _unread = 0

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MOST:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The gateway has its own signals."""
        yield


class Listener:
    """One HTTP listener, from bind to close."""

    def __init__(self, server: _Server, task: asyncio.Task[None], address: str) -> None:
        self._server = server
        self._task = task
        self.address = address

    @classmethod
    async def start(cls, web: ASGIApp, listen: str) -> Listener:
        """Listen on "host:port" (port 0: any) and serve. Raises OSError where that is not possible."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, int(port)), family=family)
        sock.setblocking(False)
        # Taken on by every connection: an answer's head and body must not wait 40 ms for each other.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        settings = uvicorn.Config(
            web,
            http=_Requests,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = _Server(settings)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[sock]))
        return cls(server, task, f"{shown}:{sock.getsockname()[1]}")

    async def stop(self) -> None:
        """Finish what is being answered, then close."""
        self._server.should_exit = True
        await self._task
