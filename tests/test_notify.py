from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from smppbridge.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The socket that systemd would listen on, and its address as $NOTIFY_SOCKET tells it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@smppbridge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield listening, name


def test_what_is_told(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        notifier.ready()
        assert listening.recv(100) == b"READY=1"
        notifier.reloading()
        first, second = listening.recv(100).split(b"\n")
        assert first == b"RELOADING=1"
        assert second.startswith(b"MONOTONIC_USEC=")
        assert int(second.partition(b"=")[2]) > 0
        notifier.stopping()
        assert listening.recv(100) == b"STOPPING=1"
        notifier.alive()
        assert listening.recv(100) == b"WATCHDOG=1"


def test_the_watchdog_is_fed_until_cancelled(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd

    async def feed() -> list[bytes]:
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        with Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"}) as notifier:
            watching = loop.create_task(notifier.watch())
            got = [await asyncio.wait_for(loop.sock_recv(listening, 100), 5) for _ in range(3)]
            watching.cancel()
        return got

    assert asyncio.run(feed()) == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "20000"},
        {"NOTIFY_SOCKET": "/not/there"},
        {"NOTIFY_SOCKET": "/not/there", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/not/there", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
    ],
)
def test_without_systemd_nothing_happens(environ: dict[str, str]) -> None:
    with Notifier(environ) as notifier:
        notifier.ready()
        notifier.stopping()
        # Nobody watches, so it ends by itself.
        asyncio.run(asyncio.wait_for(notifier.watch(), 5))


def test_before_and_after_the_context_nothing_is_sent(systemd: tuple[socket.socket, str]) -> None:
    listening, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    with notifier:
        pass
    notifier.ready()
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(100)
