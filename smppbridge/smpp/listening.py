"""Listening sockets, their certificates, and who is at the other end."""

from __future__ import annotations

import asyncio
import socket
import ssl

from ..config import Tls, address

#: The backlog of a listener: a thousand clients come back at once after a restart.
BACKLOG = 1024


class ListenFailed(OSError):
    """A listener could not be opened; says which one and why."""


async def open_socket(listen: str) -> socket.socket:
    """Open a listening socket. What is set on it holds for every connection it accepts."""
    host, port = address(listen)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        sock = socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenFailed(f"cannot listen on {listen}: {error.strerror or error}") from error
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"certificate {tls.certificate} with key {tls.key} cannot be used: {error}") from error


def peer_of(transport: asyncio.Transport) -> str:
    return _joined(transport.get_extra_info("peername"))


def local_of(transport: asyncio.Transport) -> str:
    return _joined(transport.get_extra_info("sockname"))


def _joined(name: object) -> str:
    return join_address(*name[:2]) if isinstance(name, tuple) else ""


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
