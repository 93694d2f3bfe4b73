"""Journeys over several legs: one message, one end, and never a second channel while the first may still deliver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest

from pdu import MessageState
from smppbridge.config import LegConfig, Route
from smppbridge.dispatch.cascade import Leg, can_go_as, told_by
from smppbridge.dispatch.routing import NOT_SUPPORTED, Router
from smppbridge.ids import EPOCH, IdGenerator
from smppbridge.lifecycle import FINAL_STATES, Began, Settled
from smppbridge.model import LEG, Kind, Message, Onward, Sms, Social, Stage, StatusReport, Viber
from smppbridge.providers.base import WhenInDoubt
from smppbridge.store.sqlite import SqliteStore

Make = Callable[..., Message]
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
DELIVERED, UNDELIVERABLE, ENROUTE = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.ENROUTE


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def cascade(*, first: Sequence[str] = ("a",), second: Sequence[str] = ("b",), **more: Any) -> list[Route]:
    """Viber for a minute, then SMS."""
    legs = (
        LegConfig(kind="viber", providers=tuple(first), wait=60, **more),
        LegConfig(kind="sms", providers=tuple(second), source="SHOP"),
    )
    return [Route(cascade=legs)]


def of(provider: str, state: MessageState, leg: int = 0) -> StatusReport:
    return StatusReport(state=state, ref=f"{provider}-{1 + leg * LEG}")


# Legs, views and numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind", "seen"),
    [
        (Sms(text="hello", flash=True, comment="order 7"), Kind.VIBER, Viber(text="hello", comment="order 7")),
        (Viber(text="hello"), Kind.SMS, Sms(text="hello")),
        (Sms(text="hello"), Kind.SOCIAL, Social(text="hello")),
        (Sms(text="hello", flash=True), Kind.SMS, Sms(text="hello", flash=True)),
    ],
)
def test_a_leg_sees_the_message_as_it_is_to_go(message: Make, command: Any, kind: Kind, seen: Any) -> None:
    one = message(kind=Kind(type(command).__struct_config__.tag), command=command)
    view = Leg(providers=("a",), kind=kind, source="SHOP").view(one)
    assert (view.kind, view.command, view.source, view.expires) == (kind, seen, "SHOP", one.expires)
    assert (view.id, view.destination, view.progress) == (one.id, one.destination, one.progress)
    begun = msgspec.structs.replace(one, progress=msgspec.structs.replace(one.progress, leg_ends=77))
    view = Leg(providers=("a",), kind=kind).view(begun)
    assert (view.source, view.expires) == (one.source, 77)


def test_only_plain_texts_are_made_of_each_other() -> None:
    texts = {Kind.SMS, Kind.VIBER, Kind.SOCIAL}
    for one in Kind:
        for other in Kind:
            assert can_go_as(one, other) is (one is other or {one, other} <= texts)


def test_the_clock_of_a_leg_ends_with_the_validity(message: Make) -> None:
    leg = Leg(providers=("a",), kind=Kind.VIBER, wait=MINUTE, onward=Onward.ALWAYS)
    one = message(expires=5 * MINUTE)
    assert leg.begins(one, "a", MINUTE).leg_ends == 2 * MINUTE
    assert leg.begins(one, "a", 5 * MINUTE - 1).leg_ends == 5 * MINUTE
    assert Leg(providers=("a",), kind=Kind.VIBER).begins(one, "a", MINUTE).leg_ends == 0


@pytest.mark.parametrize("year", [0, 6, 8, 16, 40])
def test_a_number_tells_the_message_and_the_leg(message: Make, year: int) -> None:
    now = EPOCH + year * 365 * DAY
    id = IdGenerator(7, clock=lambda: now).next()
    for leg in range(4 if id + 3 * LEG < 2**63 else 1):
        one = message(id)
        number = msgspec.structs.replace(one, progress=msgspec.structs.replace(one.progress, leg=leg)).number
        assert told_by(number, now + HOUR) == (id, leg)


@pytest.mark.parametrize("number", [0, -5, 7, 2**63, 10**40])
def test_a_number_that_is_none_is_left_as_it_is(number: int) -> None:
    assert told_by(number, EPOCH) == (number, 0)


def test_a_report_finds_its_message_after_the_clock_was_put_back(road: Any, told: Any, message: Make) -> None:
    """Ids go on from the highest one, so for as long they look like numbers of a second leg."""

    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            r.clock.now = EPOCH + 8 * 365 * DAY
            ids = IdGenerator(clock=r.clock)
            before = ids.next()
            await r.dispatcher.start()
            await r.accept(message(before, destination="1", expires=r.clock.now + DAY))
            await r.quiet()
            r.clock.now -= 365 * DAY
            after = ids.next()
            await r.accept(message(after, destination="2", expires=r.clock.now + DAY))
            await r.quiet()
            for id in (before, after):
                await r.dispatcher.report("a", [StatusReport(state=DELIVERED, id=id)])
                assert (await r.progress(id)).state is DELIVERED

    run(work)


CARRIES = {"a": frozenset({Kind.VIBER}), "b": frozenset({Kind.SMS}), "all": frozenset(Kind)}


def test_a_decision_names_the_legs_that_a_kind_can_take() -> None:
    route = Route(
        cascade=(
            LegConfig(kind="viber", providers=("a", "all"), wait=60, unknown="next"),
            LegConfig(providers=("b",), wait=1.5),
            LegConfig(kind="sms", providers=("b", "all")),
        )
    )
    router = Router([route], CARRIES)
    assert router.providers == {"a", "b", "all"}
    decision = router.route_of("demo", Kind.SMS, "7", "")
    assert decision.why == (
        "route 1 (everything): viber by a or all for 60 s, then sms by b for 1.5 s, then sms by b or all"
    )
    assert decision.providers == ("a", "all")
    assert [(leg.kind, leg.wait, leg.onward) for leg in decision.legs] == [
        (Kind.VIBER, 60_000, Onward.ALWAYS),
        (Kind.SMS, 1500, Onward.IF_CERTAIN),
        (Kind.SMS, 0, Onward.NO),
    ]
    assert decision.leg(1) is decision.legs[1]
    assert decision.leg(9) is decision.legs[2]
    # b cannot carry Viber as it is: that leg is left out.
    assert [leg.kind for leg in router.route_of("demo", Kind.VIBER, "7", "").legs] == [Kind.VIBER, Kind.SMS]
    refused = router.route_of("demo", Kind.MAIL, "7", "")
    assert (refused.providers, refused.err, refused.legs) == ((), NOT_SUPPORTED, ())
    assert refused.why == "route 1 (everything): mail can go on none of its legs"


def test_the_last_leg_that_is_left_leads_nowhere() -> None:
    route = Route(cascade=(LegConfig(providers=("all",), wait=60), LegConfig(kind="sms", providers=("b",))))
    (leg,) = Router([route], CARRIES).route_of("demo", Kind.MAIL, "7", "").legs
    assert (leg.kind, leg.wait, leg.onward) == (Kind.MAIL, 0, Onward.NO)


# From one leg to the next --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["refused", "unable", "everything"])
def test_what_is_refused_goes_on_at_once(road: Any, told: Any, message: Make, outcome: str) -> None:
    async def work() -> None:
        a, b = told("a", batch=10), told("b", batch=10)
        a.replies = [[outcome, "sent"]]
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert (a.requests, b.requests) == ([[1, 2]], [[1]])
            assert [(one.kind, one.source, one.expires - r.clock.now) for one in (a.views[0], b.views[0])] == [
                (Kind.VIBER, "SENDER", MINUTE),
                (Kind.SMS, "SHOP", DAY),
            ]
            assert await r.told(1) == ["accepted", "next leg", "sent"]
            assert (
                await r.why(1) == f"b has it as b-{1 + LEG} by route 1 (everything): viber by a for 60 s, then sms by b"
            )
            progress = await r.progress(1)
            assert (progress.leg, progress.channel, progress.leg_ends, progress.onward) == (1, "sms", 0, Onward.NO)
            await r.dispatcher.report("b", [of("b", DELIVERED, 1)])
            assert [(one.message.id, one.state) for one in r.receipts] == [(1, DELIVERED)]
            # The other one is on its first leg still, and the message itself is as it came.
            assert (await r.progress(2)).leg == 0
            kept = await r.store.find(1)
            assert (kept.kind, kept.source, type(kept.command)) == (Kind.SMS, "SENDER", Sms)

    run(work)


@pytest.mark.parametrize("by", ["ref", "id"])
def test_a_status_leads_on_without_waiting_for_the_clock(road: Any, told: Any, message: Make, by: str) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            report = of("a", UNDELIVERABLE) if by == "ref" else StatusReport(state=UNDELIVERABLE, id=1)
            await r.dispatcher.report("a", [report])
            await r.quiet()
            assert b.requests == [[1]]
            # By the number of the second leg, or by its reference.
            last = of("b", DELIVERED, 1) if by == "ref" else StatusReport(state=DELIVERED, id=1 + LEG)
            await r.dispatcher.report("b", [last])
            assert [one.state for one in r.receipts] == [DELIVERED]
            assert await r.told(1) == ["accepted", "sent", "next leg", "sent", "final"]
            assert r.dispatcher.stats["held"] == 0

    run(work)


def test_delivered_on_the_first_leg_is_the_end(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.dispatcher.report("a", [of("a", DELIVERED)])
            await r.pass_time(2 * MINUTE)
            progress = await r.progress(1)
            assert (progress.state, progress.channel, b.requests) == (DELIVERED, "viber", [])

    run(work)


def test_the_provider_may_say_by_which_channel_it_delivered(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a")) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert (await r.progress(1)).channel == ""
            await r.dispatcher.report("a", [msgspec.structs.replace(of("a", DELIVERED), channel="whatsapp")])
            assert (await r.progress(1)).channel == "whatsapp"

    run(work)


def test_when_the_leg_is_over_the_provider_is_asked_and_the_answer_decides(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", ask_batch=10), told("b")
        async with road(a, b, routes=cascade(), config={"a": {"poll_first": 45, "poll_max": 45}}) as r:
            a.answers_to_ask = ["enroute"] * 6
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            while (await r.progress(1)).due < r.clock.now + MINUTE - 1:
                await r.pass_time(SECOND)
                if r.clock.now - message(1).accepted_at >= MINUTE:
                    break
            # Not later than with the end of the leg, though the schedule would have it so.
            assert len(a.questions) in (2, 3)
            assert {one.kind for one in a.asked_about} == {Kind.VIBER}
            # Under way is no answer to whether it will be delivered: nothing goes on, however long.
            await r.pass_time(HOUR)
            await r.pass_time(HOUR)
            assert b.requests == []
            assert (await r.progress(1)).stage is Stage.SENT
            a.answers_to_ask = [httpx.Response(200, json=["nothing"])]
            await r.dispatcher.report("a", [of("a", MessageState.EXPIRED)])
            await r.quiet()
            assert b.requests == [[1]]

    run(work)


def test_what_nobody_knows_ends_the_message_and_not_the_leg(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.pass_time(DAY)
            assert await r.stage(1) is Stage.SENT
            await r.pass_time(HOUR)
            assert ((await r.progress(1)).state, b.requests) == (MessageState.UNKNOWN, [])

    run(work)


@pytest.mark.parametrize("policy", list(WhenInDoubt))
@pytest.mark.parametrize("first", ["sent", "doubt"])
@pytest.mark.parametrize("ask_batch", [0, 10])
def test_on_request_it_goes_on_at_the_end_of_the_leg_though_nobody_knows(
    road: Any, told: Any, message: Make, first: str, policy: WhenInDoubt, ask_batch: int
) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=policy, ask_batch=ask_batch), told("b")
        a.replies = [first] + ["doubt"] * 50
        async with road(a, b, routes=cascade(unknown="next")) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.pass_time(MINUTE - 1)
            assert b.requests == []
            await r.pass_time(1)
            await r.pass_time(5 * SECOND)
            assert b.requests == [[1]]
            # What the first leg then says for certain counts all the same, and is told once.
            await r.dispatcher.report("a", [StatusReport(state=DELIVERED, id=1)])
            await r.dispatcher.report("b", [of("b", UNDELIVERABLE, 1)])
            assert [one.state for one in r.receipts] == [DELIVERED]
            assert (await r.told(1))[-2:] == ["final", "late"]

    run(work)


@pytest.mark.parametrize("policy", [WhenInDoubt.REPEAT, WhenInDoubt.ASK, WhenInDoubt.WAIT, WhenInDoubt.GIVE_UP])
def test_what_is_in_doubt_never_goes_on_by_itself(road: Any, told: Any, message: Make, policy: WhenInDoubt) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=policy, ask_batch=10), told("b")
        a.replies = ["doubt"] * 50
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            for _ in range(60):
                await r.pass_time(30 * MINUTE)
            assert b.requests == []
            assert (await r.progress(1)).state is MessageState.UNKNOWN
            assert len(r.receipts) == 1
            # It is repeated to the end of the leg and no longer.
            assert len(a.requests) == 1 or policy is WhenInDoubt.REPEAT

    run(work)


def test_what_the_provider_never_got_goes_on_once_the_leg_is_over(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.ASK, ask_batch=10), told("b")
        a.replies = ["doubt", "doubt"]
        a.answers_to_ask = ["not found"]
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.pass_time(10 * SECOND)
            await r.pass_time(10 * SECOND)
            # Within the leg it is sent again, on this leg.
            assert (a.requests, b.requests) == ([[1], [1]], [])
            a.answers_to_ask = ["nothing"] * 20
            while r.clock.now < message(1).accepted_at + MINUTE - SECOND:
                await r.pass_time(SECOND)
            a.answers_to_ask = ["not found"]
            await r.pass_time(SECOND)
            await r.pass_time(SECOND)
            assert (a.requests, b.requests) == ([[1], [1]], [[1]])
            assert "it may be sent no longer" in (await r.store.timeline(1))[-2].detail

    run(work)


def test_a_busy_provider_is_tried_to_the_end_of_the_leg(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = ["temporary"] * 50
        async with road(a, b, routes=cascade(), config={"a": {"breaker_failures": 100}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            for _ in range(59):
                await r.pass_time(SECOND)
            assert (await r.progress(1)).leg == 0
            tried = len(a.requests)
            assert tried > 2
            await r.pass_time(SECOND)
            await r.pass_time(SECOND)
            assert (len(a.requests), b.requests) == (tried, [[1]])
            assert "not sent before this leg was over" in (await r.store.timeline(1))[-2].detail
            assert r.dispatcher.stats["expired"] == 0

    run(work)


def test_a_message_expires_on_the_leg_that_it_is_on(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = ["temporary"] * 50
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1, expires=r.clock.now + 30 * SECOND))
            for _ in range(31):
                await r.pass_time(SECOND)
            assert ((await r.progress(1)).state, b.requests) == (MessageState.EXPIRED, [])

    run(work)


def test_failover_within_a_leg_comes_first(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b, c = told("a"), told("b"), told("c")
        a.replies = ["unable"]
        c.replies = ["refused"]
        async with road(a, b, c, routes=cascade(first=["a", "c"])) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert (a.requests, c.requests, b.requests) == ([[1]], [[1]], [[1]])
            assert await r.told(1) == ["accepted", "passed on", "next leg", "sent"]
            # Who refused it on the first leg may take it on the second.
            assert (await r.progress(1)).refused_by == ""

    run(work)


def test_the_same_provider_may_have_both_legs(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, routes=cascade(second=["a"])) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.dispatcher.report("a", [of("a", UNDELIVERABLE)])
            await r.quiet()
            assert [one.number for one in a.views] == [1, 1 + LEG]
            assert [one.kind for one in a.views] == [Kind.VIBER, Kind.SMS]
            # The first leg says it again: nothing moves.
            await r.dispatcher.report("a", [of("a", UNDELIVERABLE), StatusReport(state=UNDELIVERABLE, id=1)])
            assert await r.stage(1) is Stage.SENT
            await r.dispatcher.report("a", [of("a", UNDELIVERABLE, 1)])
            assert [one.state for one in r.receipts] == [UNDELIVERABLE]
            assert len(a.requests) == 2

    run(work)


# Where a leg cannot begin --------------------------------------------------------------------------------------------


def test_a_leg_whose_providers_rest_is_passed_over(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = [httpx.ConnectError("refused")]
        async with road(a, b, routes=cascade(), config={"a": {"breaker_failures": 1, "max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert (a.requests, b.requests) == ([[1]], [[2]])
            await r.accept(message(3))
            # What it failed with has not been sent either, and goes on when it would be tried again.
            await r.pass_time(5 * SECOND)
            assert sorted(b.requests) == [[1], [2], [3]]
            assert await r.told(3) == ["accepted", "next leg", "sent"]
            assert "rests" in (await r.store.timeline(3))[-2].detail

    run(work)


def test_a_leg_whose_lane_is_full_waits(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade(), config={"a": {"max_in_flight": 1}}, bound=1) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 1101)))
            for _ in range(20):
                await r.pass_time(SECOND)
            assert b.requests == []
            gate.set()
            for _ in range(20):
                await r.pass_time(SECOND)
            assert sorted(id for (id,) in a.requests) == list(range(1, 1101))
            assert b.requests == []

    run(work)


def test_on_the_last_leg_everything_is_as_without_legs(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies, b.replies = ["refused"], ["unable"]
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.REJECTED, 247)
            assert len(r.receipts) == 1

    run(work)


# What comes late -----------------------------------------------------------------------------------------------------


def test_what_was_delivered_after_all_is_not_sent_again(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade(), config={"b": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            b.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            for id in (2, 1):
                await r.dispatcher.report("a", [StatusReport(state=UNDELIVERABLE, ref=f"a-{id}")])
                await r.quiet()
            # The second leg of the first one stands in the queue behind the other one's.
            assert b.requests == [[2]]
            await r.dispatcher.report("a", [of("a", DELIVERED)])
            gate.set()
            await r.quiet()
            assert b.requests == [[2]]
            progress = await r.progress(1)
            assert (progress.state, progress.provider, progress.channel) == (DELIVERED, "a", "viber")
            assert [(one.message.id, one.state) for one in r.receipts] == [(1, DELIVERED)]
            assert r.dispatcher.stats["held"] == 0

    run(work)


@pytest.mark.parametrize("later", [DELIVERED, UNDELIVERABLE])
def test_both_legs_delivered_is_told_once(road: Any, told: Any, message: Make, later: MessageState) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.dispatcher.report("a", [of("a", UNDELIVERABLE)])
            await r.quiet()
            await r.dispatcher.report("a", [of("a", DELIVERED)])
            await r.dispatcher.report("b", [of("b", later, 1)])
            assert [one.state for one in r.receipts] == [DELIVERED]
            assert (await r.progress(1)).state is DELIVERED

    run(work)


@pytest.mark.parametrize("reply", ["sent", "doubt", "refused", "temporary", "unable"])
@pytest.mark.parametrize("same", [False, True])
def test_a_callback_leads_on_while_the_request_is_under_way(
    road: Any, told: Any, message: Make, reply: str, same: bool
) -> None:
    """The answer comes late then, whatever it is, and the next leg goes out once."""

    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = [reply]
        last = a if same else b
        async with road(a, b, routes=cascade(second=[last.name])) as r:
            gate = asyncio.Event()

            async def overtaken(ids: list[int]) -> None:
                if not gate.is_set():
                    await r.dispatcher.report("a", [StatusReport(state=UNDELIVERABLE, id=1)])
                    await r.quiet()
                    gate.set()

            a.meanwhile = overtaken
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.quiet()
            await r.pass_time(SECOND)
            assert [one.kind for one in a.views + b.views] == [Kind.VIBER, Kind.SMS]
            progress = await r.progress(1)
            assert (progress.stage, progress.leg, progress.ref) == (Stage.SENT, 1, f"{last.name}-{1 + LEG}")
            assert r.dispatcher.stats["held"] == 0
            assert r.receipts == []

    run(work)


@pytest.mark.parametrize("states", [[UNDELIVERABLE], [UNDELIVERABLE, DELIVERED], [DELIVERED, UNDELIVERABLE]])
def test_callbacks_by_reference_that_overtake_the_answer(
    road: Any, told: Any, message: Make, tmp_path: Path, states: list[MessageState]
) -> None:
    """They wait for the answer that brings the reference, and are then applied with it, in their order."""

    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade(), store=SqliteStore(tmp_path / "state.db")) as r:

            async def overtake(ids: list[int]) -> None:
                for state in states:
                    await r.dispatcher.report("a", [of("a", state)])

            a.meanwhile = overtake
            await r.dispatcher.start()
            await r.accept(message(1))
            until = asyncio.get_running_loop().time() + 10
            while (await r.stage(1)) < Stage.SENT or ((await r.progress(1)).provider == "a" and not r.receipts):
                assert asyncio.get_running_loop().time() < until
                await asyncio.sleep(0.001)
            progress = await r.progress(1)
            if DELIVERED in states:
                assert (progress.state, b.requests) == (DELIVERED, [])
                assert [one.state for one in r.receipts] == [DELIVERED]
            else:
                assert (progress.stage, progress.ref, b.requests) == (Stage.SENT, f"b-{1 + LEG}", [[1]])
                # Found by either leg's reference, which is kept in both.
                await r.dispatcher.report("a", [of("a", MessageState.EXPIRED)])
                await r.dispatcher.report("b", [of("b", DELIVERED, 1)])
                assert [one.state for one in r.receipts] == [DELIVERED]
                assert await r.told(1) == ["accepted", "sent", "next leg", "sent", "late", "final"]

    run(work)


def test_what_was_led_on_in_the_queue_of_its_leg_is_taken_from_there(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = ["temporary"]
        async with road(a, b, routes=cascade(), config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.accept(message(2))
            await r.pass_time(5 * SECOND)
            # It waits for its second try when the provider says that the first has failed after all.
            assert await r.stage(1) is Stage.READY
            await r.dispatcher.report("a", [StatusReport(state=UNDELIVERABLE, id=1)])
            await r.pass_time(SECOND)
            assert (a.requests, b.requests) == ([[1], [2]], [])
            gate.set()
            await r.quiet()
            await r.pass_time(SECOND)
            assert (a.requests, b.requests) == ([[1], [2]], [[1]])
            assert await r.told(1) == ["accepted", "again", "next leg", "sent"]
            assert r.dispatcher.stats["held"] == 0

    run(work)


def test_what_was_led_on_while_it_waited_to_be_repeated_is_not_lost(road: Any, told: Any, message: Make) -> None:
    """A repetition that never left the queue has no outcome that would tell of the next leg."""

    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        a.replies = ["doubt"]
        async with road(a, b, routes=cascade(), config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            a.meanwhile = lambda ids: asyncio.Event().wait()
            await r.accept(message(2))
            await r.pass_time(5 * SECOND)
            assert r.dispatcher.stats["providers"]["a"]["queued"] == 1
            await r.dispatcher.report("a", [StatusReport(state=UNDELIVERABLE, id=1)])
            await r.pass_time(SECOND)
            assert b.requests == []
            # The first leg is over, and the repetition leaves the queue of its lane.
            for _ in range(2):
                await r.pass_time(60 * SECOND)
            assert r.dispatcher.stats["providers"]["a"]["queued"] == 0
            assert b.requests == [[1]]

    run(work)


def test_a_question_about_an_earlier_leg_answers_nothing_of_the_next(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", ask_batch=1), told("b")
        async with road(a, b, routes=cascade()) as r:

            async def slowly() -> httpx.Response:
                await r.dispatcher.report("a", [of("a", UNDELIVERABLE)])
                await r.quiet()
                return httpx.Response(200, json=["unknown"])

            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            a.answers_to_ask = [slowly()]
            await r.pass_time(10 * SECOND)
            progress = await r.progress(1)
            assert (progress.leg, progress.stage, progress.state) == (1, Stage.SENT, ENROUTE)
            assert b.requests == [[1]]

    run(work)


# Crashes and reloads -------------------------------------------------------------------------------------------------


REFUSED = Settled(id=1, leg=0, state=MessageState.REJECTED, reason="a: a bad number")


def begun(leg: int, provider: str, now: int) -> Began:
    if leg:
        return Began(id=1, leg=1, provider=provider, channel="sms")
    return Began(id=1, leg=0, provider=provider, channel="viber", leg_ends=now + MINUTE, onward=Onward.IF_CERTAIN)


@pytest.mark.parametrize("leg", [0, 1])
@pytest.mark.parametrize("policy", [WhenInDoubt.REPEAT, WhenInDoubt.ASK, WhenInDoubt.GIVE_UP])
def test_a_crash_in_the_middle_of_a_leg(road: Any, told: Any, message: Make, leg: int, policy: WhenInDoubt) -> None:
    async def work() -> None:
        a, b = (told(name, when_in_doubt=policy, ask_batch=1) for name in "ab")
        a.answers_to_ask = b.answers_to_ask = ["delivered"]
        async with road(a, b, routes=cascade()) as r:
            await r.accept(message(1), offer=False)
            await r.store.apply([begun(0, "a", r.clock.now)], r.clock.now)
            if leg:
                await r.store.apply([REFUSED, begun(1, "b", r.clock.now)], r.clock.now)
            await r.dispatcher.start()
            await r.pass_time(10 * SECOND)
            mine, other = (b, a) if leg else (a, b)
            assert other.requests == []
            match policy:
                case WhenInDoubt.REPEAT:
                    assert mine.requests == [[1]]
                    assert mine.views[0].kind is (Kind.SMS if leg else Kind.VIBER)
                    assert mine.views[0].number == 1 + leg * LEG
                case WhenInDoubt.ASK:
                    assert (mine.requests, mine.questions) == ([], [[1]])
                    assert (await r.progress(1)).state is DELIVERED
                case _:
                    assert (mine.requests, (await r.progress(1)).state) == ([], MessageState.UNKNOWN)

    run(work)


def test_a_crash_between_two_legs_goes_on_with_the_second(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, routes=cascade()) as r:
            await r.accept(message(1), message(2), offer=False)
            await r.store.apply([begun(0, "a", r.clock.now), REFUSED], r.clock.now)
            # One was claimed for it already, one not.
            await r.store.close()
            await r.store.open()
            await r.dispatcher.start()
            await r.quiet()
            assert (a.requests, b.requests) == ([[2]], [[1]])

    run(work)


def test_a_reload_takes_the_next_leg_from_the_new_route(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b, c = told("a"), told("b"), told("c")
        async with road(a, b, c, routes=cascade()) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            r.routes = cascade(second=["c"])
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            await r.dispatcher.report("a", [of("a", UNDELIVERABLE)])
            await r.quiet()
            assert (b.requests, c.requests) == ([], [[1]])
            # A route without legs takes what comes from a leg as it is.
            r.routes = [Route(providers=("b",))]
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            await r.dispatcher.report("a", [StatusReport(state=UNDELIVERABLE, ref="a-2")])
            await r.quiet()
            assert b.requests == [[2]]
            assert (await r.progress(2)).channel == ""
            b_says = StatusReport(state=UNDELIVERABLE, ref=f"b-{2 + LEG}")
            await r.dispatcher.report("b", [b_says])
            assert [(one.message.id, one.state) for one in r.receipts] == [(2, UNDELIVERABLE)]

    run(work)


@pytest.mark.parametrize("by", ["reload", "breaker"])
def test_what_leaves_a_lane_unsent_is_routed_as_it_was_accepted(road: Any, told: Any, message: Make, by: str) -> None:
    """And not as the provider of its leg was to see it: for that source and that kind there is another route."""

    async def work() -> None:
        a, b, c = told("a"), told("b"), told("c")
        own = Route(source=("INFO",), kinds=(Kind.SMS,), cascade=cascade(first=["a", "b"])[0].cascade)
        legs = tuple(leg.model_copy(update={"source": "SHOP"}) for leg in own.cascade)
        routes = [own.model_copy(update={"cascade": legs}), Route(providers=("c",))]
        tables = {"a": {"max_in_flight": 1, "breaker_failures": 1}}
        async with road(a, b, c, routes=routes, config=tables) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            a.replies = [httpx.ConnectError("refused")] if by == "breaker" else []
            await r.dispatcher.start()
            await r.accept(*(message(id, source="INFO") for id in (1, 2, 3)))
            if by == "reload":
                r.tables = {**r.tables, "a": r.tables["a"].model_copy(update={"max_in_flight": 2})}
                r.dispatcher.reload(r.tables, r.router(), r.providers)
            gate.set()
            await r.quiet()
            assert c.requests == []
            assert sorted(id for (id,) in a.requests + b.requests) == [1, 2, 3]
            assert {seen.source for seen in (*a.views, *b.views)} == {"SHOP"}
            assert r.dispatcher.stats["held"] == 0

    run(work)


# Whatever happens ----------------------------------------------------------------------------------------------------

COUNT = 8
REPLIES = ["sent", "sent", "refused", "unable", "temporary", "everything", "doubt"]


@pytest.mark.parametrize("seed", range(80))
def test_whatever_happens_there_is_one_end_and_no_second_channel_in_doubt(
    road: Any, told: Any, message: Make, seed: int
) -> None:
    dice = Random(seed)  # noqa: S311
    policies = [dice.choice(list(WhenInDoubt)) for _ in "ab"]
    script = {
        turn: [
            (dice.choice("ab"), dice.choice(sorted(FINAL_STATES)), dice.randrange(1, COUNT + 1), dice.randrange(2))
            for _ in range(dice.randrange(4))
        ]
        for turn in range(12)
    }
    crashes = {dice.randrange(12) for _ in range(dice.randrange(3))}
    words = {name: dice.choices(REPLIES, k=30) for name in "ab"}
    asked = dice.choices(["nothing", "enroute", "delivered", "unknown", "not found"], k=40)
    log: list[tuple[str, int, Kind, str]] = []

    async def work() -> None:
        store, now, receipts = None, None, []
        turn = 0
        while turn < 90:
            a, b = (told(n, when_in_doubt=p, ask_batch=2, batch=2) for n, p in zip("ab", policies, strict=True))
            grace = {"grace": 60, "retry_max": 20, "poll_max": 60, "breaker_pause": 5}
            r = road(a, b, routes=cascade(), store=store, config={"a": grace, "b": grace})
            r.receipts = receipts
            if now is not None:
                r.clock.now = now
            a.answers_to_ask = asked
            for one in (a, b):

                async def meanwhile(ids: list[int], one: Any = one) -> None:
                    reply = words[one.name].pop(0) if words[one.name] else "sent"
                    one.replies.insert(0, reply)
                    views = {view.id: view for view in one.views}
                    log.extend((one.name, id, views[id].kind, reply) for id in ids)

                one.meanwhile = meanwhile
            async with r:
                store = r.store
                await r.dispatcher.start()
                if not turn:
                    await r.accept(*(message(id, expires=r.clock.now + 10 * MINUTE) for id in range(1, COUNT + 1)))
                while turn < 90:
                    turn += 1
                    for name, state, id, leg in script.pop(turn, ()):
                        found = await r.progress(id)
                        # A provider tells of what it was given, and nothing else.
                        if any(one[:2] == (name, id) for one in log) and leg <= found.leg:
                            known = StatusReport(state=state, id=id + leg * LEG)
                            await r.dispatcher.report("ab"[leg], [known])
                    await r.pass_time(10 * SECOND if turn < 60 else HOUR)
                    now = r.clock.now
                    if turn in crashes:
                        crashes.remove(turn)
                        break
                await r.dispatcher.close(0)
                stages = {id: await r.progress(id) for id in range(1, COUNT + 1)}
                lines = {id: await store.timeline(id) for id in stages}
        assert {one.stage for one in stages.values()} == {Stage.FINAL}
        assert sorted(one.message.id for one in receipts) == list(range(1, COUNT + 1))
        for id in stages:
            events = [entry.event for entry in lines[id]]
            assert events.count("final") == 1
            assert events.count("next leg") <= 1
            # Each provider has its channel, and the second begins only when the first is through.
            mine = [(name, kind, reply) for name, one, kind, reply in log if one == id]
            assert {(name, kind) for name, kind, _ in mine} <= {("a", Kind.VIBER), ("b", Kind.SMS)}
            names = [name for name, _, _ in mine]
            assert names == sorted(names)

    asyncio.run(work())
