"""One account's backlog at a provider is nobody else's: in memory, on disk, and on the way from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smppbridge.model import Message, Stage
from smppbridge.providers.base import WhenInDoubt

from .conftest import START, run

Make = Callable[..., Message]

#: What a lane holds at least, whatever bound is asked for.
ROOM = 1000


async def pour(r: Any, message: Make, count: int) -> None:
    """An account submits more than memory takes."""
    for id in range(1, count + 1):
        stage = Stage.READY if r.dispatcher.room("many") else Stage.WAITING
        await r.accept(message(id, account="many", stage=stage))
    await r.quiet()
    assert not r.dispatcher.room("many")


def test_a_full_lane_has_room_for_another_account(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=ROOM) as r:
            turns = asyncio.Semaphore(0)
            a.meanwhile = lambda ids: turns.acquire()
            await r.dispatcher.start()
            await pour(r, message, 2 * ROOM)
            assert r.dispatcher.room("few")
            await r.accept(message(9001, account="few"), message(9002, account="few"))
            await r.quiet()
            assert await r.stage(9001) is Stage.READY
            for _ in range(5):
                turns.release()
                await r.quiet()
            # One was on its way; from then on they take turns.
            assert [ids[0] for ids in a.requests[:5]] == [1, 2, 9001, 3, 9002]

    run(work)


def test_what_an_account_has_on_disk_does_not_wait_for_the_backlog_of_another(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=ROOM) as r:
            turns = asyncio.Semaphore(0)
            a.meanwhile = lambda ids: turns.acquire()
            await r.dispatcher.start()
            await pour(r, message, 3 * ROOM)
            # As one that is to be tried again: younger than everything that is due on disk.
            await r.accept(message(9001, account="few", stage=Stage.WAITING, due=START + 500))
            await r.pass_time(500)
            assert await r.stage(9001) is Stage.READY
            assert not r.dispatcher.room("many")
            for _ in range(3):
                turns.release()
                await r.quiet()
            assert [9001] in a.requests[:4]

    run(work)


def test_after_a_restart_accounts_come_from_disk_together(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=ROOM) as r:
            for id in range(1, 3 * ROOM):
                await r.accept(message(id, account="many", stage=Stage.WAITING), offer=False)
            await r.accept(message(9001, account="few", stage=Stage.WAITING), offer=False)
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.quiet()
            assert await r.stage(9001) is not Stage.WAITING

    run(work)


@pytest.mark.parametrize("accounts", [2, 7])
def test_memory_is_bounded_however_many_accounts_flood_it(road: Any, told: Any, message: Make, accounts: int) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=ROOM) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            taken = []
            for account in range(accounts):
                name = f"account {account}"
                for id in range(ROOM * account + 1, ROOM * (account + 1) + 1):
                    room = r.dispatcher.room(name)
                    await r.accept(message(id, account=name, stage=Stage.READY if room else Stage.WAITING))
                    await asyncio.sleep(0)
                await r.quiet()
                taken.append(r.dispatcher.stats["held"])
            # Who comes later gets its fair part; and then there is an end.
            assert taken[:2] == [ROOM, ROOM + ROOM // 2]
            assert taken[-1] <= 2 * ROOM
            gate.set()
            for _ in range(60):
                await r.pass_time(1000)
            assert sorted(id for ids in a.requests for id in ids) == list(range(1, ROOM * accounts + 1))
            assert r.dispatcher.stats["held"] == 0

    run(work)


def test_memory_is_bounded_however_much_is_to_be_repeated(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        async with road(a, config={"a": {"breaker_failures": 10_000}}, bound=ROOM) as r:
            a.replies = ["doubt"] * 3 * ROOM
            await r.dispatcher.start()
            for first in range(1, 3 * ROOM, ROOM // 2):
                await r.accept(*(message(id, account="many") for id in range(first, first + ROOM // 2)))
                while r.dispatcher.stats["held"]:
                    await r.quiet()
            assert a.replies == []
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            applied = len(r.store.applied)
            await r.pass_time(10_000)
            for _ in range(5):
                await r.pass_time(1000)
            assert r.dispatcher.stats["held"] == ROOM
            # What finds no room costs no writing, and stands in nobody's way.
            assert len(r.store.applied) - applied < 100
            await r.accept(message(9001, account="few", stage=Stage.WAITING, due=r.clock.now))
            await r.pass_time(1000)
            assert await r.stage(9001) is Stage.READY
            gate.set()
            for _ in range(20):
                await r.pass_time(1000)
            assert {id for ids in a.requests[3 * ROOM :] for id in ids} == {*range(1, 3 * ROOM + 1), 9001}
            assert len(a.requests) == 6 * ROOM + 1

    run(work)


def test_what_one_account_has_to_be_asked_does_not_hold_up_another(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=100, ask_batch=1)
        async with road(a, config={"a": {"max_in_flight": 1, "poll_first": 10}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id, account="many") for id in range(1, 2001)))
            await r.quiet()
            turns = asyncio.Semaphore(0)

            async def answered() -> str:
                await turns.acquire()
                return "nothing"

            # Those of the first questions take their time.
            a.answers_to_ask = [answered() for _ in range(8)]
            await r.pass_time(10_000)
            under_way = len(a.questions)
            assert 0 < under_way < 4
            await r.accept(message(9001, account="few"))
            await r.quiet()
            await r.pass_time(10_000)
            assert len(a.questions) == under_way
            # It takes some looks past what found no room, and gets in.
            async with asyncio.timeout(20):
                while r.dispatcher.stats["asking"] == 500:
                    await r.quiet()
            for _ in range(8):
                turns.release()
                await r.quiet()
            # From then on they take turns.
            assert [9001] in a.questions[: under_way + 3]
            while r.dispatcher.stats["asking"]:
                await r.quiet()
            assert len({id for ids in a.questions for id in ids}) == 2001

    run(work)
