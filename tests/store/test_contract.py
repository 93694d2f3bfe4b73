"""What every engine must do: the same tests for each, so that one may stand in for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pdu import MessageState
from smppbridge.lifecycle import (
    Began,
    Cancelled,
    Change,
    Doubted,
    Handed,
    LedOn,
    Looked,
    PassedOn,
    Postponed,
    Reported,
    Settled,
    Taken,
)
from smppbridge.model import (
    KIND_OF,
    Binary,
    Bot,
    Call,
    Command,
    Entry,
    Hlr,
    HlrResult,
    Incoming,
    Kind,
    Mail,
    Message,
    Notify,
    Ping,
    Progress,
    Receipt,
    Sms,
    Social,
    Stage,
    StatusReport,
    TelegramCode,
    Viber,
)
from smppbridge.store import reader
from smppbridge.store.base import (
    FIRST,
    Absent,
    Applied,
    Arrival,
    Duplicate,
    Filter,
    Replacement,
    Store,
    StoreFailed,
    Turn,
    Verdict,
    Wanted,
)

NOW = 1_750_000_000_000
SECOND = 1000
MINUTE = 60_000
DAY = 86_400_000


def handed(message: Message, ref: str, provider: str = "smsc", **fields: Any) -> Handed:
    return Handed(id=message.id, provider=provider, ref=ref, look_at=fields.pop("look_at", NOW + MINUTE), **fields)


def reported(state: MessageState, *, ref: str = "", id: int = 0, provider: str = "smsc", **fields: Any) -> Reported:
    return Reported(id=id, provider=provider, report=StatusReport(state=state, ref=ref, **fields))


async def apply(store: Store, *changes: Change, now: int = NOW) -> Sequence[Applied]:
    return await store.apply(changes, now)


async def change(store: Store, change: Change, now: int = NOW) -> Message:
    [applied] = await store.apply([change], now)
    assert applied.message is not None
    return applied.message


async def finish(
    store: Store, message: Message, state: MessageState = MessageState.DELIVERED, now: int = NOW
) -> Receipt:
    [applied] = await store.apply([Settled(id=message.id, state=state, reason="test")], now)
    assert applied.receipt is not None
    return applied.receipt


async def found(store: Store, id: int) -> Message:
    message = await store.find(id)
    assert message is not None
    return message


async def events(store: Store, id: int) -> list[str]:
    return [entry.event for entry in await store.timeline(id)]


# Arrivals ------------------------------------------------------------------------------------------------------------


COMMANDS: list[Command] = [
    Sms(text="Привет, світе 😀", flash=True, comment="заметка"),
    Binary(data=bytes(range(256)), data_coding=4, has_udh=True),
    Mail(text="t", subject="s", to="a@example.org"),
    Call(text="t", voice="w", wait=20, interval=10, attempts=3),
    Viber(text="t"),
    Social(text="t"),
    TelegramCode(code="1234"),
    Bot(text="t", bot="@name"),
    Hlr(comment="c"),
    Ping(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_message_comes_back_as_it_went_in(engine: Any, nouns: Any, command: Command) -> None:
    message = nouns.message(
        command=command,
        kind=KIND_OF[type(command)],
        bind=2**62,
        sequence=0x7FFFFFFF,
        source="Банк",
        source_ton=5,
        source_npi=1,
        destination_ton=2,
        destination_npi=9,
        priority=3,
        registered_delivery=0x11,
        notify=Notify.HTTP,
        data_coding=8,
        pdu=bytes(range(256)),
        duplicate_window=MINUTE,
        part_ids=(2**62 + 1, 5),
        progress=Progress(stage=Stage.WAITING, state=MessageState.SCHEDULED, due=NOW + DAY),
    )

    async def road(store: Store) -> None:
        assert await nouns.accept(store, message) == [None]
        assert await found(store, message.id) == message
        assert type((await found(store, message.id)).kind) is Kind
        assert type((await found(store, message.id)).progress.stage) is Stage

    async def after_a_restart(store: Store) -> None:
        assert await found(store, message.id) == message

    engine.walk(road, after_a_restart)


def test_verdicts_come_in_the_order_of_the_calls_and_by_whom_they_were_asked(engine: Any, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(20)]

    async def road(store: Store) -> None:
        done = asyncio.Event()
        first: list[tuple[Message, Verdict]] = []
        second: list[tuple[Message, Verdict]] = []

        def one(batch: Sequence[tuple[Message, Verdict]]) -> None:
            first.extend(batch)

        def other(batch: Sequence[tuple[Message, Verdict]]) -> None:
            second.extend(batch)
            if len(second) == 10:
                done.set()

        for n, message in enumerate(messages):
            store.accept(message, other if n % 2 else one)
        assert not first
        await done.wait()
        assert [message.id for message, _ in first] == [message.id for message in messages[::2]]
        assert [message.id for message, _ in second] == [message.id for message in messages[1::2]]
        assert {verdict for _, verdict in first + second} == {None}

    engine.walk(road)


def test_a_message_may_be_accepted_as_begun(engine: Any, nouns: Any) -> None:
    begun = Progress(stage=Stage.SENDING, provider="p", attempts=1)
    one, two = (nouns.message(progress=begun) for _ in range(2))

    async def road(store: Store) -> None:
        assert await nouns.accept(store, one, two) == [None, None]
        assert (await store.stats()).in_flight == 2
        assert (await store.stats()).waiting == 0
        assert list(await store.claim(NOW + DAY, {"demo": 10})) == []
        after = await change(store, handed(two, "r", "p"))
        assert (after.progress.stage, after.progress.attempts) == (Stage.SENT, 1)
        assert (await store.stats()).in_flight == 2

    async def after_a_crash(store: Store) -> None:
        assert [message.id for message in await store.in_doubt(10)] == [one.id]
        assert (await found(store, one.id)).progress == begun
        assert (await store.stats()).in_flight == 2

    engine.walk(road, after_a_crash)


def test_what_is_asked_after_accepting_sees_what_was_accepted(engine: Any, nouns: Any) -> None:
    message = nouns.message()

    async def road(store: Store) -> None:
        store.accept(message, lambda batch: None)
        assert (await change(store, Began(id=message.id, provider="smsc"))).progress.stage is Stage.SENDING

    engine.walk(road)


def test_closing_finishes_what_was_asked(engine: Any, nouns: Any) -> None:
    message, arrived = nouns.message(), []

    async def road(store: Store) -> None:
        store.accept(message, arrived.extend)

    async def later(store: Store) -> None:
        assert arrived == [(message, None)]
        assert await store.find(message.id)

    engine.walk(road, later)


def test_a_closed_store_refuses(engine: Any, nouns: Any) -> None:
    async def main() -> None:
        store = engine.make()
        [verdict] = await nouns.accept(store, nouns.message())
        assert isinstance(verdict, StoreFailed)
        with pytest.raises(StoreFailed):
            await store.find(1)
        with pytest.raises(StoreFailed):
            await store.apply([], NOW)
        await store.open()
        await store.close()
        [verdict] = await nouns.accept(store, nouns.message())
        assert isinstance(verdict, StoreFailed)
        with pytest.raises(StoreFailed):
            await store.claim(NOW, {"demo": 1})
        await store.close()

    asyncio.run(main())


# The one-minute rule -------------------------------------------------------------------------------------------------


def test_an_identical_message_within_the_window_is_refused_on_account_of_the_first(engine: Any, nouns: Any) -> None:
    first = nouns.message("same", bind=5, duplicate_window=MINUTE)
    again = nouns.message("same", bind=6, at=NOW + MINUTE - 1, duplicate_window=MINUTE)
    later = nouns.message("same", at=NOW + MINUTE, duplicate_window=MINUTE)

    async def road(store: Store) -> None:
        assert await nouns.accept(store, first) == [None]
        assert await nouns.accept(store, again) == [Duplicate(first.id, 5, NOW)]
        assert await store.find(again.id) is None
        assert await nouns.accept(store, later) == [None]

    engine.walk(road)


def test_the_second_of_two_identical_ones_in_one_batch_is_the_duplicate(engine: Any, nouns: Any) -> None:
    one, two, three = (nouns.message("same", duplicate_window=MINUTE) for _ in range(3))

    async def road(store: Store) -> None:
        duplicate = Duplicate(one.id, 11, NOW)
        assert await nouns.accept(store, one, two, three) == [None, duplicate, duplicate]

    engine.walk(road)


def test_the_window_reaches_over_a_restart(engine: Any, nouns: Any) -> None:
    first = nouns.message("same", duplicate_window=MINUTE)
    again = nouns.message("same", at=NOW + SECOND, duplicate_window=MINUTE)

    async def road(store: Store) -> None:
        await nouns.accept(store, first)

    async def later(store: Store) -> None:
        assert await nouns.accept(store, again) == [Duplicate(first.id, 11, NOW)]

    engine.walk(road, later)


@pytest.mark.parametrize(
    "other",
    [
        {"account": "other"},
        {"source": "shop"},
        {"destination": "380509999999"},
        {"command": Sms(text="else")},
        {"command": Sms(text="same", comment="c")},
        {"command": Viber(text="same"), "kind": Kind.VIBER},
    ],
    ids=str,
)
def test_one_difference_makes_another_message(engine: Any, nouns: Any, other: dict[str, Any]) -> None:
    first = nouns.message("same", duplicate_window=MINUTE)
    second = nouns.message("same", duplicate_window=MINUTE, **other)

    async def road(store: Store) -> None:
        assert await nouns.accept(store, first, second) == [None, None]

    engine.walk(road)


@pytest.mark.parametrize(("first_window", "second_window"), [(0, 0), (0, MINUTE), (MINUTE, 0)])
def test_a_window_of_zero_switches_the_rule_off(engine: Any, nouns: Any, first_window: int, second_window: int) -> None:
    first = nouns.message("same", duplicate_window=first_window)
    second = nouns.message("same", duplicate_window=second_window)

    async def road(store: Store) -> None:
        assert await nouns.accept(store, first, second) == [None, None]

    engine.walk(road)


def test_what_was_refused_does_not_prolong_the_window(engine: Any, nouns: Any) -> None:
    first = nouns.message("same", duplicate_window=MINUTE)
    refused = nouns.message("same", at=NOW + 50 * SECOND, duplicate_window=MINUTE)
    later = nouns.message("same", at=NOW + 70 * SECOND, duplicate_window=MINUTE)

    async def road(store: Store) -> None:
        assert await nouns.accept(store, first) == [None]
        assert isinstance((await nouns.accept(store, refused))[0], Duplicate)
        assert await nouns.accept(store, later) == [None]

    engine.walk(road)


# Parts ---------------------------------------------------------------------------------------------------------------


def test_parts_are_held_until_none_is_missing_and_come_back_in_order(engine: Any, nouns: Any) -> None:
    parts = [nouns.part(number, 3) for number in (2, 3, 1)]

    async def road(store: Store) -> None:
        for part in parts[:2]:
            held = await store.hold(part)
            assert (held.id, list(held.parts)) == (part.id, [])

    async def later(store: Store) -> None:
        held = await store.hold(parts[2])
        assert held.id == parts[2].id
        assert list(held.parts) == sorted(parts, key=lambda part: part.number)

    engine.walk(road, later)


def test_parts_held_at_once_make_one_set(engine: Any, nouns: Any) -> None:
    parts = [nouns.part(number, 3) for number in (1, 2, 3)]

    async def road(store: Store) -> None:
        held = await asyncio.gather(*(store.hold(part) for part in parts))
        assert [len(one.parts) for one in held] == [0, 0, 3]

    engine.walk(road)


def test_parts_of_others_are_not_mixed_in(engine: Any, nouns: Any) -> None:
    others = [{"account": "o"}, {"source": "o"}, {"destination": "1"}, {"reference": 1}, {"total": 3}]

    async def road(store: Store) -> None:
        for other in others:
            await store.hold(nouns.part(2, **({"total": 2} | other)))
        assert not (await store.hold(nouns.part(1))).parts
        assert len((await store.hold(nouns.part(2))).parts) == 2

    engine.walk(road)


def test_a_resent_part_is_known_by_the_id_of_the_first(engine: Any, nouns: Any) -> None:
    first, second = nouns.part(1), nouns.part(2)
    first_again, second_again = nouns.part(1, sequence=8), nouns.part(2, sequence=9)
    message = nouns.message(part_ids=(first.id, second.id))

    async def road(store: Store) -> None:
        await store.hold(first)
        again = await store.hold(first_again)
        assert (again.id, list(again.parts)) == (first.id, [])
        held = await store.hold(second)
        assert list(held.parts) == [first, second]
        again = await store.hold(second_again)
        assert (again.id, list(again.parts)) == (second.id, [])
        assert await store.join(message, held.parts) is None
        assert (await store.hold(nouns.part(2, at=NOW + MINUTE))).id == second.id
        much_later = nouns.part(2, at=NOW + DAY)
        assert (await store.hold(much_later)).id == much_later.id

    engine.walk(road)


def test_a_reference_used_again_begins_another_set(engine: Any, nouns: Any) -> None:
    left_alone = nouns.part(1, pdu=b"an older message, whose other part was lost")
    parts = [nouns.part(1), nouns.part(2)]

    async def road(store: Store) -> None:
        await store.hold(left_alone)
        assert not (await store.hold(parts[0])).parts
        assert list((await store.hold(parts[1])).parts) == parts
        [expired, complete] = sorted(await store.held_parts(NOW + DAY, 10), key=len)
        assert (list(expired), list(complete)) == ([left_alone], parts)

    engine.walk(road)


def test_joined_parts_still_find_their_message(engine: Any, nouns: Any) -> None:
    parts = [nouns.part(1), nouns.part(2)]
    message = nouns.message(part_ids=tuple(part.id for part in parts))

    async def road(store: Store) -> None:
        for part in parts:
            await store.hold(part)
            assert await store.find(part.id) is None
        assert await store.join(message, parts) is None
        assert await events(store, message.id) == ["accepted", "joined"]
        assert list(await store.held_parts(NOW + DAY, 10)) == []

    async def later(store: Store) -> None:
        for part in parts:
            assert await store.find(part.id) == await found(store, message.id)
        again = nouns.message(part_ids=message.part_ids)
        assert await store.join(again, parts) == Duplicate(message.id, 11, NOW)
        assert await store.find(again.id) is None

    engine.walk(road, later)


def test_joining_a_duplicate_holds_the_parts_until_somebody_says_what_becomes_of_them(engine: Any, nouns: Any) -> None:
    first = nouns.message("long", duplicate_window=MINUTE)
    again = nouns.message("long", duplicate_window=MINUTE)
    parts = [nouns.part(1), nouns.part(2)]

    async def road(store: Store) -> None:
        await nouns.accept(store, first)
        for part in parts:
            await store.hold(part)
        assert await store.join(again, parts) == Duplicate(first.id, 11, NOW)

    async def later(store: Store) -> None:
        assert [list(one) for one in await store.held_parts(NOW, 10)] == [parts]
        assert await store.find(again.id) is None
        await store.drop_parts(parts)
        assert list(await store.held_parts(NOW + DAY, 10)) == []

    engine.walk(road, later)


def test_held_parts_are_those_that_expire_and_those_a_crash_left_complete(engine: Any, nouns: Any) -> None:
    early = nouns.part(1, reference=1, expires=NOW + SECOND)
    late = nouns.part(1, reference=2)
    complete = [nouns.part(number, reference=3) for number in (1, 2)]

    async def road(store: Store) -> None:
        for part in (early, late, *complete):
            await store.hold(part)

    async def later(store: Store) -> None:
        assert [list(one) for one in await store.held_parts(NOW, 10)] == [complete]
        sets = [list(one) for one in await store.held_parts(NOW + MINUTE, 10)]
        assert sorted(sets, key=len) == [[early], complete]
        assert len(await store.held_parts(NOW + MINUTE, 1)) == 1
        await store.drop_parts([early, *complete])
        assert list(await store.held_parts(NOW + MINUTE, 10)) == []
        assert [list(one) for one in await store.held_parts(NOW + DAY, 10)] == [[late]]

    engine.walk(road, later)


def test_held_parts_are_told_by_accounts_in_turns_and_of_each_what_is_whole_then_the_most_overdue(
    engine: Any, nouns: Any
) -> None:
    many = [nouns.part(1, reference=reference, expires=NOW + reference * SECOND) for reference in (3, 1, 2)]
    whole = [nouns.part(number, reference=4) for number in (1, 2)]
    few = [nouns.part(1, reference=reference, expires=NOW + reference * SECOND, account="zzz") for reference in (5, 4)]

    async def road(store: Store) -> None:
        for part in (*many, *whole, *few):
            await store.hold(part)

    async def later(store: Store) -> None:
        sets = [list(one) for one in await store.held_parts(NOW + 6 * SECOND, 10)]
        assert sets == [[few[1]], whole, [many[1]], [few[0]], [many[2]], [many[0]]]
        assert [list(one) for one in await store.held_parts(NOW + 6 * SECOND, 2)] == sets[:2]

    engine.walk(road, later)


# Work ----------------------------------------------------------------------------------------------------------------


def test_claiming_takes_the_highest_priority_first_and_then_the_longest_due(engine: Any, nouns: Any) -> None:
    def waiting(priority: int, due: int) -> Message:
        message: Message = nouns.message(stage=Stage.WAITING, priority=priority, due=due)
        return message

    third, fourth = waiting(0, NOW - 2), waiting(0, NOW - 1)
    first, second = waiting(3, NOW), waiting(1, NOW - 9)
    not_due, ready = waiting(3, NOW + 1), nouns.message()

    async def road(store: Store) -> None:
        await nouns.accept(store, fourth, third, not_due, ready, second, first)
        claimed = list(await store.claim(NOW, {"demo": 3}))
        assert [message.id for message in claimed] == [first.id, second.id, third.id]
        assert {message.progress.stage for message in claimed} == {Stage.READY}
        assert (await found(store, first.id)).progress.stage is Stage.READY
        assert [message.id for message in await store.claim(NOW, {"demo": 9})] == [fourth.id]
        assert list(await store.claim(NOW, {"demo": 9})) == []
        assert [message.id for message in await store.claim(NOW + 1, {"demo": 9})] == [not_due.id]

    engine.walk(road)


def test_of_each_account_as_many_are_claimed_as_are_wanted(engine: Any, nouns: Any) -> None:
    def waiting(account: str, **fields: Any) -> Message:
        message: Message = nouns.message(stage=Stage.WAITING, account=account, **fields)
        return message

    many = [waiting("demo", due=NOW - 100 + n) for n in range(50)]
    few = [waiting("other", due=NOW - 1), waiting("other", due=NOW, priority=1)]
    left = waiting("third")

    async def road(store: Store) -> None:
        await nouns.accept(store, *many, *few, left)
        claimed = await store.claim(NOW, {"demo": 3, "other": 3})
        assert [message.id for message in claimed if message.account == "demo"] == [one.id for one in many[:3]]
        assert [message.id for message in claimed if message.account == "other"] == [few[1].id, few[0].id]
        assert len(claimed) == 5
        assert list(await store.claim(NOW, {"other": 3, "nobody": 3})) == []
        assert (await store.next_due()).waiting == {"demo": NOW - 97, "third": left.progress.due}

    engine.walk(road)


def test_a_priority_that_no_specification_knows_is_claimed_too(engine: Any, nouns: Any) -> None:
    message = nouns.message(stage=Stage.WAITING, priority=200)

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        assert [message.id for message in await store.claim(NOW, {"demo": 1})] == [message.id]

    engine.walk(road)


def test_what_was_ready_waits_again_after_a_restart(engine: Any, nouns: Any) -> None:
    accepted, claimed = nouns.message(), nouns.message(stage=Stage.WAITING, due=NOW)

    async def road(store: Store) -> None:
        await nouns.accept(store, accepted, claimed)
        await store.claim(NOW, {"demo": 9})
        assert (await store.stats()).waiting == 0

    async def later(store: Store) -> None:
        assert (await store.stats()).waiting == 2
        assert (await found(store, accepted.id)).progress.stage is Stage.WAITING
        assert {message.id for message in await store.claim(NOW, {"demo": 9})} == {accepted.id, claimed.id}

    engine.walk(road, later)


def test_what_was_being_sent_is_in_doubt_after_a_restart(engine: Any, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(3)]

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages)
        await apply(store, *(Began(id=message.id, provider="smsc") for message in messages[:2]))

    async def later(store: Store) -> None:
        doubtful = await store.in_doubt(10)
        assert [message.id for message in doubtful] == [message.id for message in messages[:2]]
        assert doubtful[0].progress == Progress(stage=Stage.SENDING, provider="smsc", attempts=1)
        assert len(await store.in_doubt(1)) == 1

    engine.walk(road, later)


def test_messages_to_be_asked_for_are_told_in_order_until_they_have_an_answer(engine: Any, nouns: Any) -> None:
    sent, doubtful, later = (nouns.message() for _ in range(3))

    async def road(store: Store) -> None:
        await nouns.accept(store, sent, doubtful, later)
        await apply(
            store,
            handed(sent, "1", look_at=NOW + 1),
            Doubted(id=doubtful.id, provider="smsc", reason="time-out", look_at=NOW),
            handed(later, "2", look_at=NOW + DAY),
        )
        assert list(await store.to_be_asked(NOW - 1, FIRST, 10)) == []
        [first] = await store.to_be_asked(NOW + 1, FIRST, 1)
        assert (first.id, first.progress.polls) == (doubtful.id, 0)
        turn = Turn(NOW, Stage.DOUBT, first.id)
        assert [message.id for message in await store.to_be_asked(NOW + 1, turn, 10)] == [sent.id]
        assert list(await store.to_be_asked(NOW + 1, Turn(NOW + 1, Stage.SENT, sent.id), 10)) == []
        # Asking changes nothing, the answer does.
        assert [message.id for message in await store.to_be_asked(NOW + 1, FIRST, 10)] == [doubtful.id, sent.id]
        await apply(store, Looked(id=sent.id, look_at=NOW + DAY))
        assert [message.id for message in await store.to_be_asked(NOW + MINUTE, FIRST, 10)] == [doubtful.id]
        assert (await found(store, sent.id)).progress.polls == 1

    engine.walk(road)


def test_those_that_are_to_be_asked_for_at_the_same_time_are_told_once_each(engine: Any, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(5)]

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages)
        changes = [handed(message, str(message.id), look_at=NOW) for message in messages[:3]]
        doubts = [Doubted(id=one.id, provider="smsc", reason="time-out", look_at=NOW) for one in messages[3:]]
        await apply(store, *changes, *doubts)
        turn, seen = FIRST, []
        while found := await store.to_be_asked(NOW, turn, 2):
            seen += [message.id for message in found]
            last = found[-1]
            turn = Turn(last.progress.due, last.progress.stage, last.id)
        assert seen == [message.id for message in messages]

    engine.walk(road)


def test_next_due_is_the_earliest_of_each_account(engine: Any, nouns: Any) -> None:
    scheduled = nouns.message(stage=Stage.WAITING, due=NOW + 30, priority=1)
    sooner = nouns.message(stage=Stage.WAITING, due=NOW + 20)
    other = nouns.message(stage=Stage.WAITING, due=NOW + 40, account="other")
    sent = nouns.message()

    async def road(store: Store) -> None:
        assert await store.next_due() == ({}, 0)
        await nouns.accept(store, scheduled, sent)
        assert await store.next_due() == ({"demo": NOW + 30}, 0)
        await nouns.accept(store, sooner, other)
        assert await store.next_due() == ({"demo": NOW + 20, "other": NOW + 40}, 0)
        await apply(store, handed(sent, "1", look_at=NOW + 10))
        assert await store.next_due() == ({"demo": NOW + 20, "other": NOW + 40}, NOW + 10)
        assert (await store.next_due(NOW + 9)).with_provider == NOW + 10
        assert (await store.next_due(NOW + 10)).with_provider == 0
        for message in (sent, sooner, other):
            await finish(store, message)
        assert await store.next_due() == ({"demo": NOW + 30}, 0)

    engine.walk(road)


def test_a_message_on_its_way_keeps_every_step(engine: Any, nouns: Any) -> None:
    message = nouns.message(registered_delivery=0x11)

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        steps = [
            Began(id=message.id, provider="a"),
            PassedOn(id=message.id, provider="a", reason="no route"),
            Began(id=message.id, provider="smsc"),
            Postponed(id=message.id, until=NOW + 5, reason="overload"),
            Began(id=message.id, provider="smsc"),
            handed(message, "ref", cost="1.40", parts=2),
        ]
        for step in steps:
            applied = await change(store, step)
            assert await found(store, message.id) == applied
        assert applied.progress == Progress(
            stage=Stage.SENT,
            due=NOW + MINUTE,
            provider="smsc",
            ref="ref",
            attempts=3,
            refused_by="a",
            cost="1.40",
            parts=2,
        )
        [last] = await apply(store, reported(MessageState.DELIVERED, ref="ref", at=NOW + 7, err=0), now=NOW + 9)
        assert last.ended
        assert last.receipt is not None
        assert last.receipt.message == last.message == await found(store, message.id)
        assert last.receipt.done_at == NOW + 7

    async def later(store: Store) -> None:
        assert await events(store, message.id) == ["accepted", "passed on", "again", "sent", "final"]
        line = (await store.timeline(message.id))[1]
        assert line == Entry(message=message.id, at=NOW, event="passed on", detail="a: no route")
        assert (await found(store, message.id)).progress.done_at == NOW + 7

    engine.walk(road, later)


def test_changes_of_one_call_see_each_other(engine: Any, nouns: Any) -> None:
    message = nouns.message()

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        results = await apply(
            store,
            Began(id=message.id, provider="smsc"),
            handed(message, "r"),
            reported(MessageState.DELIVERED, ref="r"),
            reported(MessageState.UNDELIVERABLE, ref="r"),
        )
        assert [one.message.progress.stage for one in results if one.message] == [
            Stage.SENDING,
            Stage.SENT,
            Stage.FINAL,
            Stage.FINAL,
        ]
        assert [one.ended for one in results] == [False, False, True, False]
        assert await events(store, message.id) == ["accepted", "sent", "final", "late"]

    engine.walk(road)


def test_calls_made_at_once_see_each_other_in_their_order(engine: Any, nouns: Any) -> None:
    message = nouns.message()

    async def road(store: Store) -> None:
        store.accept(message, lambda batch: None)
        results = await asyncio.gather(
            store.apply([Began(id=message.id, provider="smsc")], NOW),
            store.apply([handed(message, "r")], NOW + 1),
            store.apply([reported(MessageState.DELIVERED, ref="r")], NOW + 2),
        )
        assert [one.ended for [one] in results] == [False, False, True]
        assert [entry.at for entry in await store.timeline(message.id)] == [NOW, NOW + 1, NOW + 2]

    engine.walk(road)


def test_a_change_to_nothing_is_told_so(engine: Any, nouns: Any) -> None:
    async def road(store: Store) -> None:
        unknown = await apply(store, Began(id=12345, provider="smsc"), reported(MessageState.DELIVERED, id=77))
        assert list(unknown) == [Applied(None), Applied(None)]
        assert list(await apply(store)) == []

    engine.walk(road)


@pytest.mark.parametrize("own", [True, False], ids=["our id", "its own"])
def test_a_report_finds_its_message_by_the_reference(engine: Any, nouns: Any, own: bool) -> None:
    message = nouns.message()
    ref = str(message.id) if own else "7f-00"

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await apply(store, handed(message, ref))

    async def later(store: Store) -> None:
        [other] = await apply(store, reported(MessageState.DELIVERED, ref=ref, provider="another"))
        assert other == Applied(None)
        [applied] = await apply(store, reported(MessageState.DELIVERED, ref=ref))
        assert applied.ended

    engine.walk(road, later)


@pytest.mark.parametrize("own", [True, False], ids=["our id", "its own"])
def test_a_reference_of_an_earlier_provider_still_finds_the_message(engine: Any, nouns: Any, own: bool) -> None:
    message = nouns.message()
    ref = str(message.id) if own else "first"

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await apply(
            store,
            Doubted(id=message.id, provider="one", ref=ref, reason="time-out", look_at=NOW),
            Postponed(id=message.id, until=NOW, reason="never got it"),
            Began(id=message.id, provider="two"),
            handed(message, "second", provider="two"),
        )
        [applied] = await apply(store, reported(MessageState.DELIVERED, ref=ref, provider="one"))
        assert applied.message is not None
        assert (applied.message.id, applied.ended) == (message.id, True)
        [applied] = await apply(store, reported(MessageState.REJECTED, ref="second", provider="two"))
        assert applied.message is not None
        assert await events(store, message.id) == ["accepted", "in doubt", "again", "sent", "final", "late"]

    engine.walk(road)


@pytest.mark.parametrize("ref", ["", "0", "007", "-1", "٣", "9" * 19, "9" * 30, "x'; --"])
def test_an_odd_reference_finds_nothing_and_breaks_nothing(engine: Any, nouns: Any, ref: str) -> None:
    async def road(store: Store) -> None:
        assert list(await apply(store, reported(MessageState.DELIVERED, ref=ref))) == [Applied(None)]

    engine.walk(road)


def test_a_report_that_overtakes_the_answer_waits_for_it(engine: Any, nouns: Any) -> None:
    message = nouns.message(registered_delivery=0x11)

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await apply(store, Began(id=message.id, provider="smsc"))
        early = await apply(
            store, reported(MessageState.ACCEPTED, ref="r"), reported(MessageState.DELIVERED, ref="r", at=NOW + 1)
        )
        assert list(early) == [Applied(None), Applied(None)]

    async def later(store: Store) -> None:
        [applied] = await apply(store, handed(message, "r"), now=NOW + 2)
        assert applied.ended
        assert applied.message is not None
        assert applied.message.progress.stage is Stage.FINAL
        assert applied.receipt is not None
        assert applied.receipt.state is MessageState.DELIVERED
        assert [receipt.state for receipt in applied.earlier] == [MessageState.ENROUTE, MessageState.ACCEPTED]
        assert await events(store, message.id) == ["accepted", "sent", "status", "final"]
        assert list(await store.receipts("demo", 0, 10)) == [
            *(with_message(receipt, applied.message) for receipt in applied.earlier),
            applied.receipt,
        ]
        [again] = await apply(store, handed(message, "r"), now=NOW + 3)
        assert not again.ended

    engine.walk(road, later)


def test_a_report_that_overtakes_waits_for_a_status_too_that_brings_the_reference(engine: Any, nouns: Any) -> None:
    """The answer of the send was lost, and the provider is asked."""
    message = nouns.message()

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await apply(store, Began(id=message.id, provider="smsc"))
        await apply(store, reported(MessageState.DELIVERED, ref="r"))

    async def later(store: Store) -> None:
        await apply(store, Doubted(id=message.id, provider="smsc", reason="no answer", look_at=NOW))
        [applied] = await apply(store, reported(MessageState.ENROUTE, ref="r", id=message.id), now=NOW + 2)
        assert applied.ended
        assert applied.message is not None
        assert applied.message.progress.state is MessageState.DELIVERED

    engine.walk(road, later)


def with_message(receipt: Receipt, message: Message) -> Receipt:
    return Receipt(**{name: getattr(receipt, name) for name in receipt.__struct_fields__} | {"message": message})


# Outbox --------------------------------------------------------------------------------------------------------------


def test_receipts_wait_in_order_until_they_are_delivered(engine: Any, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(4)]
    other = nouns.message(account="other")
    hlr = HlrResult(imsi="25501", mcc="255", cn="Ukraine")

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages, other)
        made = [await finish(store, message) for message in messages[:3]]
        await finish(store, other)
        [applied] = await apply(store, reported(MessageState.DELIVERED, id=messages[3].id, err=3, hlr=hlr, at=NOW + 4))
        assert applied.receipt is not None
        made.append(applied.receipt)
        assert list(await store.receipts("demo", 0, 10)) == made
        assert list(await store.receipts("demo", 0, 2)) == made[:2]
        assert list(await store.receipts("demo", made[1].seq, 10)) == made[2:]
        await store.delivered(made[:1], NOW + 5)
        await store.delivered(made[:1], NOW + 6)

    async def later(store: Store) -> None:
        waiting = list(await store.receipts("demo", 0, 10))
        assert [receipt.message.id for receipt in waiting] == [message.id for message in messages[1:]]
        assert (waiting[-1].hlr, waiting[-1].err, waiting[-1].done_at) == (hlr, 3, NOW + 4)
        assert waiting[-1].ids == (messages[3].id,)
        assert await events(store, messages[0].id) == ["accepted", "final", "receipt"]
        assert (await store.timeline(messages[0].id))[-1].at == NOW + 5
        assert (await store.stats()).outbox == {"demo": 3, "other": 1}
        # What comes now stands behind what was there before the restart.
        newest = nouns.message()
        await nouns.accept(store, newest)
        assert (await finish(store, newest)).seq > waiting[-1].seq

    engine.walk(road, later)


def test_a_joined_message_is_reported_under_the_ids_of_its_parts(engine: Any, nouns: Any) -> None:
    message = nouns.message(part_ids=(7, 9))

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await finish(store, message)
        [receipt] = await store.receipts("demo", 0, 1)
        assert receipt.ids == (7, 9)

    engine.walk(road)


def test_receipts_for_a_handler_are_put_off_and_counted(engine: Any, nouns: Any) -> None:
    message = nouns.message(registered_delivery=0, notify=Notify.HTTP)

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        receipt = await finish(store, message)
        assert list(await store.receipts("demo", 0, 10)) == []
        assert list(await store.receipts_by_http("demo", NOW, 10)) == [receipt]
        assert list(await store.receipts_by_http("demo", NOW + MINUTE - 1, 10)) == []
        assert list(await store.receipts_by_http("demo", NOW + MINUTE, 10)) == [receipt]
        await store.put_off([receipt], NOW + DAY)
        assert list(await store.receipts_by_http("demo", NOW + DAY - 1, 10)) == []

    async def later(store: Store) -> None:
        [receipt] = await store.receipts_by_http("demo", NOW + DAY, 10)
        assert receipt.attempts == 1
        await store.delivered([receipt], NOW + DAY)
        assert list(await store.receipts_by_http("demo", NOW + 2 * DAY, 10)) == []
        assert await events(store, message.id) == ["accepted", "final", "receipt"]

    engine.walk(road, later)


def test_each_handler_has_a_page_of_its_own(engine: Any, nouns: Any) -> None:
    messages = [nouns.message(registered_delivery=0, notify=Notify.HTTP) for _ in range(5)]
    messages[3].account = "other"

    async def road(store: Store) -> None:
        assert list(await store.accounts_by_http()) == []
        await nouns.accept(store, *messages)
        made = [await finish(store, message) for message in messages]
        assert list(await store.receipts_by_http("other", NOW, 2)) == [made[3]]
        assert list(await store.receipts_by_http("demo", NOW, 2)) == made[:2]
        assert list(await store.receipts_by_http("demo", NOW, 9)) == [made[2], made[4]]
        # It has some, although none is due.
        assert sorted(await store.accounts_by_http()) == ["demo", "other"]
        await store.delivered([made[3]], NOW)
        await store.drop_receipts(made[:3], "no", NOW)

    async def later(store: Store) -> None:
        assert list(await store.accounts_by_http()) == ["demo"]

    engine.walk(road, later)


def test_nobody_is_told_who_did_not_ask(engine: Any, nouns: Any) -> None:
    message = nouns.message(registered_delivery=0, notify=Notify.NOBODY)

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        [applied] = await apply(store, Settled(id=message.id, state=MessageState.REJECTED, reason="no"))
        assert (applied.ended, applied.receipt) == (True, None)
        assert (await store.stats()).outbox == {}

    engine.walk(road)


def test_receipts_nobody_came_for_are_found_and_dropped(engine: Any, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(5)]
    by_http = nouns.message(registered_delivery=0, notify=Notify.HTTP)

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages, by_http)
        made = [await finish(store, message, now=NOW + n) for n, message in enumerate(messages)]
        await finish(store, by_http)
        assert list(await store.old_receipts("demo", NOW, 5, 10)) == []
        assert list(await store.old_receipts("demo", NOW + 2, 5, 10)) == made[:2]
        assert list(await store.old_receipts("demo", NOW, 2, 10)) == made[:3]
        assert list(await store.old_receipts("demo", NOW + 1, 2, 10)) == made[:3]
        assert list(await store.old_receipts("demo", NOW + 4, 2, 2)) == made[:2]
        assert list(await store.old_receipts("other", NOW + DAY, 0, 10)) == []
        await store.drop_receipts(made[:3], "nobody came", NOW + DAY)
        assert list(await store.receipts("demo", 0, 10)) == made[3:]
        line = (await store.timeline(messages[0].id))[-1]
        assert (line.at, line.event) == (NOW + DAY, "dropped")
        assert "nobody came" in line.detail
        assert (await store.stats()).outbox == {"demo": 3}

    engine.walk(road)


def test_a_message_from_a_subscriber_is_kept_once(engine: Any, nouns: Any) -> None:
    first = Incoming(provider="smsc", ref="mo-1", source="380501234567", destination="7000", text="СТОП", at=NOW)
    second = Incoming(provider="smsc", ref="mo-2", source="1", destination="2", text="", data=b"\x00\xff")

    async def road(store: Store) -> None:
        assert await store.incoming("demo", first)
        assert not await store.incoming("demo", first)
        assert await store.incoming("demo", second, NOW + 1)
        [one, two] = await store.receipts("demo", 0, 10)
        assert (one.incoming, two.incoming) == (first, second)
        assert list(await store.receipts("demo", one.seq, 10)) == [two]
        assert list(await store.receipts("other", 0, 10)) == []
        assert (await store.stats()).outbox == {"demo": 2}
        await store.delivered([one], NOW + 2)

    async def later(store: Store) -> None:
        assert [one.incoming for one in await store.receipts("demo", 0, 10)] == [second]
        assert not await store.incoming("demo", first)

    engine.walk(road, later)


def test_a_message_answers_the_newest_of_its_subscriber(engine: Any) -> None:
    def wrote(ref: str, source: str = "+421905123456", number: str = "7401") -> Incoming:
        return Incoming(provider="naimar", ref=ref, source=source, destination=number, text="ano")

    def wanted(message: int, **more: Any) -> Wanted:
        who = {"provider": "naimar", "account": "demo", "subscriber": "421905123456", "number": "7401"}
        return Wanted(message=message, **(who | more))

    async def road(store: Store) -> None:
        for n, one in enumerate((wrote("1"), wrote("2"), wrote("3", source="421900"), wrote("4", number="7402"))):
            assert await store.incoming("demo", one, NOW + n)
        assert await store.incoming("other", wrote("5"), NOW + 9)
        assert await store.answer([wanted(10), wanted(11), wanted(12)]) == ["2", "1", ""]
        assert await store.answer([wanted(13, provider="smsc"), wanted(14, number="1")]) == ["", ""]

    async def later(store: Store) -> None:
        # What was found once is found again, also where a newer one has come.
        assert await store.incoming("demo", wrote("6"), NOW + 20)
        assert await store.answer([wanted(11), wanted(10), wanted(12)]) == ["1", "2", "6"]
        # Named: answered or not, known or not, but never another account's.
        assert await store.answer([wanted(20, named="2"), wanted(21, named="99"), wanted(22, named="5")]) == [
            "2",
            "99",
            "",
        ]
        # The first that answered it still finds it, though another has named it since and a newer one has come.
        assert await store.incoming("demo", wrote("7"), NOW + 30)
        assert await store.answer([wanted(10), wanted(20, named="2")]) == ["2", "2"]

    engine.walk(road, later)


def test_a_message_is_found_by_what_a_provider_calls_it(engine: Any, nouns: Any) -> None:
    one, two = nouns.message(), nouns.message()

    async def road(store: Store) -> None:
        assert await nouns.accept(store, one, two) == [None, None]
        for message, ref in ((one, "abc"), (two, str(two.id))):
            await apply(store, Began(id=message.id, provider="p"), handed(message, ref, "p"))

    async def later(store: Store) -> None:
        for ref, id in (("abc", one.id), (str(two.id), two.id)):
            found = await store.find_by_ref("p", ref)
            assert found is not None
            assert found.id == id
        for provider, ref in (("q", "abc"), ("p", "abd"), ("p", str(one.id)), ("p", "")):
            assert await store.find_by_ref(provider, ref) is None

    engine.walk(road, later)


# Looking -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 1000])
def test_messages_are_listed_newest_first_by_what_is_asked_for(
    engine: Any, nouns: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are looked at in one question."""
    monkeypatch.setattr(reader, "_LOOK", at_once)
    one = nouns.message("a", at=NOW, command=Sms(text="a", comment="order 42"))
    two = nouns.message("b", at=NOW + 1, account="other", source="shop")
    three = nouns.message("c", at=NOW + 2, kind=Kind.VIBER, command=Viber(text="c"), destination="99")
    four = nouns.message("d", at=NOW + 3, stage=Stage.WAITING)
    cases = [
        (Filter(), [four, three, two, one]),
        (Filter(limit=2), [four, three]),
        (Filter(before=three.id), [two, one]),
        (Filter(account="other"), [two]),
        (Filter(kind=Kind.VIBER), [three]),
        (Filter(stage=Stage.WAITING), [four]),
        (Filter(stage=Stage.WAITING, account="other"), []),
        (Filter(stage=Stage.READY), [three, two]),
        (Filter(stage=Stage.FINAL), [one]),
        (Filter(state="DELIVERED"), [one]),
        (Filter(state="NONSENSE"), []),
        (Filter(number="shop"), [two]),
        (Filter(number="99"), [three]),
        (Filter(number="9"), []),
        (Filter(comment="r 4"), [one]),
        (Filter(comment="%"), []),
        (Filter(since=NOW + 2), [four, three]),
        (Filter(until=NOW + 2), [two, one]),
        (Filter(since=NOW + 1, until=NOW + 3, account="demo"), [three]),
    ]

    async def road(store: Store) -> None:
        await nouns.accept(store, one, two, three, four)
        await finish(store, one)
        for wanted, expected in cases:
            assert [m.id for m in await store.list(wanted)] == [m.id for m in expected], wanted

    engine.walk(road)


def test_what_is_unknown_has_no_message_and_no_lines(engine: Any) -> None:
    async def road(store: Store) -> None:
        assert await store.find(404) is None
        assert list(await store.timeline(404)) == []

    engine.walk(road)


@pytest.mark.parametrize("id", [0, -1, 2**63, 10**30])
def test_a_number_that_is_no_id_is_unknown_like_any_other(engine: Any, id: int) -> None:
    async def road(store: Store) -> None:
        assert await store.find(id) is None
        assert list(await store.timeline(id)) == []
        assert list(await apply(store, Began(id=id or 404, provider="smsc"))) == [Applied(None)]
        await store.note([Entry(message=id, at=NOW, event="resent")])
        assert list(await store.list(Filter(before=id))) == []

    engine.walk(road)


def test_lines_can_be_added_to_a_time_line(engine: Any, nouns: Any) -> None:
    message = nouns.message()
    line = Entry(message=message.id, at=NOW + 1, event="resent", detail="over bind 12")

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        await store.note([line, line, Entry(message=404, at=NOW, event="resent")])
        assert (await store.timeline(message.id))[1:] == [line, line]
        assert list(await store.timeline(404)) == []

    engine.walk(road)


def test_counts_follow_the_messages_and_survive_a_restart(engine: Any, nouns: Any) -> None:
    waiting = [nouns.message(at=NOW + n, stage=Stage.WAITING, due=NOW + DAY) for n in range(3)]
    sending, sent, doubt, done = (nouns.message(at=NOW + 10) for _ in range(4))

    async def road(store: Store) -> None:
        stats = await store.stats()
        assert (stats.waiting, stats.in_flight, stats.outbox) == (0, 0, {})
        assert (stats.oldest_waiting, stats.oldest_receipt) == (0, 0)
        await nouns.accept(store, *waiting, sending, sent, doubt, done)
        await apply(
            store,
            Began(id=sending.id, provider="smsc"),
            handed(sent, "1"),
            Doubted(id=doubt.id, provider="smsc", reason="time-out", look_at=NOW),
            Settled(id=done.id, state=MessageState.DELIVERED, reason="test"),
            now=NOW + 20,
        )
        stats = await store.stats()
        assert (stats.waiting, stats.in_flight, stats.outbox) == (3, 3, {"demo": 1})
        assert (stats.oldest_waiting, stats.oldest_receipt) == (NOW, NOW + 20)
        await apply(store, Settled(id=waiting[0].id, state=MessageState.DELETED, reason="test"), now=NOW + 30)
        await store.delivered(await store.receipts("demo", 0, 1), NOW + 40)

    async def later(store: Store) -> None:
        stats = await store.stats()
        assert (stats.waiting, stats.in_flight, stats.outbox) == (2, 3, {"demo": 1})
        assert (stats.oldest_waiting, stats.oldest_receipt) == (NOW + 1, NOW + 30)
        await finish(store, sent)
        assert (await store.stats()).in_flight == 2

    engine.walk(road, later)


def test_the_highest_id_is_known_even_when_what_had_it_is_gone(engine: Any, nouns: Any) -> None:
    message, part = nouns.message(), nouns.part(1)
    last = nouns.message()

    async def road(store: Store) -> None:
        assert await store.last_id() == 0
        await nouns.accept(store, message)
        assert await store.last_id() == message.id
        await store.hold(part)
        assert await store.last_id() == part.id
        await store.drop_parts([part])

    async def later(store: Store) -> None:
        assert await store.last_id() == part.id
        await nouns.accept(store, last)
        await store.delivered([await finish(store, last)], NOW)
        await store.delivered([await finish(store, message)], NOW)
        assert await store.purge(NOW + DAY, 10) == 2

    async def at_last(store: Store) -> None:
        assert await store.last_id() == last.id

    engine.walk(road, later, at_last)


# Keeping -------------------------------------------------------------------------------------------------------------


def test_purging_forgets_what_is_final_and_told(engine: Any, nouns: Any) -> None:
    old, open_, told_lately = (nouns.message(at=at) for at in (NOW, NOW + 1, NOW + 2))
    parts = [nouns.part(1), nouns.part(2)]
    joined = nouns.message(at=NOW + 3, part_ids=tuple(part.id for part in parts))
    young = nouns.message(at=NOW + DAY)

    async def road(store: Store) -> None:
        await nouns.accept(store, old, open_, told_lately, young)
        for part in parts:
            await store.hold(part)
        await store.join(joined, parts)
        await apply(store, handed(old, "ref-of-old"), reported(MessageState.DELIVERED, ref="ref-of-old"))
        for message in (joined, young):
            await finish(store, message)
        await store.delivered(await store.receipts("demo", 0, 10), NOW + 1)
        # Its receipt was queued after `before`, so it may still be fetched.
        await finish(store, told_lately, now=NOW + 2 * DAY)

        assert await store.purge(NOW, 10) == 0
        assert await store.purge(NOW + DAY, 10) == 2
        assert await store.purge(NOW + DAY, 10) == 0
        for id in (old.id, joined.id, parts[0].id):
            assert await store.find(id) is None
            assert list(await store.timeline(id)) == []
        assert list(await apply(store, reported(MessageState.DELIVERED, ref="ref-of-old"))) == [Applied(None)]
        for message in (open_, told_lately, young):
            assert await store.find(message.id)
        assert (await store.stats()).outbox == {"demo": 1}
        assert await store.purge(NOW + 3 * DAY, 10) == 2
        assert (await store.stats()).outbox == {}
        assert await store.find(told_lately.id) is None

    engine.walk(road)


def test_purging_does_not_stop_at_what_has_to_stay(engine: Any, nouns: Any) -> None:
    """However many that are old are not over yet: what is behind them goes all the same, in one call."""
    waiting = [nouns.message(stage=Stage.WAITING, due=NOW + 9 * DAY) for _ in range(60)]
    message = nouns.message(notify=Notify.NOBODY, registered_delivery=0)

    async def road(store: Store) -> None:
        await nouns.accept(store, *waiting, message)
        await apply(store, Settled(id=message.id, state=MessageState.DELIVERED, reason="test"))
        assert await store.purge(NOW + DAY, 2) == 1
        assert await store.find(message.id) is None

    engine.walk(road)


def test_purging_forgets_all_that_subscribers_wrote_long_ago(engine: Any, nouns: Any) -> None:
    def letter(n: int) -> Incoming:
        return Incoming(provider="smsc", ref=str(n), source="380501234567", destination="bank", text="STOP", at=NOW)

    async def road(store: Store) -> None:
        for n in range(9):
            arrival = await store.incoming("demo", letter(n))
            assert arrival
            await store.delivered([arrival], NOW)
        await store.purge(NOW + DAY, 2)
        for n in range(9):
            assert await store.incoming("demo", letter(n)), "it is still known"

    engine.walk(road)


def test_purging_goes_in_small_steps(engine: Any, nouns: Any) -> None:
    messages = [nouns.message(notify=Notify.NOBODY, registered_delivery=0) for _ in range(5)]

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages)
        await apply(store, *(Settled(id=one.id, state=MessageState.DELIVERED, reason="test") for one in messages))
        assert [await store.purge(NOW + DAY, 2) for _ in range(4)] == [2, 2, 1, 0]

    engine.walk(road)


def test_a_parked_report_is_kept_for_a_day(engine: Any, nouns: Any) -> None:
    early, late = nouns.message(), nouns.message()

    async def road(store: Store) -> None:
        await nouns.accept(store, early, late)
        await apply(store, reported(MessageState.DELIVERED, ref="e"), reported(MessageState.DELIVERED, ref="l"))
        [applied] = await apply(store, handed(early, "e"), now=NOW + DAY - 1)
        assert applied.ended
        [applied] = await apply(store, handed(late, "l"), now=NOW + DAY)
        assert not applied.ended

    engine.walk(road)


# Several messages by one request, and what clients ask afterwards ----------------------------------------------------


def test_messages_of_one_request_are_found_under_one_id(engine: Any, nouns: Any) -> None:
    known_as = nouns.message().id
    messages = [nouns.message(destination=f"38050000000{n}") for n in range(3)]

    async def road(store: Store) -> None:
        assert list(await store.accept_many(messages, known_as)) == [None] * 3
        assert [message.id for message in await store.find_all(known_as)] == [message.id for message in messages]
        assert await store.find(known_as) == messages[0]
        assert await store.find(messages[1].id) == messages[1]
        assert list(await store.find_all(messages[1].id)) == [messages[1]]
        assert [entry.event for entry in await store.timeline(messages[2].id)] == ["accepted"]
        assert store.unsent_of("demo") == 3

    async def after_a_restart(store: Store) -> None:
        assert [message.id for message in await store.find_all(known_as)] == [message.id for message in messages]
        assert len(await store.claim(NOW, {"demo": 10})) == 3

    engine.walk(road, after_a_restart)


def test_a_duplicate_among_several_is_not_kept(engine: Any, nouns: Any) -> None:
    first = nouns.message("same", duplicate_window=MINUTE)
    known_as = nouns.message().id
    again, other, twice = (
        nouns.message("same", duplicate_window=MINUTE, destination=to) for to in (first.destination, "1", "1")
    )

    async def road(store: Store) -> None:
        await nouns.accept(store, first)
        verdicts = list(await store.accept_many([again, other, twice], known_as))
        assert verdicts == [
            Duplicate(first.id, first.bind, first.accepted_at),
            None,
            Duplicate(other.id, other.bind, other.accepted_at),
        ]
        assert [message.id for message in await store.find_all(known_as)] == [other.id]
        assert await store.find(again.id) is None
        assert store.unsent_of("demo") == 2

    engine.walk(road)


def test_an_id_that_a_client_was_told_is_never_given_again(engine: Any, nouns: Any) -> None:
    one = nouns.message("same", duplicate_window=MINUTE)
    again = nouns.message("same", duplicate_window=MINUTE)
    known_as = nouns.message().id

    async def road(store: Store) -> None:
        await nouns.accept(store, one)
        await store.accept_many([again], known_as)
        assert list(await store.find_all(known_as)) == []
        assert await store.last_id() == known_as

    async def after_a_restart(store: Store) -> None:
        assert await store.last_id() == known_as
        assert list(await store.accept_many([], known_as)) == []

    engine.walk(road, after_a_restart)


def test_purging_forgets_the_id_of_several_with_the_last_of_them(engine: Any, nouns: Any) -> None:
    one, two, known_as = nouns.message(), nouns.message(), nouns.message().id

    async def road(store: Store) -> None:
        await store.accept_many([one, two], known_as)
        await finish(store, one)
        await store.delivered(await store.receipts("demo", 0, 10), NOW)
        assert await store.purge(NOW + DAY, 10) == 1
        assert [message.id for message in await store.find_all(known_as)] == [two.id]
        await finish(store, two)
        await store.delivered(await store.receipts("demo", 0, 10), NOW)
        assert await store.purge(NOW + DAY, 10) == 1
        assert list(await store.find_all(known_as)) == []
        assert await store.find(known_as) is None
        assert await store.last_id() == known_as

    engine.walk(road)


def test_any_part_names_the_joined_message_and_a_held_one_itself(engine: Any, nouns: Any) -> None:
    parts = [nouns.part(1), nouns.part(2)]
    message = nouns.message(part_ids=tuple(part.id for part in parts))

    async def road(store: Store) -> None:
        await store.hold(parts[0])
        assert await store.find_part(parts[0].id) == parts[0]
        assert await store.find_part(parts[1].id) is None
        assert list(await store.find_all(parts[0].id)) == []
        await store.hold(parts[1])
        await store.join(message, parts)
        for part in parts:
            assert await store.find_part(part.id) is None
            assert [found.id for found in await store.find_all(part.id)] == [message.id]

    engine.walk(road)


@pytest.mark.parametrize("id", [0, -1, 2**63, 10**30])
def test_a_number_that_is_no_id_stands_for_nothing(engine: Any, id: int) -> None:
    async def road(store: Store) -> None:
        assert list(await store.find_all(id)) == []
        assert await store.find_part(id) is None

    engine.walk(road)


def test_the_unsent_of_a_source_and_destination_are_found_in_their_order(engine: Any, nouns: Any) -> None:
    waiting = nouns.message(stage=Stage.WAITING, due=NOW + DAY)
    ready, sending, sent, over = (nouns.message() for _ in range(4))
    others = [nouns.message(account="other"), nouns.message(source="shop"), nouns.message(destination="+380501234567")]

    async def road(store: Store) -> None:
        await nouns.accept(store, waiting, ready, sending, sent, over, *others)
        await apply(
            store,
            Began(id=sending.id, provider="smsc"),
            handed(sent, "r"),
            Settled(id=over.id, state=MessageState.REJECTED, reason="test"),
        )
        found = await store.unsent("demo", "bank", "380501234567", 10)
        assert [message.id for message in found] == [waiting.id, ready.id, sending.id]
        assert [message.id for message in await store.unsent("demo", "bank", "380501234567", 1)] == [waiting.id]
        assert list(await store.unsent("demo", "bank", "38050", 10)) == []

    engine.walk(road)


def test_unsent_messages_are_counted_by_account(engine: Any, nouns: Any) -> None:
    mine = [nouns.message(stage=stage) for stage in (Stage.READY, Stage.WAITING, Stage.SENDING)]
    other = nouns.message(account="other")

    async def road(store: Store) -> None:
        await nouns.accept(store, *mine, other)
        assert (store.unsent_of("demo"), store.unsent_of("other"), store.unsent_of("nobody")) == (3, 1, 0)
        await apply(store, Began(id=mine[0].id, provider="smsc"))
        assert store.unsent_of("demo") == 3
        await apply(store, handed(mine[0], "r"), Cancelled(id=mine[1].id, reason="test"))
        assert store.unsent_of("demo") == 1
        await apply(store, Doubted(id=mine[2].id, provider="smsc", reason="?", look_at=NOW))
        assert store.unsent_of("demo") == 0
        await apply(store, Postponed(id=mine[2].id, until=NOW, reason="not processed"))
        assert (await store.stats()).unsent == {"demo": 1, "other": 1}

    async def after_a_restart(store: Store) -> None:
        assert (await store.stats()).unsent == {"demo": 1, "other": 1}
        assert store.unsent_of("demo") == 1

    engine.walk(road, after_a_restart)


def replacement(message: Message, text: str = "another", **fields: Any) -> Replacement:
    given: dict[str, Any] = {
        "id": message.id,
        "command": Viber(text=text, comment="noted"),
        "kind": Kind.VIBER,
        "registered_delivery": 0,
        "notify": Notify.NOBODY,
        "due": NOW + MINUTE,
        "expires": NOW + 2 * DAY,
        "detail": "by the client",
    }
    return Replacement(**given | fields)


@pytest.mark.parametrize(
    ("stage", "recalled", "replaced"),
    [
        (Stage.WAITING, False, True),
        (Stage.WAITING, True, True),
        (Stage.READY, False, False),
        (Stage.READY, True, True),
        (Stage.SENDING, False, False),
        (Stage.SENDING, True, True),
        (Stage.SENT, True, False),
        (Stage.DOUBT, True, False),
        (Stage.FINAL, True, False),
    ],
)
def test_only_what_nobody_holds_is_replaced(
    engine: Any, nouns: Any, stage: Stage, recalled: bool, replaced: bool
) -> None:
    begun = {"provider": "smsc", "attempts": 1} if stage is Stage.SENDING else {}
    first = Stage.READY if stage > Stage.SENDING else stage
    message = nouns.message("one", progress=Progress(stage=first, due=NOW, **begun))
    further: dict[Stage, Change] = {
        Stage.SENT: handed(message, "r"),
        Stage.DOUBT: Doubted(id=message.id, provider="smsc", reason="?", look_at=NOW),
        Stage.FINAL: Cancelled(id=message.id, reason="test"),
    }

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        if stage in further:
            await change(store, further[stage])
        before = await store.find(message.id)
        after = await store.replace(replacement(message, recalled=recalled), NOW + 1)
        if not replaced:
            assert after is None
            assert await store.find(message.id) == before
            assert "replaced" not in [entry.event for entry in await store.timeline(message.id)]
            return
        assert after is not None
        assert after.command == Viber(text="another", comment="noted")
        assert after.progress == Progress(stage=Stage.WAITING, due=NOW + MINUTE)
        assert (after.kind, after.registered_delivery, after.notify) == (Kind.VIBER, 0, Notify.NOBODY)
        assert (after.expires, after.accepted_at, after.pdu) == (NOW + 2 * DAY, message.accepted_at, message.pdu)
        assert await store.find(message.id) == after
        assert list(await store.list(Filter(comment="noted"))) == [after]
        lines = await store.timeline(message.id)
        assert lines[-1] == Entry(message=message.id, at=NOW + 1, event="replaced", detail="by the client")
        stats = await store.stats()
        assert (stats.waiting, stats.in_flight, stats.unsent) == (1, 0, {"demo": 1})

    async def after_a_restart(store: Store) -> None:
        if replaced:
            assert list(await store.claim(NOW, {"demo": 10})) == []
            [claimed] = await store.claim(NOW + MINUTE, {"demo": 10})
            assert claimed.command == Viber(text="another", comment="noted")

    engine.walk(road, after_a_restart)


def test_what_was_claimed_or_is_on_a_later_leg_is_not_replaced(engine: Any, nouns: Any) -> None:
    claimed, later = nouns.message(stage=Stage.WAITING, due=NOW), nouns.message()

    async def road(store: Store) -> None:
        await nouns.accept(store, claimed, later)
        await store.claim(NOW, {"demo": 10})
        assert await store.replace(replacement(claimed), NOW) is None
        await apply(store, LedOn(id=later.id, reason="nobody takes it"))
        assert await store.replace(replacement(later, recalled=True), NOW) is None
        assert await store.replace(replacement(nouns.message()), NOW) is None

    engine.walk(road)


def test_a_replaced_text_is_what_repetitions_are_compared_with(engine: Any, nouns: Any) -> None:
    message = nouns.message("one", stage=Stage.WAITING, duplicate_window=MINUTE)
    old, new = (nouns.message(text, duplicate_window=MINUTE, at=NOW + SECOND) for text in ("one", "two"))
    put = {"command": Sms(text="two"), "kind": Kind.SMS}

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        assert await store.replace(replacement(message, **put), NOW)
        assert await nouns.accept(store, new, old) == [Duplicate(message.id, message.bind, NOW), None]

    async def after_a_restart(store: Store) -> None:
        again = nouns.message("two", duplicate_window=MINUTE, at=NOW + 2 * SECOND)
        assert await nouns.accept(store, again) == [Duplicate(message.id, message.bind, NOW)]

    engine.walk(road, after_a_restart)


def test_a_message_is_replaced_in_the_transaction_that_accepts_it(engine: Any, nouns: Any) -> None:
    message = nouns.message("one", stage=Stage.WAITING)

    async def road(store: Store) -> None:
        accepted = asyncio.create_task(nouns.accept(store, message))
        await asyncio.sleep(0)
        after = await store.replace(replacement(message), NOW)
        await accepted
        assert after is not None
        assert await store.find(message.id) == after
        # And taken by what follows: it is the new one that everybody sees.
        assert (await change(store, Taken(id=message.id))).command == after.command

    engine.walk(road)


def absent(subscriber: str = "380501234567", **fields: Any) -> Absent:
    given: dict[str, Any] = {
        "account": "demo",
        "subscriber": subscriber,
        "destination": f"+{subscriber}",
        "destination_ton": 1,
        "destination_npi": 1,
        "source": "bank",
        "source_ton": 5,
        "source_npi": 0,
        "at": NOW,
    }
    return Absent(**given | fields)


def test_who_waits_for_a_subscriber_is_told_once(engine: Any) -> None:
    async def road(store: Store) -> None:
        assert list(await store.reachable(["380501234567"], NOW)) == []
        assert not store.any_absent()
        await store.absent([absent(), absent(account="other"), absent("2"), absent("3")])
        await store.absent([absent(source="shop", source_ton=1, source_npi=1, at=NOW + 1)])

    async def again(store: Store) -> None:
        alerts = await store.reachable(["9", "2", "380501234567"], NOW + 2)
        assert [(alert.account, alert.incoming.source) for alert in alerts] == [
            ("demo", "+2"),
            ("demo", "+380501234567"),
            ("other", "+380501234567"),
        ]
        latest = alerts[1].incoming
        assert (latest.destination, latest.text, latest.at, latest.alert) == ("shop", "", NOW + 2, (1, 1, 1, 1))
        assert alerts[2].incoming.alert == (1, 1, 5, 0)
        assert len({alert.incoming.ref for alert in alerts}) == 3
        assert list(await store.receipts("demo", 0, 10)) == list(alerts[:2])
        assert list(await store.reachable(["2", "380501234567"], NOW + 3)) == []
        assert (await store.stats()).outbox == {"demo": 2, "other": 1}

    async def after_a_restart(store: Store) -> None:
        assert store.any_absent()
        assert [type(row) for row in await store.receipts("other", 0, 10)] == [Arrival]
        assert [alert.incoming.source for alert in await store.reachable(["3"], NOW + 3)] == ["+3"]
        assert list(await store.reachable(["3"], NOW + 3)) == []
        assert not store.any_absent()

    engine.walk(road, again, after_a_restart)


def test_a_wish_is_seen_by_whoever_asks_after_it(engine: Any) -> None:
    async def road(store: Store) -> None:
        wished = asyncio.create_task(store.absent([absent()]))
        await asyncio.sleep(0)
        assert store.any_absent()
        assert len(await store.reachable(["380501234567"], NOW)) == 1
        await wished

    engine.walk(road)


def test_a_wish_is_forgotten_like_everything_that_is_old(engine: Any) -> None:
    async def road(store: Store) -> None:
        await store.absent([absent(), absent("2", at=NOW + DAY)])
        await store.purge(NOW + DAY, 10)
        assert list(await store.reachable(["380501234567"], NOW + DAY)) == []
        await store.purge(NOW + 2 * DAY, 10)
        assert list(await store.reachable(["2"], NOW + DAY)) == []

    engine.walk(road)
