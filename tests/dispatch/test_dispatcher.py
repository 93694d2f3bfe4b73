"""Journeys from a durable message to its outcome, over the memory store and a provider that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from pdu import MessageState, SubmitSm, VendorTag, encode, tlv
from smppbridge.config import Route
from smppbridge.dispatch import lane
from smppbridge.dispatch.judge import NO_STATUS
from smppbridge.dispatch.routing import NO_ROUTE, NOT_SUPPORTED
from smppbridge.journal import Journal
from smppbridge.lifecycle import Began, Change, Handed, Postponed, Reported, Settled
from smppbridge.model import Incoming, Kind, Message, Notify, Stage, StatusReport, Viber
from smppbridge.providers.base import Callback, Refused, Sent, Unable, WhenInDoubt
from smppbridge.store.base import StoreFailed

Make = Callable[..., Message]
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


# The straight road ---------------------------------------------------------------------------------------------------


def test_what_is_accepted_together_goes_in_one_request(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a", batch=10)) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 6)))
            await r.quiet()
            assert r.providers["a"].requests == [[1, 2, 3, 4, 5]]
            for id in range(1, 6):
                assert (await r.progress(id)).ref == f"a-{id}"
                assert await r.told(id) == ["accepted", "sent"]
            assert r.dispatcher.stats["held"] == 0
            assert r.dispatcher.stats["providers"]["a"]["outcomes"]["sent"] == 5

    run(work)


def test_nothing_is_sent_before_that_is_durable(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            stages: list[Stage] = []

            async def look(ids: list[int]) -> None:
                stages.append(await r.stage(ids[0]))

            a.meanwhile = look
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert stages == [Stage.SENDING]
            assert isinstance(r.store.applied[0], Began)

    run(work)


def test_a_lane_has_so_many_requests_under_way_and_no_more(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 3}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 9)))
            await r.quiet()
            assert a.requests == [[1], [2], [3]]
            assert r.dispatcher.stats["providers"]["a"]["in_flight"] == 3
            assert r.dispatcher.stats["providers"]["a"]["queued"] == 5
            gate.set()
            await r.quiet()
            assert len(a.requests) == 8

    run(work)


def test_a_higher_priority_overtakes(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2), message(3))
            await r.quiet()
            await r.accept(message(4, priority=3), message(5, priority=1))
            gate.set()
            await r.quiet()
            assert a.requests == [[1], [4], [5], [2], [3]]

    run(work)


def test_a_report_that_came_with_the_answer_ends_it(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        report = StatusReport(state=MessageState.DELIVERED)
        a.sent = lambda messages, response: [Sent(ref="x", report=report, cost="1.40", parts=2)]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            progress = await r.progress(1)
            assert (progress.state, progress.ref) == (MessageState.DELIVERED, "x")
            assert (progress.cost, progress.parts) == ("1.40", 2)
            assert [one.state for one in r.receipts] == [MessageState.DELIVERED]

    run(work)


def test_a_rate_is_kept(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=100)
        async with road(a, config={"a": {"rate": 50}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 31)))
            await r.quiet()
            assert len(a.requests) == 1
            assert len(a.requests[0]) == 5
            for _ in range(5):
                await r.pass_time(100)
            assert sum(len(ids) for ids in a.requests) == 30

    run(work)


def test_the_time_line_says_which_route_it_took(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a"), told("b"), routes=[Route(account="demo", providers=("a", "b"))]) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert await r.why(1) == "a has it as a-1 by route 1 (account demo) to a, then b"

    run(work)


# Company -------------------------------------------------------------------------------------------------------------


def test_a_batch_waits_for_company_and_no_longer(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=3)
        async with road(a, config={"a": {"batch_wait": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert a.requests == []
            await r.pass_time(500)
            await r.accept(message(2), message(3))
            await r.quiet()
            # Full: it goes at once. The next one waits from when it came.
            assert a.requests == [[1, 2, 3]]
            await r.accept(message(4))
            await r.quiet()
            await r.pass_time(999)
            assert len(a.requests) == 1
            await r.pass_time(1)
            assert a.requests[1:] == [[4]]

    run(work)


def test_a_full_batch_does_not_wait_for_others_to_fill(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=2, rides_with=lambda message: message.source)
        async with road(a, config={"a": {"batch_wait": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1, source="X"), message(2, source="Y"), message(3, source="Y"))
            await r.quiet()
            assert a.requests == [[2, 3]]
            await r.pass_time(SECOND)
            assert a.requests == [[2, 3], [1]]

    run(work)


def test_what_is_urgent_does_not_wait_for_company(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=3)
        async with road(a, config={"a": {"batch_wait": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.accept(message(2, priority=1))
            await r.quiet()
            assert a.requests == [[2, 1]]

    run(work)


def test_company_comes_by_a_timer_where_nothing_else_happens(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=3)
        async with road(a, config={"a": {"batch_wait": 0.005}}) as r:
            await r.dispatcher.start()
            came = asyncio.Event()

            async def come(ids: list[int]) -> None:
                came.set()

            a.meanwhile = come
            await r.accept(message(1), message(2))
            await r.quiet()
            r.clock.now += 5
            async with asyncio.timeout(5):
                await came.wait()
            assert a.requests == [[1, 2]]

    run(work)


def test_one_message_a_request_waits_for_nobody(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b", batch=9)
        routes = [Route(source=("A",), providers=("a",)), Route(providers=("b",))]
        async with road(a, b, routes=routes, config={"a": {"batch_wait": 1}, "b": {"batch_wait": 1, "batch": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1, source="A"), message(2))
            await r.quiet()
            assert (a.requests, b.requests) == ([[1]], [[2]])

    run(work)


# What it answers, and what stands against it -------------------------------------------------------------------------


class Answering:
    """Mixed into a provider: `A…` are answers to a subscriber's message, `B…` are nothing for it."""

    def answers(self, message: Message) -> bool:
        return message.source.lstrip("+").startswith("7")

    def objection(self, message: Message) -> Refused | Unable | None:
        if message.source == "7401" and not message.progress.answers:
            return Refused(reason="nothing to answer", err=5)
        return Unable(reason="not this source", err=6) if message.source == "BAD" else None


@pytest.fixture
def answering(told: Any) -> Any:
    return type("Answers", (Answering, told), {})


def from_subscriber(ref: str, source: str = "+79990000001") -> Incoming:
    return Incoming(provider="a", ref=ref, source=source, destination="7401", text="yes", at=1)


def test_the_subscribers_message_is_found_before_it_is_answered(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        a = answering("a", batch=10)
        async with road(a) as r:
            await r.store.incoming("demo", from_subscriber("m1"), 1)
            await r.store.incoming("demo", from_subscriber("m2"), 2)
            await r.dispatcher.start()
            await r.accept(
                message(1, source="7401", destination="79990000001"),
                message(2, source="7401", destination="79990000002"),
                message(3),
            )
            await r.quiet()
            # The newest that has no answer; one that has nothing to answer is not sent; the third asks for nothing.
            assert a.requests == [[1, 3]]
            assert [view.progress.answers for view in a.views] == ["m2", ""]
            progress = await r.progress(2)
            assert (progress.state, progress.err) == (MessageState.REJECTED, 5)
            assert r.dispatcher.stats["providers"]["a"]["outcomes"]["refused"] == 1

    run(work)


def test_the_client_may_name_what_it_answers(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        a = answering("a")
        pdu = encode(SubmitSm(sequence_number=1, tlvs=[tlv(VendorTag.INCOMING_ID, "m1")]))
        async with road(a) as r:
            await r.store.incoming("demo", from_subscriber("m1"), 1)
            await r.store.incoming("demo", from_subscriber("m2"), 2)
            await r.dispatcher.start()
            await r.accept(message(1, source="+7401", destination="+79990000001", pdu=pdu))
            await r.quiet()
            assert [view.progress.answers for view in a.views] == ["m1"]
            assert (await r.progress(1)).answers == "m1"

    run(work)


def test_it_answers_the_same_after_a_crash(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        store = None
        for life in range(2):
            a = answering("a", when_in_doubt=WhenInDoubt.REPEAT)
            async with road(a, store=store) as r:
                store = r.store
                if not life:
                    await r.store.incoming("demo", from_subscriber("m1"), 1)
                    a.meanwhile = lambda ids: asyncio.Event().wait()
                    await r.dispatcher.start()
                    await r.accept(message(1, source="7401", destination="79990000001"))
                    await r.quiet()
                    await r.store.incoming("demo", from_subscriber("m2"), 2)
                    await r.dispatcher.close(0)
                else:
                    await r.dispatcher.start()
                    await r.pass_time(60 * SECOND)
                assert [view.progress.answers for view in a.views] == ["m1"]

    run(work)


def test_a_store_that_cannot_find_it_leaves_it_in_its_place(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        a = answering("a")
        async with road(a, store_pause=0.005) as r:
            await r.store.incoming("demo", from_subscriber("m1"), 1)
            find, r.store.answer = r.store.answer, fail
            await r.dispatcher.start()
            await r.accept(message(1, source="7401", destination="79990000001"))
            await r.quiet()
            assert (a.requests, r.dispatcher.stats["halted"]) == ([], True)
            r.store.answer = find
            await asyncio.sleep(0.03)
            await r.quiet()
            assert a.views[0].progress.answers == "m1"

    async def fail(wanted: Any) -> Any:
        raise StoreFailed("the disk is full", temporary=True)

    run(work)


def test_what_it_objects_to_costs_no_request(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        a, b = answering("a", batch=10), answering("b")
        b.objection = lambda message: None
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1, source="BAD"))
            await r.quiet()
            assert (a.requests, b.requests) == ([], [[1]])
            assert await r.told(1) == ["accepted", "passed on", "sent"]
            assert r.dispatcher.stats["providers"]["a"]["requests"] == 0

    run(work)


def test_a_mistake_in_what_it_objects_to_stands_in_nobodys_way(road: Any, answering: Any, message: Make) -> None:
    async def work() -> None:
        a = answering("a", objection=lambda message: 1 / 0)
        a.__dict__["answers"] = lambda message: 1 / 0
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert a.requests == [[1]]

    run(work)


# Schedules, validity, retries ----------------------------------------------------------------------------------------


def test_a_scheduled_message_waits_for_its_time(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a")) as r:
            await r.dispatcher.start()
            await r.accept(message(1, stage=Stage.WAITING, due=r.clock.now + HOUR))
            await r.pass_time(HOUR - 1)
            assert r.providers["a"].requests == []
            await r.pass_time(1)
            assert r.providers["a"].requests == [[1]]

    run(work)


def test_what_was_left_on_disk_is_taken_in_order_of_priority(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            waiting = [message(id, stage=Stage.WAITING, priority=id % 3, due=r.clock.now + id) for id in range(1, 7)]
            await r.accept(*waiting, offer=False)
            await r.dispatcher.start()
            await r.pass_time(10)
            assert a.requests == [[2], [5], [1], [4], [3], [6]]

    run(work)


def test_a_message_that_is_not_sent_in_time_expires(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a")) as r:
            now = r.clock.now
            await r.dispatcher.start()
            await r.accept(message(1, expires=now), message(2, stage=Stage.WAITING, due=now + 5, expires=now + 4))
            await r.pass_time(5)
            assert r.providers["a"].requests == []
            for id in (1, 2):
                assert (await r.progress(id)).state is MessageState.EXPIRED
            assert [(one.message.id, one.state) for one in r.receipts] == [
                (1, MessageState.EXPIRED),
                (2, MessageState.EXPIRED),
            ]

    run(work)


def test_a_message_expires_while_it_waits_for_a_slow_provider(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2, expires=r.clock.now + SECOND), message(3))
            await r.quiet()
            await r.pass_time(SECOND)
            assert (await r.progress(2)).state is MessageState.EXPIRED
            gate.set()
            await r.quiet()
            assert a.requests == [[1], [3]]

    run(work)


def test_what_is_temporary_is_tried_again_later_and_later(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = ["temporary", "temporary"]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            first = await r.progress(1)
            assert first.stage is Stage.WAITING
            assert 2500 <= first.due - r.clock.now <= 5000
            await r.pass_time(first.due - r.clock.now - 1)
            assert len(a.requests) == 1
            await r.pass_time(1)
            second = await r.progress(1)
            assert 5000 <= second.due - r.clock.now <= 10_000
            await r.pass_time(10_000)
            assert await r.told(1) == ["accepted", "again", "again", "sent"]
            assert (await r.progress(1)).attempts == 3

    run(work)


def test_a_retry_ends_with_the_validity(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = ["temporary"]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1, expires=r.clock.now + SECOND))
            await r.quiet()
            await r.pass_time(SECOND)
            assert (await r.progress(1)).state is MessageState.EXPIRED

    run(work)


def test_part_of_a_batch_may_fail(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        a.replies = [["sent", "refused", "temporary", "doubt", "unable", "sent"]]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 7)))
            await r.quiet()
            progress = [await r.progress(id) for id in range(1, 7)]
            assert [one.stage for one in progress] == [
                Stage.SENT,
                Stage.FINAL,
                Stage.WAITING,
                Stage.FINAL,
                Stage.FINAL,
                Stage.SENT,
            ]
            assert [(one.state, one.err) for one in progress if one.stage is Stage.FINAL] == [
                (MessageState.UNDELIVERABLE, 1),
                (MessageState.UNKNOWN, NO_STATUS),
                (MessageState.REJECTED, 247),
            ]
            assert sorted(one.message.id for one in r.receipts) == [2, 4, 5]
            assert r.dispatcher.stats["providers"]["a"]["outcomes"] == {
                "sent": 2,
                "refused": 1,
                "unable": 1,
                "temporary": 1,
                "in_doubt": 1,
            }

    run(work)


def test_a_provider_that_asks_to_wait_is_left_alone(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [httpx.Response(429, headers={"retry-after": "20"})]
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert a.requests == [[1]]
            await r.pass_time(19_999)
            assert a.requests == [[1]]
            await r.pass_time(1)
            assert sorted(a.requests) == [[1], [1], [2]]
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "closed"

    run(work)


def test_a_clock_that_was_put_back_lets_it_wait_no_longer_than_it_asked(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [httpx.Response(429, headers={"retry-after": "20"})]
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            await r.pass_time(-3600 * SECOND)
            await r.pass_time(19_999)
            assert a.requests == [[1]]
            await r.pass_time(1)
            assert a.requests == [[1], [2]]

    run(work)


# Routes and failover -------------------------------------------------------------------------------------------------


def test_a_message_without_a_route_is_rejected(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, routes=[Route(account="demo", destination=("38",), providers=("a",))]) as r:
            await r.dispatcher.start()
            await r.accept(message(1, destination="7999"), message(2, destination="38067"))
            await r.quiet()
            assert a.requests == [[2]]
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.REJECTED, NO_ROUTE)
            assert await r.why(1) == "no route for sms of demo"
            assert r.dispatcher.route_of("demo", Kind.SMS, "7999", "").why == "no route for sms of demo"
            assert r.dispatcher.route_of("demo", Kind.SMS, "38067", "").providers == ("a",)

    run(work)


def test_a_kind_that_nobody_carries_is_rejected(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        # The adapter carries Viber, but the configuration leaves it SMS only.
        async with road(told("a"), config={"a": {"kinds": ["sms"]}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1, kind=Kind.VIBER, command=Viber(text="x")))
            await r.quiet()
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.REJECTED, NOT_SUPPORTED)

    run(work)


def test_what_one_provider_cannot_do_the_next_one_does(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b, c = told("a"), told("b"), told("c")
        a.replies, b.replies = ["unable"], ["unable"]
        async with road(a, b, c) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert (a.requests, b.requests, c.requests) == ([[1]], [[1]], [[1]])
            progress = await r.progress(1)
            assert (progress.provider, progress.refused_by, progress.attempts) == ("c", "a,b", 3)
            assert await r.told(1) == ["accepted", "passed on", "passed on", "sent"]

    run(work)


def test_when_no_provider_is_left_it_is_rejected(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies, b.replies = ["unable"], ["unable"]
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.REJECTED, 247)
            assert "no other provider is left" in await r.why(1)

    run(work)


def test_what_all_have_refused_is_not_tried_again_after_a_crash(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            one = message(1, stage=Stage.WAITING)
            one = msgspec.structs.replace(one, progress=msgspec.structs.replace(one.progress, refused_by="a"))
            await r.accept(one, offer=False)
            await r.dispatcher.start()
            await r.quiet()
            assert a.requests == []
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.REJECTED, NO_ROUTE)

    run(work)


def test_what_is_temporary_stays_with_its_provider(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = ["unable"]
        b.replies = ["temporary"]
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.pass_time(10 * SECOND)
            assert (a.requests, b.requests) == ([[1]], [[1], [1]])

    run(work)


# The breaker ---------------------------------------------------------------------------------------------------------

REFUSED = httpx.ConnectError("refused")


def test_failures_open_the_breaker_and_what_waits_goes_elsewhere(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = [REFUSED] * 2
        async with road(a, b, config={"a": {"breaker_failures": 2, "max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 6)))
            await r.quiet()
            assert a.requests == [[1], [2]]
            assert b.requests == [[3], [4], [5]]
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "open"
            # Those it failed with come again, and go elsewhere too.
            await r.pass_time(5 * SECOND)
            assert sorted(b.requests) == [[1], [2], [3], [4], [5]]

    run(work)


def test_without_another_provider_it_waits_on_disk_until_the_pause_is_over(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [REFUSED] * 2
        async with road(a, config={"a": {"breaker_failures": 2, "max_in_flight": 1, "breaker_pause": 30}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 5)))
            await r.quiet()
            assert not r.dispatcher.room("demo")
            assert r.dispatcher.stats["held"] == 0
            assert "rests" in await r.why(3)
            for _ in range(29):
                await r.pass_time(SECOND)
            assert a.requests == [[1], [2]]
            assert await r.told(3) == ["accepted", "again"]
            # One probe, and when it has gone well all the rest.
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.pass_time(2 * SECOND)
            assert len(a.requests) == 3
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "half-open"
            gate.set()
            await r.quiet()
            for _ in range(30):
                await r.pass_time(SECOND)
            assert sorted(a.requests[2:]) == [[1], [2], [3], [4]]
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "closed"
            assert r.dispatcher.room("demo")

    run(work)


def test_what_comes_after_the_clock_was_put_back_rests_for_one_pause_at_most(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [REFUSED]
        async with road(a, config={"a": {"breaker_failures": 1, "breaker_pause": 30}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            # Nothing has looked at the breaker since.
            r.clock.now -= 3600 * SECOND
            await r.accept(message(2, accepted_at=r.clock.now, expires=r.clock.now + 3600 * SECOND))
            await r.quiet()
            assert r.clock.now < (await r.progress(2)).due <= r.clock.now + 31 * SECOND

    run(work)


@pytest.mark.parametrize("failures", [4, 5])
def test_what_is_in_doubt_is_repeated_when_the_pause_is_over(
    road: Any, told: Any, message: Make, failures: int
) -> None:
    """Not a minute after it was looked at, for by then it may be too old. The breaker opens before anything is
    repeated, or while repetitions stand in the queue."""

    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        a.replies = ["doubt"] * failures
        keys = {"breaker_failures": failures, "max_in_flight": 1, "breaker_pause": 10, "retry_first": 2, "retry_max": 2}
        async with road(a, config={"a": keys}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 5)))
            await r.quiet()
            for _ in range(20):
                await r.pass_time(SECOND)
            assert len(a.requests) == failures + 4
            assert [await r.stage(id) for id in range(1, 5)] == [Stage.SENT] * 4

    run(work)


def test_a_probe_that_fails_costs_one_try_a_pause(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        a.replies = [REFUSED] * 100
        async with road(a, config={"a": {"breaker_failures": 1, "breaker_pause": 30}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 11)))
            await r.quiet()
            assert len(a.requests) == 1
            for _ in range(100):
                await r.pass_time(SECOND)
            # A probe risks one message.
            assert [len(ids) for ids in a.requests] == [10, 1, 1, 1]

    run(work)


def test_the_balance_is_the_probe_where_it_can_be_asked(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [REFUSED]
        a.balances = [["poor"], httpx.Response(502), REFUSED, ["rich"]]
        async with road(a, config={"a": {"breaker_failures": 1, "breaker_pause": 10}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            for asked in range(1, 4):
                await r.pass_time(10 * SECOND)
                assert a.balance_asked == asked
                assert a.requests == [[1]]
            await r.pass_time(10 * SECOND)
            await r.pass_time(SECOND)
            assert a.requests == [[1], [1]]

    run(work)


@pytest.mark.parametrize("balance", [False, True], ids=["a message", "the balance"])
def test_a_clock_that_is_put_back_during_the_probe_does_not_make_it_the_last(
    road: Any, told: Any, message: Make, balance: bool
) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = [REFUSED]
        async with road(a, config={"a": {"breaker_failures": 1, "breaker_pause": 30, "retry_first": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            probe: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            (a.balances if balance else a.replies).append(probe)
            await r.pass_time(30_000)
            assert (a.balance_asked, len(a.requests)) == ((1, 1) if balance else (0, 2))
            await r.pass_time(-3_600_000)
            probe.set_exception(REFUSED)
            await r.quiet()
            await r.accept(message(2))
            for _ in range(3):
                await r.pass_time(30_000)
            assert await r.stage(2) is Stage.SENT
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "closed"

    run(work)


def test_a_provider_that_refuses_everything_is_left_alone_at_once(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        a.replies = ["everything"]
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert a.requests == [[1]]
            # It is nothing about the messages: they wait for somebody to mend the login.
            assert [await r.stage(1), await r.stage(2)] == [Stage.WAITING, Stage.WAITING]
            assert await r.why(1) == "a: wrong login with ***"
            for _ in range(32):
                await r.pass_time(SECOND)
            assert sorted(a.requests) == [[1], [1], [2]]

    run(work)


def test_one_kind_may_fail_while_the_others_go_on(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, config={"a": {"breaker_failures": 2, "max_in_flight": 1, "breaker_pause": 30}}) as r:
            viber = {"kind": Kind.VIBER, "command": Viber(text="x")}
            a.replies = ["doubt", "temporary"]
            await r.dispatcher.start()
            await r.accept(*(message(id, **viber) for id in range(1, 5)))
            await r.quiet()
            # Viber fails over, SMS does not.
            assert (a.requests, b.requests) == ([[1], [2]], [[3], [4]])
            await r.accept(message(5), message(6, **viber))
            await r.quiet()
            assert (a.requests[2:], b.requests[2:]) == ([[5]], [[6]])
            stats = r.dispatcher.stats["providers"]["a"]
            assert (stats["breaker"], stats["kinds"]) == ("closed", {"sms": "closed", "viber": "open"})
            assert r.dispatcher.room("demo", providers=("a",))
            # After the pause one message of the kind is the probe: the others go elsewhere until it is answered.
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            b.requests.clear()
            await r.pass_time(31 * SECOND)
            await r.accept(message(7, **viber), message(8, **viber), message(9))
            await r.quiet()
            assert (a.requests[3:], b.requests) == ([[2]], [[7], [8]])
            assert r.dispatcher.stats["providers"]["a"]["kinds"]["viber"] == "half-open"
            gate.set()
            await r.quiet()
            await r.accept(message(10, **viber))
            await r.quiet()
            assert a.requests[3:] == [[2], [9], [10]]
            assert r.dispatcher.stats["providers"]["a"]["kinds"]["viber"] == "closed"

    run(work)


def test_a_probe_of_a_kind_that_fails_or_never_goes_is_followed_by_another(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        viber = {"kind": Kind.VIBER, "command": Viber(text="x")}
        async with road(a, b, config={"a": {"breaker_failures": 1, "max_in_flight": 1, "breaker_pause": 30}}) as r:
            a.replies = ["doubt", "doubt"]
            await r.dispatcher.start()
            await r.accept(message(1, **viber))
            await r.quiet()
            await r.pass_time(30 * SECOND)
            await r.accept(message(2, **viber))
            await r.quiet()
            assert len(a.requests) == 2
            assert r.dispatcher.stats["providers"]["a"]["kinds"]["viber"] == "open"
            await r.pass_time(30 * SECOND)
            # The next one is deleted while it waits behind an SMS, and proves nothing.
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.accept(message(3), message(4, **viber))
            await r.quiet()
            await r.store.apply([Settled(id=4, state=MessageState.DELETED, reason="by the client")], r.clock.now)
            gate.set()
            await r.quiet()
            await r.accept(message(5, **viber))
            await r.quiet()
            assert a.requests == [[1], [2], [3], [5]]
            assert b.requests == []

    run(work)


def test_a_kind_that_rests_waits_where_nobody_else_takes_it(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        viber = {"kind": Kind.VIBER, "command": Viber(text="x")}
        async with road(a, config={"a": {"breaker_failures": 1, "max_in_flight": 1, "breaker_pause": 30}}) as r:
            a.replies = ["temporary"]
            await r.dispatcher.start()
            await r.accept(*(message(id, **viber) for id in range(1, 4)))
            await r.accept(message(4))
            await r.quiet()
            assert a.requests == [[1], [4]]
            assert await r.why(3) == "a has failed too often and rests"
            for _ in range(40):
                await r.pass_time(SECOND)
            assert sorted(a.requests) == [[1], [1], [2], [3], [4]]

    run(work)


def test_nobody_answering_is_about_every_kind(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"breaker_failures": 2, "max_in_flight": 1, "breaker_pause": 30}}) as r:
            a.replies = [REFUSED, REFUSED, "doubt"]
            await r.dispatcher.start()
            await r.accept(message(1), message(2, kind=Kind.VIBER, command=Viber(text="x")))
            await r.quiet()
            assert r.dispatcher.stats["providers"]["a"]["kinds"] == {"sms": "open", "viber": "open"}
            # Whatever fails while it is probed, it rests on.
            for _ in range(32):
                await r.pass_time(SECOND)
            assert len(a.requests) == 3
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "open"

    run(work)


# Doubt ---------------------------------------------------------------------------------------------------------------

UNCLEAR: list[Any] = [
    httpx.ReadTimeout("x"),
    httpx.ReadError("x"),
    httpx.WriteError("x"),
    httpx.RemoteProtocolError("x"),
    RuntimeError("x"),
    httpx.Response(200, text="not JSON"),
    httpx.Response(200, json=["sent", "sent", "sent"]),
    "doubt",
]
CERTAIN: list[Any] = [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), "temporary"]


@pytest.mark.parametrize("answer", UNCLEAR)
def test_what_may_have_been_processed_is_not_sent_again_by_reflex(
    road: Any, told: Any, message: Make, answer: Any
) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        a.replies = [answer]
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.pass_time(HOUR)
            progress = await r.progress(1)
            assert (progress.state, progress.err) == (MessageState.UNKNOWN, NO_STATUS)
            assert (a.requests, b.requests) == ([[1]], [])
            assert len(r.receipts) == 1

    run(work)


@pytest.mark.parametrize("answer", UNCLEAR)
def test_it_is_sent_again_where_the_provider_recognises_it(road: Any, told: Any, message: Make, answer: Any) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        # Whatever comes next, it stays in doubt, and with this provider.
        a.replies = [answer, "temporary", "unable", "everything", httpx.ConnectError("x")]
        async with road(a, b, config={"a": {"breaker_pause": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            for _ in range(60):
                progress = await r.progress(1)
                assert (progress.stage, progress.ref) == (Stage.DOUBT, "key-1")
                await r.pass_time(10 * SECOND)
                if len(a.requests) == 6:
                    break
            assert (a.requests, b.requests) == ([[1]] * 6, [])
            assert await r.stage(1) is Stage.SENT

    run(work)


@pytest.mark.parametrize("answer", UNCLEAR)
def test_it_is_asked_for_where_the_provider_can_be_asked(road: Any, told: Any, message: Make, answer: Any) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.ASK, ask_batch=10), told("b")
        a.replies = [answer]
        a.answers_to_ask = ["nothing", httpx.ReadTimeout("x"), httpx.Response(200, text="?"), "not found"]
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            for times in range(4):
                progress = await r.progress(1)
                assert (progress.stage, progress.ref, progress.polls) == (Stage.DOUBT, "key-1", times)
                await r.pass_time(progress.due - r.clock.now)
            assert a.questions == [[1]] * 4
            # The provider never got it: only now it is sent again.
            assert a.requests == [[1]]
            assert await r.stage(1) is Stage.WAITING
            await r.pass_time(10 * SECOND)
            assert (a.requests, b.requests) == ([[1], [1]], [])
            assert await r.stage(1) is Stage.SENT

    run(work)


@pytest.mark.parametrize("answer", CERTAIN)
@pytest.mark.parametrize("policy", list(WhenInDoubt))
def test_what_was_certainly_not_processed_is_tried_again(
    road: Any, told: Any, message: Make, answer: Any, policy: WhenInDoubt
) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=policy, ask_batch=1)
        a.replies = [answer]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert await r.stage(1) is Stage.WAITING
            await r.pass_time(5 * SECOND)
            assert a.requests == [[1], [1]]

    run(work)


def test_the_configuration_decides_what_to_do_in_doubt(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        a.replies = ["doubt"]
        async with road(a, config={"a": {"when_in_doubt": "give_up"}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert (await r.progress(1)).state is MessageState.UNKNOWN

    run(work)


@pytest.mark.parametrize(("ask_batch", "questions"), [(0, 0), (1, 1)])
def test_a_message_in_doubt_does_not_expire_it_ends_unknown(
    road: Any, told: Any, message: Make, ask_batch: int, questions: int
) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT, ask_batch=ask_batch)
        a.replies = ["doubt"] * 9
        async with road(a, config={"a": {"grace": 60}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1, expires=r.clock.now + SECOND))
            await r.quiet()
            await r.pass_time(10 * SECOND)
            assert a.requests == [[1]]
            assert await r.stage(1) is Stage.DOUBT
            await r.pass_time(120 * SECOND)
            await r.pass_time(120 * SECOND)
            assert a.requests == [[1]]
            assert len(a.questions) >= questions
            assert (await r.progress(1)).state is MessageState.UNKNOWN

    run(work)


def test_a_message_in_doubt_never_rides_with_others(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT, batch=10)
        a.replies = [httpx.ReadTimeout("x")]
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.accept(message(3))
            await r.quiet()
            await r.accept(message(4), message(5))
            await r.pass_time(5 * SECOND)
            gate.set()
            await r.quiet()
            assert a.requests[:2] == [[1, 2], [3]]
            assert sorted(a.requests[2:]) == [[1, 2], [4, 5]]

    run(work)


# Mistakes of an adapter ----------------------------------------------------------------------------------------------


def test_an_adapter_that_cannot_word_one_message_sends_the_others(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        async with road(a, config={"a": {"breaker_failures": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2, source="POISON"), message(3))
            await r.quiet()
            assert a.requests == [[1, 3]]
            assert [await r.stage(id) for id in (1, 2, 3)] == [Stage.SENT, Stage.WAITING, Stage.SENT]
            assert r.dispatcher.stats["providers"]["a"]["breaker"] == "closed"

    run(work)


def test_a_mistake_is_told_without_the_text_of_a_message(
    road: Any, told: Any, message: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        a = told("a", rides_with=lambda message: 1 / 0, batch=10)
        a.balance = lambda: 1 / 0
        a.replies = [httpx.Response(500, text="a text nobody may see"), RuntimeError("password topsecret")]
        async with road(a, config={"a": {"breaker_failures": 1, "breaker_pause": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2, source="POISON"), message(3))
            await r.quiet()
            await r.pass_time(60 * SECOND)
            await r.pass_time(60 * SECOND)

    run(work)
    said = capsys.readouterr().out
    for word in ("rides_with", "KeyError", "JSONDecodeError", "ZeroDivisionError", "request failed", "***"):
        assert word in said
    for secret in ("nobody may see", "topsecret", "7999"):
        assert secret not in said


def test_each_event_of_a_message_is_a_line_without_its_text(
    road: Any, told: Any, message: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        a.replies = [["sent", "refused", "everything"]]
        async with road(a, journal=Journal(100)) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2), message(3))
            await r.quiet()

    run(work)
    said = [line for line in capsys.readouterr().out.splitlines() if "account=demo" in line]
    assert len(said) == 4
    for line, words in zip(
        said,
        (
            ["final", "id=2", "provider=a", "state=UNDELIVERABLE", "err=1"],
            ["sent", "id=1", "provider=a", "ref=a-1"],
            ["refused", "id=2", "reason='a bad number'"],
            ["unable", "id=3", "reason='wrong login with ***'"],
        ),
        strict=True,
    ):
        assert all(word in line for word in [*words, "kind=sms"]), line
        assert "nobody may see" not in line


def test_an_adapter_without_the_right_number_of_outcomes_leaves_doubt(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=2)
        a.sent = lambda messages, response: [None, None]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert [(await r.progress(id)).state for id in (1, 2)] == [MessageState.UNKNOWN] * 2

    run(work)


# Statuses ------------------------------------------------------------------------------------------------------------


def test_statuses_are_asked_for_in_batches_and_more_and_more_seldom(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=10, ask_batch=2)
        a.answers_to_ask = [["delivered", "enroute"], ["nothing"], ["unknown", "enroute"], ["delivered", "delivered"]]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1), message(2), message(3))
            await r.quiet()
            for wait in (10, 20, 40):
                await r.pass_time(wait * SECOND)
            assert [len(ids) for ids in a.questions] == [2, 1, 2, 2]
            for id in (1, 2, 3):
                assert (await r.progress(id)).state is MessageState.DELIVERED
            assert len(r.receipts) == 3
            assert r.dispatcher.stats["asking"] == 0

    run(work)


def test_a_provider_that_is_slow_to_answer_questions_gets_no_more_than_it_takes(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a", batch=100, ask_batch=1)
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 701)))
            await r.quiet()
            gate = asyncio.Event()

            async def slowly() -> str:
                await gate.wait()
                return "nothing"

            # Half as many at once as there may be requests, of which there may be eight.
            a.answers_to_ask = [slowly() for _ in range(4)]
            await r.pass_time(10 * SECOND)
            assert len(a.questions) == 4
            assert r.dispatcher.stats["asking"] == 500
            gate.set()
            # The others are asked for as soon as there is room, and each once.
            while len(a.questions) < 700 or r.dispatcher.stats["asking"]:
                await r.quiet()
            assert sorted(id for ids in a.questions for id in ids) == list(range(1, 701))

    run(work)


def test_what_waits_to_be_asked_ends_where_a_reload_leaves_nobody_to_ask(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", ask_batch=1)
        async with road(a, config={"a": {"max_in_flight": 2}}) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 4)))
            await r.quiet()
            answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            a.answers_to_ask = [answer] * 2
            await r.pass_time(10 * SECOND)
            assert len(a.questions) == 2
            assert r.dispatcher.stats["asking"] == 3
            b = told("a")
            r.providers, r.tables = {"a": b}, {"a": r.tables["a"].model_copy(update={"timeout": 5.0})}
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            answer.set_result("nothing")
            await r.quiet()
            assert b.questions == []
            assert r.dispatcher.stats["asking"] == 0
            await r.pass_time(DAY + HOUR)
            assert [(await r.progress(id)).state for id in (1, 2, 3)] == [MessageState.UNKNOWN] * 3

    run(work)


def test_what_was_being_asked_at_the_end_is_asked_after_the_next_start(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", ask_batch=1)
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            a.answers_to_ask = [asyncio.Event().wait()]
            await r.pass_time(10 * SECOND)
            assert a.questions == [[1]]
            # Once a second it is looked whether anything is due that is not being asked for.
            for _ in range(3):
                await r.pass_time(SECOND)
            assert a.questions == [[1]]
        b = told("a", ask_batch=1)
        store = r.store
        async with road(b, store=store) as again:
            again.clock.now = r.clock.now
            b.answers_to_ask = ["delivered"]
            await again.dispatcher.start()
            await again.quiet()
            assert (await again.progress(1)).state is MessageState.DELIVERED

    run(work)


def test_without_a_status_it_ends_unknown_when_the_grace_is_over(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", ask_batch=1), told("b")
        routes = [Route(source=("A",), providers=("a",)), Route(providers=("b",))]
        async with road(a, b, routes=routes) as r:
            await r.dispatcher.start()
            await r.accept(message(1, source="A"), message(2, source="B"))
            await r.quiet()
            end = r.clock.now + DAY + HOUR
            while r.clock.now < end:
                assert [await r.stage(id) for id in (1, 2)] == [Stage.SENT, Stage.SENT]
                await r.pass_time(min(900_000, end - r.clock.now))
            for id in (1, 2):
                progress = await r.progress(id)
                assert (progress.state, progress.err) == (MessageState.UNKNOWN, NO_STATUS)
            assert len(a.questions) > 90
            assert (b.questions, a.requests, b.requests) == ([], [[1]], [[2]])

    run(work)


def test_callbacks_are_taken_in_bulk(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=10)
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 4)))
            await r.quiet()
            applied = len(r.store.applied)
            await r.dispatcher.report(
                "a",
                [
                    StatusReport(state=MessageState.DELIVERED, ref="a-1"),
                    StatusReport(state=MessageState.UNDELIVERABLE, id=2, err=6),
                    StatusReport(state=MessageState.ENROUTE, ref="a-3"),
                    StatusReport(state=MessageState.DELIVERED, ref="a-404"),
                ],
            )
            assert len(r.store.applied) == applied + 4
            assert [(one.message.id, one.state) for one in r.receipts] == [
                (1, MessageState.DELIVERED),
                (2, MessageState.UNDELIVERABLE),
            ]
            await r.dispatcher.report("a", [])
            assert len(r.store.applied) == applied + 4

    run(work)


@pytest.mark.parametrize("by", ["ref", "id"])
def test_a_callback_may_overtake_the_answer(road: Any, told: Any, message: Make, by: str) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            report = (
                StatusReport(state=MessageState.DELIVERED, ref="a-1")
                if by == "ref"
                else StatusReport(state=MessageState.DELIVERED, id=1)
            )
            body = msgspec.json.encode([report])
            callback = Callback(method="POST", path="", query=b"", headers={}, body=body, peer="")
            a.meanwhile = lambda ids: a.deliver(callback)
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            progress = await r.progress(1)
            assert (progress.state, progress.ref, progress.attempts) == (MessageState.DELIVERED, "a-1", 1)
            assert [one.state for one in r.receipts] == [MessageState.DELIVERED]

    run(work)


def test_a_callback_for_a_message_that_waits_to_be_repeated_keeps_it_from_that(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a", when_in_doubt=WhenInDoubt.REPEAT)
        a.replies = ["doubt"]
        async with road(a) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.dispatcher.report("a", [StatusReport(state=MessageState.ENROUTE, id=1, ref="a-1")])
            await r.pass_time(60 * SECOND)
            assert a.requests == [[1]]
            assert await r.stage(1) is Stage.SENT

    run(work)


def test_a_message_that_ended_in_the_queue_is_not_sent(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2), message(3))
            await r.quiet()
            await r.store.apply([Settled(id=2, state=MessageState.DELETED, reason="by the client")], r.clock.now)
            gate.set()
            await r.quiet()
            assert a.requests == [[1], [3]]
            assert r.dispatcher.stats["held"] == 0

    run(work)


# The store fails -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_written_down_is_not_sent(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, store_pause=0.005) as r:
            r.store.fails = lambda changes: isinstance(changes[0], Began)
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert a.requests == []
            assert r.dispatcher.stats["halted"]
            assert not r.dispatcher.room("demo")
            r.store.fails = lambda changes: False
            await asyncio.sleep(0.03)
            await r.quiet()
            assert sorted(a.requests) == [[1], [2]]
            assert (await r.progress(1)).attempts == 1
            assert r.dispatcher.room("demo")

    run(work)


def test_what_has_been_sent_is_written_down_as_soon_as_that_is_possible(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, store_pause=0.005) as r:
            r.store.fails = lambda changes: isinstance(changes[0], Handed)
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            assert await r.stage(1) is Stage.SENDING
            r.store.fails = lambda changes: False
            await asyncio.sleep(0.03)
            await r.quiet()
            assert await r.stage(1) is Stage.SENT
            # Once, whatever happened in between.
            assert a.requests == [[1]]

    run(work)


def test_a_store_that_cannot_be_asked_is_asked_again(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, store_pause=0.005) as r:
            await r.accept(message(1, stage=Stage.WAITING), offer=False)
            await r.store.close()
            with pytest.raises(Exception, match="closed"):
                await r.dispatcher.start()
            await r.store.open()
            await r.dispatcher.start()
            await r.store.close()
            await r.pass_time(1)
            assert r.dispatcher.stats["halted"]
            await r.store.open()
            await asyncio.sleep(0.03)
            await r.quiet()
            assert a.requests == [[1]]

    run(work)


def test_a_store_that_was_opened_again_does_not_make_two_of_one(road: Any, told: Any, message: Make) -> None:
    """Opening makes everything READY a WAITING one, also what is still in our memory."""

    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2), message(3))
            await r.quiet()
            await r.store.open()
            await r.pass_time(SECOND)
            gate.set()
            await r.quiet()
            await r.pass_time(SECOND)
            assert a.requests == [[1], [2], [3]]

    run(work)


def test_receipts_that_nobody_takes_stop_nothing(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:

            def fail(receipts: Sequence[Any]) -> None:
                raise RuntimeError("not me")

            r.dispatcher._on_receipts = fail
            a.replies = ["refused"]
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert [await r.stage(id) for id in (1, 2)] == [Stage.FINAL, Stage.SENT]

    run(work)


def test_intermediate_states_are_told_where_they_were_asked_for(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a")) as r:
            await r.dispatcher.start()
            await r.accept(message(1, registered_delivery=0x11), message(2, notify=Notify.NOBODY))
            await r.quiet()
            assert [(one.message.id, one.state) for one in r.receipts] == [(1, MessageState.ENROUTE)]

    run(work)


# After a crash -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "stage"),
    [(WhenInDoubt.REPEAT, Stage.DOUBT), (WhenInDoubt.ASK, Stage.DOUBT), (WhenInDoubt.GIVE_UP, Stage.FINAL)],
)
def test_what_a_crash_cut_off_is_in_doubt(
    road: Any, told: Any, message: Make, policy: WhenInDoubt, stage: Stage
) -> None:
    async def work() -> None:
        a, b = told("a", when_in_doubt=policy, ask_batch=1), told("b")
        a.answers_to_ask = ["delivered"]
        async with road(a, b) as r:
            await r.accept(message(1), offer=False)
            await r.store.apply([Began(id=1, provider="a")], r.clock.now)
            await r.dispatcher.start()
            assert await r.stage(1) is stage
            await r.pass_time(10 * SECOND)
            assert b.requests == []
            match policy:
                case WhenInDoubt.REPEAT:
                    assert (a.requests, a.questions) == ([[1]], [])
                case WhenInDoubt.ASK:
                    assert (a.requests, a.questions) == ([], [[1]])
                    assert (await r.progress(1)).state is MessageState.DELIVERED
                case WhenInDoubt.GIVE_UP:
                    assert (a.requests, a.questions) == ([], [])
                    assert (await r.progress(1)).state is MessageState.UNKNOWN
                    assert [one.state for one in r.receipts] == [MessageState.UNKNOWN]

    run(work)


def test_nobody_can_be_asked_about_a_provider_that_is_gone(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        async with road(told("a")) as r:
            await r.accept(message(1), message(2), offer=False)
            await r.store.apply([Began(id=1, provider="gone"), Began(id=2, provider="gone")], r.clock.now)
            await r.store.apply([Handed(id=2, provider="gone", ref="x", look_at=r.clock.now)], r.clock.now)
            await r.dispatcher.start()
            assert (await r.progress(1)).state is MessageState.UNKNOWN
            assert "no longer configured" in await r.why(1)
            # The other one it has: it may be configured again before the end.
            await r.quiet()
            assert await r.stage(2) is Stage.SENT
            await r.pass_time(DAY + HOUR)
            assert (await r.progress(2)).state is MessageState.UNKNOWN
            assert r.providers["a"].requests == []

    run(work)


# Memory --------------------------------------------------------------------------------------------------------------


def test_when_memory_is_full_the_rest_waits_on_disk(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a", batch=100)
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=10) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            ready = 0
            for id in range(1, 3001):
                room = r.dispatcher.room("demo")
                ready += room
                await r.accept(message(id, stage=Stage.READY if room else Stage.WAITING))
                if id % 500 == 0:
                    await r.quiet()
            # The least that a lane may hold, not the bound that was asked for.
            assert 1000 <= ready <= 1500
            assert r.dispatcher.stats["held"] <= 1000
            # A higher priority goes in above the bound, and overtakes.
            assert not r.dispatcher.room("demo", 0)
            assert r.dispatcher.room("demo", 1)
            await r.accept(message(9999, priority=1))
            gate.set()
            for _ in range(30):
                await r.pass_time(SECOND)
            order = [id for ids in a.requests for id in ids]
            assert sorted(order) == [*range(1, 3001), 9999]
            assert order.index(9999) <= 201
            assert r.dispatcher.stats["held"] == 0
            assert r.dispatcher.room("demo")

    run(work)


def test_a_provider_that_stands_still_does_not_take_the_room_of_others(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a", batch=100), told("b")
        routes = [Route(source=("A",), providers=("a",)), Route(providers=("b",))]
        async with road(a, b, routes=routes, config={"a": {"max_in_flight": 1}}, bound=2000) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(*(message(id, source="A") for id in range(1, 3001)))
            await r.accept(*(message(id, source="A", stage=Stage.WAITING) for id in range(3001, 5001)))
            # Behind all of these on disk, and due at the same time.
            await r.accept(message(6000, source="B", stage=Stage.WAITING))
            await r.accept(message(6001, source="B"))
            assert r.dispatcher.stats["providers"]["a"]["queued"] <= 1000
            for _ in range(10):
                await r.pass_time(SECOND)
            assert sorted(b.requests) == [[6000], [6001]]
            assert not r.dispatcher.room("demo", providers=("a", "b"))
            assert r.dispatcher.room("demo", providers=("b",))
            gate.set()
            for _ in range(120):
                await r.pass_time(SECOND)
            assert sorted(id for ids in a.requests for id in ids) == list(range(1, 5001))

    run(work)


def test_expiry_on_disk_does_not_wait_for_a_lane_that_is_full(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=1) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 1001)))
            await r.quiet()
            await r.accept(message(2000, stage=Stage.WAITING, expires=r.clock.now + 5 * SECOND))
            for _ in range(7):
                await r.pass_time(SECOND)
            assert (await r.progress(2000)).state is MessageState.EXPIRED
            # Going back and forth between memory and disk is no news.
            assert await r.told(2000) == ["accepted", "final"]

    run(work)


def test_a_clock_that_was_put_back_does_not_stop_the_looks_past_a_full_lane(
    road: Any, told: Any, message: Make
) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}, bound=1) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 1001)), message(2000, stage=Stage.WAITING))
            await r.pass_time(SECOND)
            r.clock.now -= 3600 * SECOND
            await r.accept(message(2001, stage=Stage.WAITING, due=r.clock.now, expires=r.clock.now))
            # Nobody wakes it: it looks at least once a second.
            for _ in range(100):
                if await r.stage(2001) is Stage.FINAL:
                    break
                await asyncio.sleep(0.05)
            assert (await r.progress(2001)).state is MessageState.EXPIRED

    run(work)


def test_objects_introduce_themselves(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            a.meanwhile = lambda ids: asyncio.Event().wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            assert repr(r.dispatcher) == "<Dispatcher held=2 [<Lane a closed queued=1 requests=1>]>"

    run(work)


# Reload and the end --------------------------------------------------------------------------------------------------


def test_a_reload_loses_nothing(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a, b = told("a"), told("b")
        async with road(a, b, config={"a": {"max_in_flight": 1}, "b": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = b.meanwhile = lambda ids: gate.wait()
            r.routes = [Route(source=("A",), providers=("a",)), Route(providers=("b",))]
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            await r.dispatcher.start()
            await r.accept(*(message(id, source="AB"[id % 2]) for id in range(1, 7)))
            await r.quiet()
            assert (a.requests, b.requests) == ([[2]], [[1]])
            # a is gone; b keeps its settings and its adapter; c is new and takes what a had not begun.
            c = told("c")
            r.providers = {"b": told("b"), "c": c}
            r.tables = {"b": r.tables["b"], "c": r.tables["a"]}
            r.routes = [Route(source=("A",), providers=("c",)), Route(providers=("b",))]
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            await r.quiet()
            assert (a.requests, b.requests, c.requests) == ([[2]], [[1]], [[4], [6]])
            assert r.dispatcher.providers == {"b": b, "c": c}
            gate.set()
            await r.quiet()
            assert b.requests == [[1], [3], [5]]
            assert {id: (await r.progress(id)).provider for id in range(1, 7)} == {
                1: "b",
                2: "a",
                3: "b",
                4: "c",
                5: "b",
                6: "c",
            }

    run(work)


@pytest.mark.parametrize("first", ["sent", httpx.ReadTimeout("")], ids=["sent", "in doubt"])
def test_a_provider_that_comes_back_goes_on_with_what_it_had(road: Any, told: Any, message: Make, first: Any) -> None:
    async def work() -> None:
        a, b = told("a", ask_batch=10, when_in_doubt=WhenInDoubt.ASK), told("b")
        a.replies = [first]
        async with road(a, b) as r:
            both = (r.tables, r.providers, r.routes)
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            r.tables, r.providers, r.routes = {"b": r.tables["b"]}, {"b": b}, [Route(providers=("b",))]
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            await r.pass_time(2 * 60 * SECOND)
            before = len(a.questions)
            r.tables, r.providers, r.routes = both
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            # Long before its validity is over.
            await r.pass_time(10 * 60 * SECOND)
            assert len(a.questions) > before
            assert b.requests == []

    run(work)


def test_a_mistake_before_the_request_costs_its_message_and_not_the_lane(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()

            def fails(changes: Any) -> bool:
                if isinstance(changes[0], Began):
                    r.store.fails = lambda changes: False
                    raise ValueError("nobody foresaw this")
                return False

            r.store.fails = fails
            await r.accept(message(1))
            await r.quiet()
            await r.accept(message(2))
            await r.quiet()
            assert a.requests == [[2]]
            assert (r.dispatcher.stats["held"], r.dispatcher.stats["providers"]["a"]["in_flight"]) == (0, 0)

    run(work)


def test_a_repetition_goes_to_nobody_else_though_its_lane_is_taken_away(road: Any, told: Any, message: Make) -> None:
    """Its `Began` cannot be kept, and meanwhile the provider is taken out of the configuration."""

    async def work() -> None:
        a, b = told("a", when_in_doubt=WhenInDoubt.REPEAT), told("b")
        a.replies = ["doubt"]
        async with road(a, b) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()

            def fails(changes: Any) -> bool:
                if not any(isinstance(change, Began) for change in changes):
                    return False
                r.store.fails = lambda changes: False
                del r.tables["a"]
                r.routes = (Route(providers=("b",)),)
                r.dispatcher.reload(r.tables, r.router(), {"b": b})
                return True

            r.store.fails = fails
            await r.pass_time(10_000)
            await asyncio.sleep(0.02)  # the store may be tried again
            await r.pass_time(10_000)
            assert "a" not in r.dispatcher.providers
            assert (a.requests, b.requests) == ([[1]], [])
            assert await r.stage(1) is Stage.DOUBT

    run(work)


def test_a_provider_with_other_settings_counts_on(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.accept(message(2))
            await r.quiet()
            r.tables = {"a": r.tables["a"].model_copy(update={"max_in_flight": 2})}
            r.dispatcher.reload(r.tables, r.router(), r.providers)
            gate.set()
            await r.quiet()
            counted = r.dispatcher.stats["providers"]["a"]
            assert (counted["requests"], counted["outcomes"]["sent"], sum(counted["latency"])) == (2, 2, 2)

    run(work)


def test_a_reload_that_cannot_be_done_changes_nothing(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            await r.dispatcher.start()
            with pytest.raises(ValueError, match="not there: a"):
                r.dispatcher.reload({}, r.router(), {})
            tables = {"a": r.tables["a"], "b": r.tables["a"].model_copy(update={"verify": Path("/not/there.pem")})}
            with pytest.raises(FileNotFoundError):
                r.dispatcher.reload(tables, r.router(), {"a": a, "b": told("b", transport=lambda deliver: None)})
            await r.accept(message(1))
            await r.quiet()
            assert a.requests == [[1]]

    run(work)


def test_the_end_waits_for_requests_and_begins_no_more(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"max_in_flight": 1}}) as r:
            gate = asyncio.Event()
            a.meanwhile = lambda ids: gate.wait()
            await r.dispatcher.start()
            await r.accept(message(1), message(2))
            await r.quiet()
            closing = asyncio.ensure_future(r.dispatcher.close(5))
            await r.quiet()
            assert not closing.done()
            assert not r.dispatcher.room("demo")
            await r.accept(message(3))
            gate.set()
            await closing
            assert a.requests == [[1]]
            assert [await r.stage(id) for id in (1, 2, 3)] == [Stage.SENT, Stage.READY, Stage.READY]

    run(work)


def test_a_request_that_does_not_end_is_cut_off_and_in_doubt(road: Any, told: Any, message: Make) -> None:
    async def work() -> None:
        a = told("a")
        async with road(a) as r:
            a.meanwhile = lambda ids: asyncio.Event().wait()
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            await r.dispatcher.close(0.01)
            assert await r.stage(1) is Stage.SENDING

    run(work)


@pytest.mark.parametrize(
    ("when_in_doubt", "timeout", "waits"),
    [("repeat", 30, 5), ("repeat", 2, 2), ("ask", 30, 5), ("wait", 30, 30), ("give_up", 30, 30)],
)
def test_the_end_waits_for_an_answer_as_long_as_a_doubt_costs_something(
    road: Any, told: Any, when_in_doubt: str, timeout: float, waits: float
) -> None:
    async def work() -> None:
        config = {"when_in_doubt": when_in_doubt, "timeout": timeout}
        async with road(told("a", ask_batch=1), config={"a": config}) as r:
            assert r.dispatcher._lanes["a"].patience == waits

    run(work)


def test_the_end_does_not_wait_long_where_a_doubt_costs_nothing(
    road: Any, told: Any, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "HARMLESS", 0.01)

    async def work() -> None:
        a = told("a")
        async with road(a, config={"a": {"when_in_doubt": "repeat"}}) as r:
            a.meanwhile = lambda ids: asyncio.Event().wait()
            await r.dispatcher.start()
            await r.accept(message(1))
            await r.quiet()
            async with asyncio.timeout(10):
                await r.dispatcher.close(60)
            assert await r.stage(1) is Stage.SENDING

    run(work)


def test_changes_go_out_once_a_batch(road: Any, told: Any, message: Make) -> None:
    """What makes the store's group commits worth it: two calls for a batch, however long it is."""

    async def work() -> None:
        a = told("a", batch=100)
        async with road(a) as r:
            calls: list[list[type[Change]]] = []
            r.store.fails = lambda changes: bool(calls.append([type(change) for change in changes]))
            await r.dispatcher.start()
            await r.accept(*(message(id) for id in range(1, 51)))
            await r.quiet()
            assert calls == [[Began] * 50, [Handed] * 50]
            assert not any(isinstance(change, Postponed | Reported) for change in r.store.applied)

    run(work)
