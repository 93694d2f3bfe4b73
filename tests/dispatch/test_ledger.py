"""The promises, whatever happens: one end for every message, and no message sent again that may have been processed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

import httpx
import pytest

from pdu import MessageState
from smppbridge.lifecycle import FINAL_STATES, Began, Cancelled
from smppbridge.model import Message, Stage, StatusReport
from smppbridge.providers.base import WhenInDoubt
from smppbridge.store.base import StoreFailed

Make = Callable[..., Message]
SECOND, HOUR = 1000, 3_600_000
COUNT = 12
#: From this turn on nothing goes wrong any more.
QUIET = 45

#: What leaves doubt behind, and what may follow it.
DOUBT = ("doubt", "read error", "not JSON", "hang")
ANSWERS = ["sent", "refused", "unable", "unable", "temporary", "later", "everything", "no connection", "busy", *DOUBT]


def answer(word: str, count: int) -> Any:
    match word:
        case "hang":
            return asyncio.Event().wait()
        case "read error":
            return httpx.ReadError("cut")
        case "no connection":
            return httpx.ConnectError("refused")
        case "not JSON":
            return httpx.Response(200, text="<html>")
        case "busy":
            return httpx.Response(503, headers={"retry-after": "3"})
        case _:
            return word


class Witness:
    """Sees every request, and what was answered."""

    def __init__(self, provider: Any, words: list[str]) -> None:
        self.provider = provider
        self.words = words
        self.seen: list[tuple[str, int, str]] = []

    def watch(self, log: list[tuple[str, int, str]]) -> None:
        async def meanwhile(ids: list[int]) -> None:
            word = self.words.pop(0) if self.words else "sent"
            log.extend((self.provider.name, id, word) for id in ids)
            self.provider.replies.insert(0, answer(word, len(ids)))

        self.provider.meanwhile = meanwhile


@pytest.mark.parametrize("seed", range(120))
def test_whatever_happens(road: Any, told: Any, message: Make, seed: int) -> None:
    dice = Random(seed)  # noqa: S311
    words = [dice.choices(ANSWERS, k=dice.randrange(5, 40)) for _ in "ab"]
    policies = [dice.choice(list(WhenInDoubt)) for _ in "ab"]
    asked = dice.choices(["nothing", "enroute", "delivered", "unknown", "not found"], k=10)
    crashes = [dice.randrange(40) for _ in range(dice.randrange(4))]
    failures = {dice.randrange(60) for _ in range(dice.randrange(6))}
    called_back = [(dice.randrange(40), dice.randrange(1, COUNT + 1)) for _ in range(dice.randrange(5))]
    batch = dice.choice([1, 4])
    # When and in which turn of the loop within it a client cancels which message.
    cancels = [
        (dice.randrange(1, 12), dice.randrange(200), dice.randrange(1, COUNT + 1)) for _ in range(dice.randrange(9))
    ]
    log: list[tuple[str, int, str]] = []
    receipts: list[Any] = []
    #: How many requests had been seen when it was cancelled.
    cancelled: dict[int, int] = {}

    async def cancel(r: Any, after: int, id: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        found = await r.store.find(id)
        recalled = r.dispatcher.recall([found])
        try:
            [applied] = await r.store.apply([Cancelled(id=id, recalled=bool(recalled), reason="test")], r.clock())
        except StoreFailed:
            for one in recalled:
                r.dispatcher.offer(one)
            return
        if applied.ended:
            cancelled[id] = len(log)
            receipts.append(applied.receipt)

    def provider(place: int) -> Any:
        return told("ab"[place], when_in_doubt=policies[place], ask_batch=3 if place else 0, batch=batch)

    async def work() -> None:
        store, clock, calls = None, None, 0
        stages: dict[int, Any] = {}
        left = [list(word) for word in words]

        def fails(changes: Any) -> bool:
            nonlocal calls
            calls += 1
            return calls in failures

        def make() -> Any:
            a, b = provider(0), provider(1)
            r = road(
                a,
                b,
                config={name: {"grace": 60, "retry_max": 40, "poll_max": 60} for name in "ab"},
                store=store,
                store_pause=0.001,
            )
            for one, rest in zip((a, b), left, strict=True):
                Witness(one, rest).watch(log)
            b.answers_to_ask = list(asked)
            r.store.fails = fails
            if clock is not None:
                r.clock.now = clock.now
            r.receipts = receipts
            return r

        turn = 0
        # A request that hangs holds its place until a crash, so there is one in the end.
        lives = [*sorted(crashes), *([QUIET] if "hang" in words[0] + words[1] else []), None]
        for life, end in enumerate(lives):
            r = make()
            async with r:
                store, clock = r.store, r.clock
                while True:
                    try:
                        await r.dispatcher.start()
                        break
                    except StoreFailed:
                        await asyncio.sleep(0)
                if life == 0:
                    await r.accept(
                        *(message(id, expires=r.clock.now + HOUR, priority=id % 2) for id in range(1, COUNT + 1))
                    )
                while end is None or turn < end:
                    turn += 1
                    if turn == QUIET:
                        left[0].clear()
                        left[1].clear()
                        failures.clear()
                    asked_for = [
                        asyncio.create_task(cancel(r, after, id)) for when, after, id in cancels if when == turn
                    ]
                    await r.pass_time(20 * SECOND if turn < 60 else 600 * SECOND)
                    await asyncio.gather(*asked_for)
                    if r.dispatcher.halted:
                        await asyncio.sleep(0.002)
                    for when, id in called_back:
                        if when == turn:
                            report = StatusReport(state=list(FINAL_STATES)[id % 3], id=id)
                            with contextlib.suppress(StoreFailed):
                                await r.dispatcher.report("a", [report])
                    stages = {id: await r.progress(id) for id in range(1, COUNT + 1)}
                    if all(one.stage is Stage.FINAL for one in stages.values()) or turn > 200:
                        break
                await r.dispatcher.close(0)

        # Every message has one end, and its receipt.
        assert {id: one.stage for id, one in stages.items()} == dict.fromkeys(stages, Stage.FINAL)
        assert sorted(one.message.id for one in receipts) == list(range(1, COUNT + 1))
        assert all(one.state is stages[one.message.id].state for one in receipts)

        # What was cancelled was not sent afterwards, by nobody and on no account.
        for id, seen in cancelled.items():
            assert stages[id].state is MessageState.DELETED
            assert id not in [one for _, one, _ in log[seen:]]
            assert not {word for _, one, word in log if one == id} & {"sent", "refused"} or len(lives) > 1

        policy = dict(zip("ab", policies, strict=True))
        began = [(c.provider, c.id) for c in store.applied if isinstance(c, Began)]
        for id in stages:
            mine = [(name, word) for name, one, word in log if one == id]
            assert len(mine) <= sum(one == id for _, one in began), "nothing is sent that is not written down"
            for place, (name, word) in enumerate(mine):
                later = mine[place + 1 :]
                if word in ("sent", "refused"):
                    # Unless it could not be written down before a crash.
                    assert not later or len(lives) > 1
                elif word in DOUBT and later:
                    assert policy[name] is not WhenInDoubt.GIVE_UP, (id, mine)
                    if policy[name] is WhenInDoubt.REPEAT:
                        assert {other for other, _ in later} == {name}, (id, mine)

    asyncio.run(work())
