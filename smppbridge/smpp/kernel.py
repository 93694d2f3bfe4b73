"""What only the kernel knows of a connection (tcp(7), poll(2)); elsewhere than on Linux it does not tell."""

from __future__ import annotations

import select
import sys
from enum import Enum

_LINUX = sys.platform.startswith("linux")


class Gone(Enum):
    """What a client has done that is not read from, so that nobody else would notice."""

    #: It says nothing more; what it said before waits to be read.
    HALF_CLOSED = "half-closed"
    RESET = "reset"


def gone(fileno: int) -> Gone | None:
    """Whether the client is there no longer, though not all it said has been read."""
    if fileno < 0 or not _LINUX:
        return None
    poll = select.poll()
    poll.register(fileno, select.POLLRDHUP)
    found = 0
    for _, events in poll.poll(0):
        found |= events
    if found & (select.POLLERR | select.POLLHUP):
        return Gone.RESET
    return Gone.HALF_CLOSED if found & select.POLLRDHUP else None


def unacknowledged(fileno: int) -> int:
    """Octets in the send queue of a socket that the other side has not acknowledged."""
    if fileno < 0 or not _LINUX:
        return 0
    from fcntl import ioctl
    from termios import TIOCOUTQ

    try:
        return int.from_bytes(ioctl(fileno, TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
    except OSError:
        return 0
