from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import MessageState
from smppbridge.lifecycle import (
    EVENTS,
    FINAL_STATES,
    Began,
    Cancelled,
    Change,
    Doubted,
    Handed,
    LedOn,
    Looked,
    Notice,
    PassedOn,
    Postponed,
    Reported,
    Settled,
    Step,
    Taken,
    step,
    wanted,
)
from smppbridge.model import HlrResult, Kind, Message, Notify, Onward, Progress, Sms, Stage, StatusReport

NOW = 1_750_000_000_000
DAY = 86_400_000

WAITING, READY, SENDING, SENT, DOUBT, FINAL = Stage


def message(
    stage: Stage = READY, *, registered_delivery: int = 1, notify: Notify = Notify.SMPP, **known: object
) -> Message:
    progress = Progress(
        stage=stage, due=NOW + 5, state=MessageState.DELIVERED if stage is FINAL else MessageState.ENROUTE
    )
    return Message(
        id=4711,
        account="demo",
        bind=1,
        sequence=1,
        kind=Kind.SMS,
        command=Sms(text="hello"),
        source="bank",
        source_ton=5,
        source_npi=0,
        destination="380501234567",
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=registered_delivery,
        notify=notify,
        data_coding=0,
        pdu=b"",
        accepted_at=NOW - 1000,
        expires=NOW + DAY,
        progress=msgspec.structs.replace(progress, **known),
    )


def report(state: MessageState, **fields: object) -> Reported:
    return Reported(provider="smsc", report=msgspec.convert({"state": state, **fields}, StatusReport))


# Every stage meets every change --------------------------------------------------------------------------------------

#: Change → the stage that each stage goes over to, and the event on the time-line ("" is none). The columns are the
#: stages in the order WAITING, READY, SENDING, SENT, DOUBT, FINAL.
TABLE: dict[str, tuple[Change, list[tuple[Stage, str]]]] = {
    "taken": (
        Taken(id=4711),
        [(READY, ""), (READY, ""), (SENDING, ""), (SENT, ""), (DOUBT, ""), (FINAL, "")],
    ),
    "began": (
        Began(id=4711, provider="smsc"),
        [(SENDING, ""), (SENDING, ""), (SENDING, ""), (SENT, ""), (SENDING, ""), (FINAL, "")],
    ),
    "handed": (
        Handed(id=4711, provider="smsc", ref="r1", look_at=NOW + 60),
        [(SENT, "sent"), (SENT, "sent"), (SENT, "sent"), (SENT, "sent"), (SENT, "sent"), (FINAL, "late")],
    ),
    "postponed": (
        Postponed(id=4711, until=NOW + 60, reason="overload"),
        [(WAITING, "again"), (WAITING, "again"), (WAITING, "again"), (SENT, "late"), (WAITING, "again"), (FINAL, "")],
    ),
    "passed on": (
        PassedOn(id=4711, provider="smsc", reason="no route"),
        [
            (WAITING, "passed on"),
            (WAITING, "passed on"),
            (WAITING, "passed on"),
            (SENT, "late"),
            (WAITING, "passed on"),
            (FINAL, "late"),
        ],
    ),
    "led on": (
        LedOn(id=4711, reason="all rest"),
        [(WAITING, "next leg"), (WAITING, "next leg"), (SENDING, ""), (SENT, ""), (DOUBT, ""), (FINAL, "")],
    ),
    "doubted": (
        Doubted(id=4711, provider="smsc", reason="time-out", look_at=NOW + 60),
        [
            (DOUBT, "in doubt"),
            (DOUBT, "in doubt"),
            (DOUBT, "in doubt"),
            (SENT, "late"),
            (DOUBT, "in doubt"),
            (FINAL, "late"),
        ],
    ),
    "looked": (
        Looked(id=4711, look_at=NOW + 60),
        [(WAITING, ""), (READY, ""), (SENDING, ""), (SENT, ""), (DOUBT, ""), (FINAL, "")],
    ),
    "reported on its way": (
        report(MessageState.ACCEPTED),
        [(SENT, "status"), (SENT, "status"), (SENT, "status"), (SENT, "status"), (SENT, "status"), (FINAL, "")],
    ),
    "reported unknown": (
        report(MessageState.UNKNOWN),
        [(SENT, "status"), (SENT, "status"), (SENT, "status"), (SENT, "status"), (SENT, "status"), (FINAL, "late")],
    ),
    "reported delivered": (
        report(MessageState.DELIVERED),
        [(FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "")],
    ),
    "reported undeliverable": (
        report(MessageState.UNDELIVERABLE),
        [(FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "late")],
    ),
    "cancelled": (
        Cancelled(id=4711, reason="by the client"),
        [(FINAL, "final"), (FINAL, "final"), (SENDING, ""), (SENT, ""), (DOUBT, ""), (FINAL, "")],
    ),
    "cancelled and recalled": (
        Cancelled(id=4711, recalled=True, reason="by the client"),
        [(FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (SENT, ""), (DOUBT, ""), (FINAL, "")],
    ),
    "settled": (
        Settled(id=4711, state=MessageState.EXPIRED, reason="the validity is over"),
        [(FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "final"), (FINAL, "late")],
    ),
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("name", TABLE)
def test_every_stage_has_an_answer_to_every_change(name: str, stage: Stage) -> None:
    change, row = TABLE[name]
    goes_to, event = row[stage]
    before = message(stage)
    result = step(before, change, NOW)
    assert result.progress.stage is goes_to
    assert (result.entry.event if result.entry else "") == event
    assert not result.entry or result.entry.event in EVENTS
    # A notice goes out on entering FINAL and at no other time; intermediate ones were not asked for.
    assert bool(result.notice) is (goes_to is FINAL and stage is not FINAL)
    if stage is FINAL:
        assert result.progress.state is MessageState.DELIVERED
        assert result.progress.done_at == before.progress.done_at


def test_the_table_names_every_change() -> None:
    changes = {type(change) for change, _ in TABLE.values()}
    assert changes == {Taken, Began, Handed, Postponed, PassedOn, LedOn, Doubted, Looked, Reported, Settled, Cancelled}


# What a step carries over --------------------------------------------------------------------------------------------


def test_beginning_counts_the_attempt() -> None:
    after = step(message(READY, attempts=2), Began(id=4711, provider="smsc"), NOW).progress
    assert (after.attempts, after.provider) == (3, "smsc")


@pytest.mark.parametrize(("provider", "ref"), [("smsc", "r1"), ("other", "")])
def test_a_reference_stays_with_the_provider_that_gave_it(provider: str, ref: str) -> None:
    doubtful = message(DOUBT, provider="smsc", ref="r1")
    assert step(doubtful, Began(id=4711, provider=provider), NOW).progress.ref == ref
    told = Reported(provider=provider, report=StatusReport(state=MessageState.ACCEPTED))
    assert step(doubtful, told, NOW).progress.ref == ref


def test_an_attempt_is_never_put_off_beyond_the_validity() -> None:
    after = step(message(SENDING), Postponed(id=4711, until=NOW + 9 * DAY, reason="overload"), NOW).progress
    assert after.due == NOW + DAY


def test_going_from_memory_back_to_disk_is_nothing_to_tell() -> None:
    result = step(message(READY), Postponed(id=4711, until=NOW, reason=""), NOW)
    assert (result.progress.stage, result.entry) == (WAITING, None)


def test_providers_that_cannot_are_remembered_in_their_order() -> None:
    first = step(message(SENDING), PassedOn(id=4711, provider="a", reason="no funds"), NOW).progress
    second = step(
        message(SENDING, refused_by=first.refused_by), PassedOn(id=4711, provider="b", reason="-"), NOW
    ).progress
    assert (second.refused_by, second.due) == ("a,b", NOW)


def test_a_doubt_keeps_what_is_known_to_ask_by() -> None:
    doubt = Doubted(id=4711, provider="smsc", ref="mine", reason="time-out", look_at=NOW + 60)
    after = step(message(SENDING), doubt, NOW).progress
    assert (after.ref, after.due) == ("mine", NOW + 60)
    assert (
        step(message(SENDING, provider="smsc", ref="r"), msgspec.structs.replace(doubt, ref=""), NOW).progress.ref
        == "r"
    )


def test_looking_counts_for_the_schedule() -> None:
    after = step(message(SENT, polls=1), Looked(id=4711, look_at=NOW + 60), NOW).progress
    assert (after.polls, after.due) == (2, NOW + 60)
    asked = Reported(provider="smsc", report=StatusReport(state=MessageState.ENROUTE), look_at=NOW + 90)
    after = step(message(SENT, polls=1), asked, NOW).progress
    assert (after.polls, after.due) == (2, NOW + 90)


def test_a_state_told_twice_is_one_line() -> None:
    told = report(MessageState.ACCEPTED)
    first = step(message(SENT), told, NOW)
    assert first.entry is not None
    again = step(message(SENT, state=first.progress.state), told, NOW)
    assert again.entry is None


def test_the_end_carries_what_the_provider_told() -> None:
    hlr = HlrResult(imsi="255")
    fields = {"err": 27, "at": NOW - 9, "cost": "1.40", "parts": 2, "ref": "r", "channel": "viber"}
    told = StatusReport(state=MessageState.UNDELIVERABLE, hlr=hlr, **fields)  # type: ignore[arg-type]
    result = step(message(SENT), Reported(provider="smsc", report=told), NOW)
    assert result.progress == Progress(
        stage=FINAL,
        state=MessageState.UNDELIVERABLE,
        provider="smsc",
        ref="r",
        err=27,
        done_at=NOW - 9,
        cost="1.40",
        parts=2,
        channel="viber",
    )
    assert result.notice == Notice(Notify.SMPP, MessageState.UNDELIVERABLE, 27, NOW - 9, hlr, (4711,))
    assert result.entry is not None
    assert result.entry.detail == "smsc: UNDELIVERABLE err 27 by viber"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"err": 99_999}, {"err": 99}),
        ({"err": -1}, {"err": 99}),
        ({"parts": -5}, {"parts": 0}),
        ({"parts": 2**40}, {"parts": 0}),
        ({"cost": "1,4\u20ac"}, {"cost": ""}),
        ({"cost": "9" * 17}, {"cost": ""}),
        ({"at": 2**62}, {"done_at": NOW}),
        ({"at": -5}, {"done_at": NOW}),
    ],
)
def test_what_cannot_be_true_does_not_stand_in_the_way_of_the_state(
    told: dict[str, object], kept: dict[str, object]
) -> None:
    after = step(message(SENT), report(MessageState.DELIVERED, **told), NOW).progress
    assert after.state is MessageState.DELIVERED
    assert {name: getattr(after, name) for name in kept} == kept


def test_a_reference_is_kept_after_the_end() -> None:
    result = step(message(FINAL), Handed(id=4711, provider="smsc", ref="r", look_at=NOW, cost="2", parts=1), NOW)
    assert (result.progress.ref, result.progress.cost, result.progress.parts) == ("r", "2", 1)


def test_parts_that_asked_are_told_of() -> None:
    joined = msgspec.structs.replace(message(SENT), part_ids=(1, 2))
    notice = step(joined, report(MessageState.DELIVERED), NOW).notice
    assert notice is not None
    assert notice.ids == (1, 2)


# Who hears of what ---------------------------------------------------------------------------------------------------

DELIVERED, UNDELIVERABLE, ENROUTE = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.ENROUTE


@pytest.mark.parametrize(
    ("registered_delivery", "delivered", "failed", "under_way"),
    [
        (0x00, False, False, False),
        (0x01, True, True, False),
        (0x02, False, True, False),
        (0x03, True, False, False),
        (0x10, False, False, True),
        (0x11, True, True, True),
        (0x12, False, True, True),
        (0x04, False, False, False),  # an SME acknowledgement is the handset's affair (SMPP 3.4 §5.2.17)
    ],
)
def test_registered_delivery_decides(registered_delivery: int, delivered: bool, failed: bool, under_way: bool) -> None:
    assert wanted(registered_delivery, DELIVERED) is delivered
    assert wanted(registered_delivery, UNDELIVERABLE) is failed
    assert wanted(registered_delivery, ENROUTE) is under_way


@pytest.mark.parametrize(
    ("notify", "registered_delivery", "change", "hears"),
    [
        (Notify.SMPP, 0x11, Handed(id=4711, provider="smsc", ref="r", look_at=NOW), ENROUTE),
        (Notify.SMPP, 0x01, Handed(id=4711, provider="smsc", ref="r", look_at=NOW), None),
        (Notify.SMPP, 0x11, report(MessageState.ACCEPTED), MessageState.ACCEPTED),
        (Notify.SMPP, 0x11, report(MessageState.UNKNOWN), None),
        (Notify.SMPP, 0x03, report(UNDELIVERABLE), None),
        (Notify.HTTP, 0x00, report(DELIVERED), DELIVERED),
        (Notify.HTTP, 0x00, report(MessageState.ACCEPTED), None),
        (Notify.NOBODY, 0x00, report(DELIVERED), None),
    ],
)
def test_a_notice_goes_where_it_was_asked_for(
    notify: Notify, registered_delivery: int, change: Change, hears: MessageState | None
) -> None:
    notice = step(message(SENDING, notify=notify, registered_delivery=registered_delivery), change, NOW).notice
    assert (notice.state if notice else None) is hears
    assert notice is None or notice.channel is notify


# Cancelled by the client ---------------------------------------------------------------------------------------------

CANCELLED = Cancelled(id=4711, reason="by the client")


@pytest.mark.parametrize(
    ("registered_delivery", "told"), [(0x00, False), (0x01, True), (0x02, True), (0x03, False), (0x11, True)]
)
def test_what_is_cancelled_ends_as_deleted_and_is_told_as_it_was_asked_for(
    registered_delivery: int, told: bool
) -> None:
    result = step(message(WAITING, registered_delivery=registered_delivery), CANCELLED, NOW)
    progress = result.progress
    assert (progress.state, progress.err, progress.done_at, progress.due) == (MessageState.DELETED, 0, NOW, 0)
    assert bool(result.notice) is told
    assert result.entry is not None
    assert (result.entry.event, result.entry.detail) == ("final", "by the client")


@pytest.mark.parametrize(
    ("change", "event"),
    [
        (Began(id=4711, provider="smsc"), ""),
        (Taken(id=4711), ""),
        (Postponed(id=4711, until=NOW + 60, reason="overload"), ""),
        (LedOn(id=4711, reason="all rest"), ""),
        (Handed(id=4711, provider="smsc", ref="r1", look_at=NOW + 60), "late"),
        (report(MessageState.DELIVERED), "late"),
        (Settled(id=4711, state=MessageState.EXPIRED, reason="the validity is over"), "late"),
    ],
)
def test_what_comes_after_a_cancellation_sends_nothing_and_tells_nobody(change: Change, event: str) -> None:
    cancelled = msgspec.structs.replace(message(), progress=step(message(READY), CANCELLED, NOW).progress)
    result = step(cancelled, change, NOW + 1)
    assert (result.progress.stage, result.progress.state, result.progress.done_at) == (FINAL, MessageState.DELETED, NOW)
    assert (result.entry.event if result.entry else "") == event
    assert result.notice is None


# Legs of a cascade ---------------------------------------------------------------------------------------------------


def on_leg(leg: int, stage: Stage = SENT, **known: object) -> Message:
    """A message on a leg of its route: the first (0) goes by Viber and another one follows, the second is the last."""
    provider, ref, channel = (("viber", "v1", "viber"), ("sms", "s1", "sms"))[leg]
    first = {"leg_ends": NOW + 60_000, "onward": Onward.IF_CERTAIN} if not leg else {}
    begun = {"provider": provider, "ref": ref, "attempts": 1} if stage > READY else {}
    return message(stage, **{"leg": leg, "channel": channel, **first, **begun, **known})


def told(leg: int, state: MessageState, **fields: object) -> Reported:
    """A callback that names the message by the reference of a leg."""
    provider, ref = (("viber", "v1"), ("sms", "s1"))[leg]
    return Reported(provider=provider, report=msgspec.convert({"state": state, "ref": ref, **fields}, StatusReport))


BEGUN = [SENT, DOUBT, SENDING]
CERTAIN = [MessageState.UNDELIVERABLE, MessageState.REJECTED, MessageState.EXPIRED, MessageState.SKIPPED]
IF_CERTAIN, ALWAYS = Onward.IF_CERTAIN, Onward.ALWAYS


@pytest.mark.parametrize("stage", [WAITING, READY, *BEGUN])
@pytest.mark.parametrize(
    ("state", "onward", "goes_on"),
    [
        *((state, onward, onward is not Onward.NO) for state in CERTAIN for onward in Onward),
        (MessageState.UNKNOWN, Onward.NO, False),
        (MessageState.UNKNOWN, IF_CERTAIN, False),
        (MessageState.UNKNOWN, ALWAYS, True),
        *((MessageState.DELIVERED, onward, False) for onward in Onward),
        *((MessageState.DELETED, onward, False) for onward in Onward),
    ],
)
def test_what_ends_a_leg_ends_the_message_or_not(
    stage: Stage, state: MessageState, onward: Onward, goes_on: bool
) -> None:
    before = on_leg(0, stage, onward=onward, refused_by="x", attempts=2, polls=3, cost="1", parts=2, err=5)
    given: list[Change] = [Settled(id=4711, leg=0, state=state, err=7, reason="decided")]
    if state is not MessageState.UNKNOWN and stage in BEGUN:
        given += [told(0, state), Reported(id=4711, leg=0, provider="viber", report=StatusReport(state=state))]
    for change in given:
        result = step(before, change, NOW)
        assert result.entry is not None
        if goes_on:
            assert result.progress == Progress(stage=WAITING, due=NOW, leg=1, channel="viber")
            assert (result.entry.event, result.notice) == ("next leg", None)
            assert result.entry.detail.startswith("leg 1 (viber) is over: ")
        else:
            assert (result.progress.stage, result.progress.state, result.progress.leg) == (FINAL, state, 0)
            assert (result.entry.event, result.notice is not None) == ("final", True)


@pytest.mark.parametrize("leg", [0, 1])
@pytest.mark.parametrize("onward", Onward)
@pytest.mark.parametrize("stage", Stage)
def test_no_leg_follows_a_cancellation(leg: int, onward: Onward, stage: Stage) -> None:
    before = on_leg(leg, stage, onward=onward)
    after = step(before, CANCELLED, NOW).progress
    if stage in (WAITING, READY):
        assert (after.stage, after.state, after.leg) == (FINAL, MessageState.DELETED, leg)
    else:
        assert after == before.progress


def test_no_leg_follows_after_the_end_of_the_validity() -> None:
    result = step(on_leg(0), told(0, MessageState.EXPIRED), NOW + DAY)
    assert (result.progress.stage, result.progress.state) == (FINAL, MessageState.EXPIRED)


def test_the_first_request_of_a_leg_starts_its_clock() -> None:
    first = Began(id=4711, leg=0, provider="a", leg_ends=NOW + 60, onward=IF_CERTAIN, channel="viber", answers="m1")
    begun = step(message(READY), first, NOW).progress
    assert (begun.leg_ends, begun.onward, begun.channel, begun.answers) == (NOW + 60, IF_CERTAIN, "viber", "m1")
    # Adapters take what is between the two for the validity period.
    assert begun.due == NOW
    again = msgspec.structs.replace(first, leg_ends=NOW + 999, onward=Onward.NO, answers="")
    later = step(msgspec.structs.replace(message(), progress=begun), again, NOW).progress
    assert later == msgspec.structs.replace(begun, attempts=2)
    # What it answers is the provider's, as its reference is.
    elsewhere = msgspec.structs.replace(again, provider="b")
    other = step(msgspec.structs.replace(message(), progress=begun), elsewhere, NOW).progress
    assert (other.answers, other.leg_ends) == ("", NOW + 60)


def test_another_try_does_not_wait_for_longer_than_the_leg() -> None:
    after = step(on_leg(0, SENDING), Postponed(id=4711, leg=0, until=NOW + DAY, reason="overload"), NOW).progress
    assert after.due == NOW + 60_000


@pytest.mark.parametrize("stage", [WAITING, READY, *BEGUN])
def test_what_an_earlier_leg_delivered_is_the_end(stage: Stage) -> None:
    result = step(on_leg(1, stage, channel="sms" if stage in BEGUN else "viber"), told(0, DELIVERED, cost="2"), NOW)
    progress = result.progress
    assert (progress.stage, progress.state, progress.provider, progress.ref) == (FINAL, DELIVERED, "viber", "v1")
    # Of a leg that has begun the channel stands where that of the one before stood.
    assert (progress.channel, progress.cost) == ("" if stage in BEGUN else "viber", "2")
    assert result.notice is not None
    ended = msgspec.structs.replace(message(), progress=progress)
    # And nothing goes out any more, or is told once more.
    assert step(ended, Began(id=4711, leg=1, provider="sms", channel="sms"), NOW).progress == progress
    for change in (told(1, DELIVERED), told(1, MessageState.UNDELIVERABLE), told(0, DELIVERED)):
        after = step(ended, change, NOW)
        assert (after.progress, after.notice) == (progress, None)
    handed = step(ended, Handed(id=4711, leg=1, provider="sms", ref="s1", look_at=NOW), NOW)
    assert (handed.progress, handed.notice, handed.entry is not None) == (progress, None, True)


@pytest.mark.parametrize("stage", [WAITING, READY, *BEGUN])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (told(0, MessageState.UNDELIVERABLE), True),
        (told(0, MessageState.UNKNOWN), True),
        (told(0, ENROUTE), False),
        (Reported(id=4711, leg=0, provider="sms", report=StatusReport(state=MessageState.EXPIRED)), True),
        (Handed(id=4711, leg=0, provider="viber", ref="v1", look_at=NOW), True),
        (Doubted(id=4711, leg=0, provider="viber", reason="time-out", look_at=NOW), True),
        (PassedOn(id=4711, leg=0, provider="viber", reason="no route"), True),
        (Settled(id=4711, leg=0, state=MessageState.REJECTED, reason="refused"), True),
        (Postponed(id=4711, leg=0, until=NOW, reason="overload"), False),
        (LedOn(id=4711, leg=0, reason="all rest"), False),
        (Looked(id=4711, leg=0, look_at=NOW), False),
        (Began(id=4711, leg=0, provider="viber"), False),
        (Taken(id=4711, leg=0), False),
    ],
)
def test_what_comes_late_of_an_earlier_leg_moves_nothing(stage: Stage, change: Change, line: bool) -> None:
    before = on_leg(1, stage)
    result = step(before, change, NOW)
    assert (result.progress, result.notice) == (before.progress, None)
    assert (result.entry.event if result.entry else None) == ("late" if line else None)


def test_the_same_provider_is_told_apart_by_its_reference() -> None:
    before = on_leg(1, provider="viber")
    assert step(before, told(0, MessageState.UNDELIVERABLE), NOW).progress.stage is SENT
    of_this = Reported(provider="viber", report=StatusReport(state=MessageState.UNDELIVERABLE, ref="s1"))
    assert step(before, of_this, NOW).progress.stage is FINAL


two_legs: st.SearchStrategy[Change] = st.one_of(
    st.builds(Taken, leg=st.sampled_from([None, 0, 1])),
    st.builds(
        lambda leg: Began(
            leg=leg,
            provider="vs"[leg],
            channel="vs"[leg],
            leg_ends=(NOW + 60) * (1 - leg),
            onward=Onward.IF_CERTAIN if not leg else Onward.NO,
        ),
        st.sampled_from([0, 1]),
    ),
    st.builds(lambda leg: Handed(leg=leg, provider="vs"[leg], ref=f"r{leg}", look_at=NOW + 9), st.sampled_from([0, 1])),
    st.builds(Postponed, leg=st.sampled_from([0, 1]), until=st.just(NOW + 9), reason=st.just("overload")),
    st.builds(lambda leg: PassedOn(leg=leg, provider="vs"[leg], reason="-"), st.sampled_from([0, 1])),
    st.builds(LedOn, leg=st.just(0), reason=st.just("all rest")),
    st.builds(lambda leg: Doubted(leg=leg, provider="vs"[leg], reason="-", look_at=NOW + 9), st.sampled_from([0, 1])),
    st.builds(
        lambda leg, state, known: Reported(
            leg=leg if known else None, provider="vs"[leg], report=StatusReport(state=state, ref=f"r{leg}")
        ),
        st.sampled_from([0, 1]),
        st.sampled_from(MessageState),
        st.booleans(),
    ),
    st.builds(Settled, leg=st.sampled_from([0, 1]), state=st.sampled_from(sorted(FINAL_STATES)), reason=st.just("-")),
    st.just("crash"),
)


@given(given=st.lists(two_legs, max_size=30))
def test_two_legs_have_one_end(given: list[Change | str]) -> None:
    now = message()
    receipts, delivered_first, began_second = [], False, False
    for change in given:
        before = now.progress
        if isinstance(change, str):
            # What was in memory is on disk only.
            stage = WAITING if before.stage is READY else before.stage
            now = msgspec.structs.replace(now, progress=msgspec.structs.replace(before, stage=stage))
            continue
        result = step(now, change, NOW)
        after = result.progress
        now = msgspec.structs.replace(now, progress=after)
        receipts += [result.notice] if result.notice else []
        if after.stage is SENDING and after.leg == 1:
            began_second = True
            assert not delivered_first
        if isinstance(change, Reported) and change.provider == "v" and change.report.state is DELIVERED:
            delivered_first |= not began_second
        if after.leg > before.leg:
            # Only from the first, only for certain, and with nothing of it left.
            assert (before.leg, after.leg, before.stage is not FINAL) == (0, 1, True)
            assert isinstance(change, LedOn) or (
                before.onward is IF_CERTAIN
                and (change.report.state if isinstance(change, Reported) else change.state) in CERTAIN  # type: ignore[union-attr]
            )
        assert after.leg >= before.leg
        assert not (before.stage is FINAL and after.stage is not FINAL)
    assert len(receipts) == (now.progress.stage is FINAL)
    if delivered_first and receipts:
        # It may have ended before, but never in a second message.
        assert not began_second


# Whatever comes, in whatever order -----------------------------------------------------------------------------------

providers = st.sampled_from(["a", "b"])
references = st.sampled_from(["", "r1", "r2"])
times = st.integers(NOW, NOW + 2 * DAY)
reports = st.builds(StatusReport, state=st.sampled_from(MessageState), ref=references, err=st.integers(0, 999))
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Taken),
    st.builds(Began, provider=providers),
    st.builds(Handed, provider=providers, ref=references, look_at=times),
    st.builds(Postponed, until=times, reason=st.just("overload")),
    st.builds(PassedOn, provider=providers, reason=st.just("no route")),
    st.builds(LedOn, reason=st.just("all rest")),
    st.builds(Doubted, provider=providers, ref=references, reason=st.just("time-out"), look_at=times),
    st.builds(Looked, look_at=times),
    st.builds(Reported, provider=providers, report=reports, look_at=st.sampled_from([0, NOW + 60])),
    st.builds(Settled, state=st.sampled_from(sorted(FINAL_STATES)), reason=st.just("decided")),
    st.builds(Cancelled, recalled=st.booleans(), reason=st.just("by the client")),
)


def walk(start: Message, given: list[Change]) -> list[tuple[Progress, Change, Step]]:
    steps = []
    for change in given:
        result = step(start, change, NOW)
        steps.append((start.progress, change, result))
        start = msgspec.structs.replace(start, progress=result.progress)
    return steps


@given(given=st.lists(changes, max_size=30), registered_delivery=st.sampled_from([0x01, 0x02, 0x03, 0x11]))
def test_there_is_one_end_and_it_is_told_once(given: list[Change], registered_delivery: int) -> None:
    steps = walk(message(registered_delivery=registered_delivery), given)
    ends = [result for before, _, result in steps if before.stage is not FINAL and result.progress.stage is FINAL]
    told = [result.notice for _, _, result in steps if result.notice and result.notice.state in FINAL_STATES]
    lines = [result.entry for _, _, result in steps if result.entry and result.entry.event == "final"]
    assert len(ends) == len(lines) <= 1
    assert len(told) == sum(wanted(registered_delivery, end.progress.state) for end in ends)
    for before, _, result in steps:
        if before.stage is FINAL:
            assert result.progress.stage is FINAL
            assert (result.progress.state, result.progress.err, result.progress.done_at) == (
                before.state,
                before.err,
                before.done_at,
            )
            assert result.notice is None
            assert result.entry is None or result.entry.event == "late"
        elif result.progress.stage is FINAL:
            assert result.progress.state in FINAL_STATES


@given(given=st.lists(changes, max_size=30))
def test_what_a_provider_has_is_not_sent_again(given: list[Change]) -> None:
    for before, change, result in walk(message(), given):
        if before.stage is SENT:
            assert result.progress.stage in (SENT, FINAL)
        if result.progress.attempts > before.attempts:
            assert isinstance(change, Began)
            assert before.stage in (WAITING, READY, SENDING, DOUBT)


@given(given=st.lists(changes, max_size=30))
def test_what_a_provider_may_have_is_not_cancelled(given: list[Change]) -> None:
    for before, change, result in walk(message(), given):
        if not isinstance(change, Cancelled):
            continue
        waits = before.stage in (WAITING, READY) or (before.stage is SENDING and change.recalled)
        assert (result.progress.stage is FINAL) is (waits or before.stage is FINAL)
        if waits:
            assert result.progress.state is MessageState.DELETED
        else:
            assert result == Step(before)


@given(given=st.lists(changes, max_size=30))
def test_a_line_is_of_its_message_and_of_a_known_event(given: list[Change]) -> None:
    for _, _, result in walk(message(), given):
        if result.entry:
            assert result.entry.message == 4711
            assert result.entry.event in EVENTS
