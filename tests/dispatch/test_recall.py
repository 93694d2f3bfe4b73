"""Messages are taken back before anybody has begun to send them, and never afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest

from pdu import MessageState
from smppbridge.config import LegConfig, Route
from smppbridge.lifecycle import Began, Cancelled, Change, Doubted
from smppbridge.model import Kind, Message, Millis, Notify, Progress, Sms, Stage, Viber, text_of
from smppbridge.providers.base import WhenInDoubt
from smppbridge.store.base import Applied, Replacement, StoreFailed

from .conftest import Fragile

Make = Callable[..., Message]
READY = Progress(stage=Stage.READY)
BEGUN = Progress(stage=Stage.SENDING, provider="a", attempts=1)
#: One request at a time, so that what comes after the first one waits in the lane.
NARROW = {"a": {"max_in_flight": 1}}
either = pytest.mark.parametrize("progress", [READY, BEGUN])


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


class Gate:
    """Holds up what is at the provider until it is opened."""

    def __init__(self, provider: Any) -> None:
        self._open = asyncio.Event()
        provider.meanwhile = lambda ids: self._open.wait()

    def open(self) -> None:
        self._open.set()


async def cancel(r: Any, *messages: Message) -> list[int]:
    """As a client is served; the ids of those that are cancelled."""
    recalled = {message.id for message in r.dispatcher.recall(messages)}
    changes = [Cancelled(id=message.id, recalled=message.id in recalled, reason="test") for message in messages]
    return [one.message.id for one in await r.store.apply(changes, r.clock()) if one.ended]


async def replace(r: Any, message: Message, text: str = "another") -> Message | None:
    recalled = bool(r.dispatcher.recall([message]))
    put = Replacement(
        id=message.id,
        command=Sms(text=text),
        kind=Kind.SMS,
        registered_delivery=1,
        notify=Notify.SMPP,
        due=r.clock(),
        expires=message.expires,
        recalled=recalled,
    )
    after: Message | None = await r.store.replace(put, r.clock())
    if after is not None:
        r.dispatcher.offer(after)
    return after


@either
def test_what_waits_in_a_lane_is_taken_back_and_not_sent(road: Any, told: Any, message: Make, progress: Any) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        gate = Gate(a)
        async with road(a, config=NARROW) as r:
            await r.dispatcher.start()
            under_way, queued, other = (message(id, progress=progress) for id in (1, 2, 3))
            await r.accept(under_way, queued, other)
            await r.quiet()
            assert r.dispatcher.stats["held"] == 3
            assert await cancel(r, under_way, queued) == [2]
            assert r.dispatcher.stats["held"] == 2
            gate.open()
            await r.quiet()
            assert a.requests == [[1], [3]]
            assert (await r.progress(2)).state is MessageState.DELETED
            assert [await r.stage(id) for id in (1, 3)] == [Stage.SENT] * 2
            assert r.dispatcher.stats["held"] == 0

    run(work)


@either
def test_what_was_offered_a_moment_ago_is_taken_back(road: Any, told: Any, message: Make, progress: Any) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        async with road(a) as r:
            await r.dispatcher.start()
            one, other = message(1, progress=progress), message(2, progress=progress)
            await r.accept(one, other, offer=False)
            r.dispatcher.offer(one)
            r.dispatcher.offer(other)
            assert await cancel(r, one) == [1]
            await r.quiet()
            assert a.requests == [[2]]

    run(work)


@either
def test_what_the_store_would_not_take_back_is_offered_again(
    road: Any, told: Any, message: Make, progress: Any
) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        gate = Gate(a)
        async with road(a, config=NARROW) as r:
            await r.dispatcher.start()
            messages = [message(id, progress=progress) for id in (1, 2)]
            await r.accept(*messages)
            await r.quiet()
            # As it was found on disk, perhaps before it was claimed: it comes back as it stood in the lane.
            found = message(2, stage=Stage.WAITING)
            [recalled] = r.dispatcher.recall([found])
            assert recalled.progress == progress
            assert r.dispatcher.recall([found]) == []
            assert r.dispatcher.offer(recalled)
            gate.open()
            await r.quiet()
            assert a.requests == [[1], [2]]
            assert await r.stage(2) is Stage.SENT

    run(work)


@pytest.mark.parametrize("batch", [1, 10])
def test_what_was_claimed_and_is_in_no_lane_yet_is_not_sent(road: Any, told: Any, message: Make, batch: int) -> None:
    """The store says who was first: what it has ended does not begin, whoever holds it."""

    async def work() -> None:
        a = told("a", batch=batch)
        async with road(a) as r:
            claim = r.store.claim
            ended: list[int] = []

            async def claimed(now: int, wanted: Mapping[str, int]) -> Sequence[Message]:
                messages: Sequence[Message] = await claim(now, wanted)
                if messages:
                    ended.extend(await cancel(r, messages[0]))
                    assert await replace(r, messages[1]) is None
                return messages

            r.store.claim = claimed
            await r.accept(*(message(id, stage=Stage.WAITING) for id in (1, 2, 3)))
            await r.dispatcher.start()
            await r.quiet()
            assert ended == [1]
            assert sorted(id for ids in a.requests for id in ids) == [2, 3]
            assert [view.command.text for view in a.views if view.id == 2] == ["a text nobody may see 2"]
            assert await r.told(1) == ["accepted", "final"]
            assert r.dispatcher.stats["held"] == 0

    run(work)


def test_while_it_is_noted_as_begun_it_is_neither_replaced_nor_sent_after_it_was_cancelled(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        async with road(a) as r:
            await r.dispatcher.start()
            apply, first = r.store.apply, message(1)

            async def beginning(changes: Any, now: int) -> Any:
                if any(isinstance(change, Began) and change.id == 1 for change in changes):
                    assert r.dispatcher.recall([first]) == []
                    assert await replace(r, first) is None
                    [applied] = await apply([Cancelled(id=1, reason="test")], now)
                    assert applied.ended
                return await apply(changes, now)

            r.store.apply = beginning
            await r.accept(first, message(2))
            await r.quiet()
            assert a.requests == [[2]]
            assert (await r.progress(1)).state is MessageState.DELETED

    run(work)


def test_what_may_have_been_sent_is_not_taken_back(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        gate = Gate(a)
        async with road(a, config=NARROW) as r:
            await r.dispatcher.start()
            doubtful = message(2)
            await r.accept(message(1))
            await r.accept(doubtful, offer=False)
            await r.store.apply([Doubted(id=2, provider="a", reason="time-out", look_at=r.clock())], r.clock())
            await r.pass_time(1000)
            assert r.dispatcher.stats["providers"]["a"]["queued"] == 1
            assert await cancel(r, doubtful) == []
            assert await replace(r, doubtful) is None
            gate.open()
            await r.quiet()
            assert a.requests == [[1], [2]]

    run(work)


@either
def test_another_text_goes_in_the_place_of_the_one_that_waits(
    road: Any, told: Any, message: Make, progress: Any
) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        gate = Gate(a)
        async with road(a, config=NARROW) as r:
            await r.dispatcher.start()
            messages = [message(id, progress=progress) for id in (1, 2)]
            await r.accept(*messages)
            await r.quiet()
            assert await replace(r, messages[0]) is None
            assert await replace(r, messages[1]) is not None
            gate.open()
            await r.pass_time(1)
            assert [(view.id, view.command.text) for view in a.views] == [
                (1, "a text nobody may see 1"),
                (2, "another"),
            ]
            assert await r.told(2) == ["accepted", "replaced", "sent"]

    run(work)


def test_in_a_cascade_it_comes_back_as_it_was_accepted(road: Any, told: Any, message: Make) -> None:
    legs = (
        LegConfig(providers=("a",), kind="viber", source="BRAND", wait=60),
        LegConfig(providers=("b",), kind="sms"),
    )

    async def work() -> None:
        a, b = told("a"), told("b")
        gate = Gate(a)
        async with road(a, b, config=NARROW, routes=[Route(kinds=("sms",), cascade=legs)]) as r:
            await r.dispatcher.start()
            messages = [message(id) for id in (1, 2)]
            await r.accept(*messages)
            await r.quiet()
            assert r.dispatcher.recall([messages[1]]) == [messages[1]]
            r.dispatcher.offer(messages[1])
            gate.open()
            await r.quiet()
            assert [(view.id, type(view.command)) for view in a.views] == [(1, Viber), (2, Viber)]

    run(work)


def test_a_probe_that_is_taken_back_lets_another_one_through(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = ["temporary", "temporary"]
        config = {"a": {"max_in_flight": 1, "breaker_failures": 2, "breaker_pause": 10, "retry_first": 100}}
        async with road(a, config=config) as r:
            await r.dispatcher.start()
            await r.accept(message(1, kind=Kind.VIBER), message(2, kind=Kind.VIBER))
            await r.quiet()
            assert r.dispatcher.stats["providers"]["a"]["kinds"]["viber"] == "open"
            gate = Gate(a)
            await r.accept(message(3))
            await r.pass_time(11_000)
            probe, next_one = message(4, kind=Kind.VIBER), message(5, kind=Kind.VIBER)
            await r.accept(probe)
            await r.quiet()
            assert await cancel(r, probe) == [4]
            await r.accept(next_one)
            gate.open()
            await r.quiet()
            assert a.requests[-2:] == [[3], [5]]
            assert r.dispatcher.stats["providers"]["a"]["kinds"]["viber"] == "closed"

    run(work)


# All of it at once ---------------------------------------------------------------------------------------------------


class Crowded(Fragile):
    """A store that takes some turns of the loop for each thing, so that everybody gets in between, and may fail."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.fails = lambda changes: random.random() < 0.05

    async def some_turns(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        await self.some_turns()
        applied = await super().apply(changes, now)
        await self.some_turns()
        return applied

    async def replace(self, replacement: Replacement, now: Millis) -> Message | None:
        await self.some_turns()
        after = await super().replace(replacement, now)
        await self.some_turns()
        return after

    async def claim(self, now: Millis, wanted: Mapping[str, int]) -> Sequence[Message]:
        claimed = await super().claim(now, wanted)
        await self.some_turns()
        return claimed


@pytest.mark.parametrize("seed", range(40))
def test_whoever_comes_when_nothing_goes_out_that_was_cancelled_or_as_it_was_before(
    road: Any, told: Any, message: Make, seed: int
) -> None:
    random = Random(seed)  # noqa: S311
    policy = random.choice([WhenInDoubt.REPEAT, WhenInDoubt.ASK])
    a, b = (told(name, when_in_doubt=policy, batch=random.choice([1, 3])) for name in "ab")
    store = Crowded(random)
    cancelled: set[int] = set()
    texts: dict[int, str] = {}
    wrong: list[Message] = []

    async def is_as_it_should_be(provider: Any, ids: list[int]) -> None:
        latest = {view.id: view for view in provider.views}
        views = [latest[id] for id in ids]
        # When it comes to the provider, and as long as it is there.
        for _ in range(10):
            for view in views:
                right = texts.get(view.id, text_of(message(view.id).command))
                if view.id in cancelled or text_of(view.command) != right:
                    wrong.append(view)
            await asyncio.sleep(0)
        provider.replies.append(random.choice(["sent", "temporary", "unable", "refused", "doubt"]))

    async def take_out(r: Any, id: int) -> None:
        [found] = await store.find_all(id)
        recalled = r.dispatcher.recall([found])
        try:
            [applied] = await store.apply([Cancelled(id=id, recalled=bool(recalled), reason="test")], r.clock())
        except StoreFailed:
            for one in recalled:
                r.dispatcher.offer(one)
        else:
            cancelled.update([id] * applied.ended)

    async def put_in(r: Any, id: int, text: str, turn: asyncio.Lock) -> None:
        async with turn:
            [found] = await store.find_all(id)
            if await replace(r, found, text):
                texts[id] = text

    async def work() -> None:
        narrow = {"max_in_flight": random.choice([1, 2]), "breaker_failures": random.choice([3, 1000])}
        async with road(a, b, config={"a": narrow, "b": narrow}, store=store, store_pause=0) as r:
            for one in (a, b):
                one.meanwhile = partial(is_as_it_should_be, one)
            await r.dispatcher.start()
            turn = asyncio.Lock()
            async with asyncio.TaskGroup() as clients:
                for id in range(1, 31):
                    stored = r.dispatcher.opening("demo", 0, ["a", "b"], cascade=False)
                    await r.accept(message(id, progress=stored or Progress(stage=Stage.WAITING, due=r.clock())))
                    for _ in range(2):
                        one = random.randint(max(1, id - 3), id)
                        asked = take_out(r, one) if random.random() < 0.3 else put_in(r, one, f"text {id}", turn)
                        clients.create_task(asked)
                        await store.some_turns()
                    if random.random() < 0.2:
                        r.clock.now += 5_000
                        r.dispatcher.wake()
            store.fails = lambda changes: False
            for _ in range(5):
                await r.pass_time(600_000)
            assert wrong == []
            assert r.dispatcher.stats["held"] == 0
            for id in range(1, 31):
                progress = await r.progress(id)
                assert progress.stage not in (Stage.READY, Stage.SENDING)
                assert (progress.state is MessageState.DELETED) is (id in cancelled)

    run(work)
