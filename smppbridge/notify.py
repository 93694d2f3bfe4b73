"""Tells systemd how we are: ready, reloading, stopping, still alive (sd_notify(3)).

Without systemd ($NOTIFY_SOCKET is not set) everything here does nothing. Nothing here ever raises: a lost notice must
not stop a gateway that works. What can go wrong: a loop that hangs for `WatchdogSec` sends no WATCHDOG=1, and systemd
ends the process with SIGABRT and starts it again; that is what the watchdog is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self


class Notifier:
    """The way to systemd, open while it is used as a context."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self._watchdog = _watchdog_seconds(environ)

    def __enter__(self) -> Self:
        if self._address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A full queue must not hold the loop up: a notice more or less does not matter.
            self._socket.setblocking(False)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'nobody'} watchdog={self._watchdog}>"

    def ready(self) -> None:
        """Clients can bind. Also says that a reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Nothing new is taken any more."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    async def watch(self) -> None:
        """Say "alive" twice in each `WatchdogSec`, as sd_watchdog_enabled(3) advises, for as long as the loop turns."""
        while self._socket is not None and self._watchdog:
            self.alive()
            await asyncio.sleep(self._watchdog / 2)

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        # An address that begins with @ is in the abstract namespace: its first octet is a NUL (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError):
            self._socket.sendto(message.encode(), address)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """WatchdogSec as systemd tells it, 0 where it watches nobody, or another process than this one."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    told = environ.get("WATCHDOG_USEC", "")
    return int(told) / 1_000_000 if told.isascii() and told.isdigit() else 0
