"""Listening sockets, what is accepted on them, and who is at the other end.

Connections are accepted here and not by asyncio's own server, because something may have to happen on them before there
is a link: they are counted, a balancer's header is read, and the handshake of TLS tells how it failed (`arriving`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

import structlog

from ..config import Listener, address
from .tls import context_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: The backlog of a listener: a thousand clients come back at once after a restart.
BACKLOG = 1024
#: Connections accepted in one turn of the loop, so that a flood of them leaves time for those who are there.
_AT_ONCE = 64
#: Seconds without accepting when the process or the machine has no descriptor or memory left.
_PAUSE = 1.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: What helps where an address cannot be had.
_ADVICE = {
    errno.EADDRINUSE: "stop the program that has it (ss -ltnp names it), or choose another port",
    errno.EACCES: "a port below 1024 needs CAP_NET_BIND_SERVICE, or choose another port",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address; 0.0.0.0 and [::] stand for all",
}


class ListenFailed(OSError):
    """A listener could not be opened; says which one, why, and what to do."""

    @classmethod
    def of(cls, listen: str, error: OSError) -> ListenFailed:
        # Those of names that nobody knows are below zero, and mean nothing to the system. What asyncio and
        # `socket.create_server` say of the others names the address once more.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        advice = _ADVICE.get(number)
        return cls(f"cannot listen on {listen}: {reason}" + (f"; {advice}" if advice else ""))


class Port:
    """One listening socket: tells `taken` of every connection with its socket and the address of its other end."""

    def __init__(self, listener: Listener, taken: Taken) -> None:
        self.listener = listener
        #: What a connection that comes now gets; None is plain.
        self.context = None if listener.tls is None else context_of(listener.tls)
        #: Where it listens, as "host:port", once opened.
        self.address = ""
        self._taken = taken
        self._socket: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Port {self.address or self.listener.listen}{' TLS' if self.context else ''}>"

    async def open(self) -> None:
        """Listen. Raises ListenFailed."""
        self._socket = await open_socket(self.listener.listen)
        self.address = join_address(*self._socket.getsockname()[:2])
        self._listen()

    def close(self) -> None:
        """Take no connection any more."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _listen(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        listening = self._socket
        for _ in range(_AT_ONCE):
            if listening is None:
                return
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    log.warning("accept failed", address=self.address, reason=error.strerror)
                    return
                log.error("accept failed", address=self.address, reason=error.strerror, pause=_PAUSE)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                self._pause = loop.call_later(_PAUSE, self._listen)
                return
            sock.setblocking(False)
            self._taken(self, sock, name)


#: Called with the port, the socket and the name of its other end.
Taken: TypeAlias = Callable[[Port, socket.socket, Any], None]


async def open_socket(listen: str) -> socket.socket:
    """Open a listening socket. What is set on it holds for every connection it accepts."""
    host, port = address(listen)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        sock = socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenFailed.of(listen, error) from error
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def peer_of(transport: asyncio.Transport) -> str:
    return _joined(transport.get_extra_info("peername"))


def local_of(transport: asyncio.Transport) -> str:
    return _joined(transport.get_extra_info("sockname"))


def _joined(name: object) -> str:
    return join_address(*name[:2]) if isinstance(name, tuple) else ""


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
