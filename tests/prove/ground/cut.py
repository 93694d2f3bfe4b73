"""The end of a connection without a word."""

from __future__ import annotations

import asyncio
import socket
import struct


def cut(transport: asyncio.WriteTransport) -> None:
    """RST instead of FIN: what is on its way does not arrive. Nothing, where it has ended already."""
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
