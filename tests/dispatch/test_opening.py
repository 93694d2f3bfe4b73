"""Messages that are stored as begun: to a provider that recognises a repetition, so that nothing need be noted between
storing them and sending them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smppbridge.config import LegConfig, Route
from smppbridge.lifecycle import Began, Postponed
from smppbridge.model import Kind, Message, Progress, Stage, Viber
from smppbridge.providers.base import WhenInDoubt

Make = Callable[..., Message]
BEGUN = Progress(stage=Stage.SENDING, provider="a", attempts=1)


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def begun(message: Make, id: int, provider: str = "a") -> Message:
    return message(id, progress=Progress(stage=Stage.SENDING, provider=provider, attempts=1))


@pytest.mark.parametrize(
    ("policy", "cascade", "answers", "opening"),
    [
        (WhenInDoubt.REPEAT, False, False, BEGUN),
        (WhenInDoubt.REPEAT, True, False, Progress()),
        (WhenInDoubt.REPEAT, False, True, Progress()),
        (WhenInDoubt.ASK, False, False, Progress()),
        (WhenInDoubt.WAIT, False, False, Progress()),
        (WhenInDoubt.GIVE_UP, False, False, Progress()),
    ],
)
def test_who_is_begun_with_at_once(
    road: Any, told: Any, policy: WhenInDoubt, cascade: bool, answers: bool, opening: Progress
) -> None:
    class Answering(type(told("x"))):  # type: ignore[misc]
        def answers(self, message: Message) -> bool:
            return False

    async def work() -> None:
        a = Answering("a", when_in_doubt=policy) if answers else told("a", when_in_doubt=policy)
        async with road(a) as r:
            assert r.dispatcher.opening("demo", 0, ("a",), cascade=cascade) is None
            await r.dispatcher.start()
            assert r.dispatcher.opening("demo", 0, ("a",), cascade=cascade) == opening

    run(work)


def test_what_is_begun_is_sent_without_another_word_to_the_store(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT, batch=10)
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(begun(message, 1), message(2), begun(message, 3))
            await r.quiet()
            assert sorted(id for ids in a.requests for id in ids) == [1, 2, 3]
            assert [change.id for change in r.store.applied if isinstance(change, Began)] == [2]
            for id in (1, 2, 3):
                progress = await r.progress(id)
                assert (progress.stage, progress.attempts) == (Stage.SENT, 1)

    run(work)


def test_no_more_are_begun_than_go_soon(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        gate = asyncio.Event()
        a.meanwhile = lambda ids: gate.wait()
        async with road(a, config={"a": {"max_in_flight": 2}}) as r:
            await r.dispatcher.start()
            await r.accept(*(begun(message, id) for id in range(1, 5)))
            await r.quiet()
            assert len(a.requests) == 2
            assert r.dispatcher.opening("demo", 0, ("a",), cascade=False) == Progress()
            gate.set()
            await r.quiet()
            assert r.dispatcher.opening("demo", 0, ("a",), cascade=False) == BEGUN

    run(work)


def test_a_crash_repeats_them_with_the_same_provider(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        async with road(a, b) as r:
            await r.accept(begun(message, 1), offer=False)
            await r.dispatcher.start()
            assert (await r.progress(1)).stage is Stage.DOUBT
            for _ in range(12):
                await r.pass_time(1000)
            assert (a.requests, b.requests) == ([[1]], [])

    run(work)


def test_another_provider_is_begun_with_before_it_gets_one(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        a.replies = ["everything"]
        gate = asyncio.Event()
        a.meanwhile = lambda ids: gate.wait()
        async with road(a, b, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(begun(message, 1), begun(message, 2))
            await r.quiet()
            gate.set()
            await r.quiet()
            # The first opened a's breaker; the second had not left.
            assert a.requests == [[1]]
            assert sorted(b.requests) == [[1], [2]]
            assert (2, "b") in [(change.id, change.provider) for change in r.store.applied if isinstance(change, Began)]
            assert (await r.progress(2)).provider == "b"

    run(work)


def test_what_has_not_left_at_the_end_is_not_in_doubt(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        a.meanwhile = lambda ids: asyncio.Event().wait()
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(begun(message, 1), begun(message, 2))
            await r.quiet()
            await r.dispatcher.close(0.01)
            assert [change.id for change in r.store.applied if isinstance(change, Postponed)] == [2]
            assert [one.id for one in await r.store.in_doubt(10)] == [1]
            assert (await r.progress(2)).stage is Stage.WAITING

    run(work)


def test_a_route_that_became_a_cascade_begins_its_leg(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        legs = (LegConfig(providers=("a",), kind="viber", wait=60), LegConfig(providers=("b",)))
        async with road(a, b, routes=(Route(cascade=legs),)) as r:
            await r.dispatcher.start()
            await r.accept(begun(message, 1))
            await r.quiet()
            assert a.requests == [[1]]
            progress = await r.progress(1)
            assert (progress.channel, progress.attempts) == ("viber", 2)
            assert progress.leg_ends

    run(work)


def test_a_route_that_became_a_cascade_whose_first_leg_rests_leads_on(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        b.replies = ["everything"]
        legs = (LegConfig(providers=("b",), kind="viber", wait=60), LegConfig(providers=("a",)))
        routes = (Route(kinds=frozenset({Kind.VIBER}), providers=("b",)), Route(cascade=legs))
        async with road(a, b, routes=routes, config={"b": {"breaker_pause": 600}}) as r:
            await r.dispatcher.start()
            await r.accept(message(2, kind=Kind.VIBER, command=Viber(text="opens the breaker of b")))
            await r.quiet()
            await r.accept(begun(message, 1))
            await r.pass_time(1000)
            assert (a.requests, b.requests) == ([[1]], [[2]])
            assert (await r.progress(1)).leg == 1

    run(work)


def test_what_was_offered_just_before_the_end_is_not_in_doubt(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(one := begun(message, 1), offer=False)
            r.dispatcher.offer(one)
            await r.dispatcher.close(0.01)
            assert a.requests == []
            assert await r.stage(1) is Stage.WAITING

    run(work)
