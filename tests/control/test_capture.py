"""The command `capture`: what it tells, whom it refuses, and that it never waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from smppbridge.control.capture import Capture, Watch
from smppbridge.control.listener import Refused
from smppbridge.control.protocol import Lost, Order, Over, Reply, Welcome
from smppbridge.smpp.tap import Seen, Taps


def seen(number: int) -> Seen:
    return Seen(
        at=number, link=1, account="demo", peer="a:1", local="b:2", received=True, offset=0, beside=0, octets=b"\0" * 16
    )


class Caller:
    """A caller that has room as the test says."""

    def __init__(self) -> None:
        self.pid, self.uid = 1, 2
        self.has_room = True
        self.said: list[Reply] = []
        self.gone = asyncio.Event()

    def say(self, reply: Reply) -> None:
        self.said.append(reply)

    async def enough(self) -> None:
        await self.gone.wait()


def capture(taps: Taps, caller: Any, **fields: Any) -> Any:
    return Capture(taps, lambda: {"demo"})(Order(command="capture", **fields), caller)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"account": "shop"}, "there is no account 'shop'"),
        ({"peer": "example.com"}, "example.com is no address such as 192.0.2.7, and no network such as 192.0.2.0/24"),
        ({"peer": "10.0.0.1/8"}, "10.0.0.1/8 is no address"),
    ],
)
def test_what_is_refused(fields: dict[str, str], reason: str) -> None:
    async def work() -> None:
        with pytest.raises(Refused, match=reason):
            await capture(Taps({}), Caller(), **fields)

    asyncio.run(work())


def test_it_watches_until_the_caller_has_enough() -> None:
    async def work() -> None:
        link: Any = SimpleNamespace(
            id=1, account="demo", peer="192.0.2.7:1", local="192.0.2.1:2", session=SimpleNamespace(tap=None)
        )
        taps, caller = Taps({1: link}, lambda: 5), Caller()
        with structlog.testing.capture_logs() as logged:
            running = asyncio.create_task(capture(taps, caller, account="demo", peer="192.0.2.0/24"))
            await asyncio.sleep(0)
            link.session.tap.received(bytes(16))
            caller.gone.set()
            await running
        assert link.session.tap is None
        assert [type(reply) for reply in caller.said] == [Welcome, Seen, Over]
        assert [(line["event"], line.get("told")) for line in logged] == [("capture begun", None), ("capture ended", 1)]

    asyncio.run(work())


def test_a_caller_hears_the_end_also_when_the_gateway_stops() -> None:
    async def work() -> None:
        taps, caller = Taps({}), Caller()
        running = asyncio.create_task(capture(taps, caller))
        await asyncio.sleep(0)
        running.cancel()
        await running
        assert caller.said[-1] == Over(reason="the gateway stops")

    asyncio.run(work())


def test_what_there_is_no_room_for_is_counted_and_told() -> None:
    async def work() -> None:
        caller: Any = Caller()
        watch = Watch(caller, "", ())
        for number in range(7):
            caller.has_room = number not in (1, 2, 4)
            watch.take(seen(number))
        assert [reply.at if isinstance(reply, Seen) else reply for reply in caller.said] == [
            0,
            Lost(pdus=2),
            3,
            Lost(pdus=3),
            5,
            6,
        ]
        assert (watch.told, watch.lost) == (4, 3)

    asyncio.run(work())
