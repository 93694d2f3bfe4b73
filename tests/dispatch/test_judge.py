from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from pdu import MessageState
from smppbridge.dispatch.judge import NO_STATUS, Judge
from smppbridge.dispatch.retry import Schedule
from smppbridge.dispatch.routing import NO_ROUTE
from smppbridge.lifecycle import Change, Doubted, Handed, Looked, PassedOn, Postponed, Reported, Settled, Taken, step
from smppbridge.model import Message, Progress, Stage, StatusReport
from smppbridge.providers.base import (
    InDoubt,
    NotFound,
    Outcome,
    Refused,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)

NOW = 1_000_000
EXPIRES = NOW + 600_000
END = EXPIRES + 60_000
#: Without jitter to speak of: first waits of 5 s and 10 s, each between a half and the whole.
SCHEDULE = Schedule(retry_first=5, retry_max=600, poll_first=10, poll_max=900, grace=60_000)

Make = Callable[..., Message]
REPEAT, ASK, GIVE_UP = WhenInDoubt.REPEAT, WhenInDoubt.ASK, WhenInDoubt.GIVE_UP


def judge(policy: WhenInDoubt = GIVE_UP, *, askable: bool = True) -> Judge:
    return Judge("p", policy, askable=askable, schedule=SCHEDULE, random=Random(1))  # noqa: S311


@pytest.mark.parametrize(
    ("outcome", "policy", "doubtful", "others", "kinds"),
    [
        (Refused(reason="r"), GIVE_UP, False, True, [Settled]),
        (Refused(reason="r"), REPEAT, True, True, [Settled]),
        (Temporary(reason="r"), GIVE_UP, False, True, [Postponed]),
        (Temporary(reason="r"), REPEAT, True, True, [Doubted]),
        (Unable(reason="r"), GIVE_UP, False, True, [PassedOn, Taken]),
        (Unable(reason="r"), GIVE_UP, False, False, [Settled]),
        (Unable(reason="r", everything=True), GIVE_UP, False, True, [PassedOn, Taken]),
        # It is nothing about the message: it waits for the provider to be repaired.
        (Unable(reason="r", everything=True), GIVE_UP, False, False, [Postponed]),
        # In doubt it must not go to another provider, who might do it a second time.
        (Unable(reason="r"), REPEAT, True, True, [Doubted]),
        (Unable(reason="r", everything=True), REPEAT, True, True, [Doubted]),
        (InDoubt(reason="r"), REPEAT, False, True, [Doubted]),
        (InDoubt(reason="r"), REPEAT, True, True, [Doubted]),
        (InDoubt(reason="r"), ASK, False, True, [Doubted]),
        (InDoubt(reason="r"), GIVE_UP, False, True, [Settled]),
    ],
)
def test_what_an_outcome_leads_to(
    message: Make, outcome: Any, policy: WhenInDoubt, doubtful: bool, others: bool, kinds: list[type[Change]]
) -> None:
    one = message(7, expires=EXPIRES, progress=Progress(stage=Stage.SENDING, provider="p", attempts=1))
    changes = judge(policy).outcome(one, outcome, NOW, reference="key", doubtful=doubtful, others=others)
    assert [type(change) for change in changes] == kinds
    assert all(change.id == 7 for change in changes)
    for change in changes:
        match change:
            case Postponed(until=until) | Doubted(look_at=until):
                assert NOW + 2500 <= until <= NOW + 10_000
            case Settled(state=MessageState.UNKNOWN):
                assert change.err == NO_STATUS
                assert isinstance(outcome, InDoubt)
            case Settled():
                assert change.state is MessageState.REJECTED
        if isinstance(change, Doubted):
            assert change.ref == "key"
        if not isinstance(change, Taken):
            assert "r" in change.reason  # type: ignore[union-attr]


def test_the_err_of_the_last_provider_is_told(message: Make) -> None:
    def end(outcome: Outcome) -> tuple[MessageState, int]:
        (change,) = judge().outcome(message(), outcome, NOW, reference="", doubtful=False, others=False)  # type: ignore[arg-type]
        assert isinstance(change, Settled)
        return change.state, change.err

    assert end(Unable(reason="r", err=247)) == (MessageState.REJECTED, 247)
    assert end(Unable(reason="r")) == (MessageState.REJECTED, NO_ROUTE)
    assert end(Refused(reason="r", err=1, state=MessageState.UNDELIVERABLE)) == (MessageState.UNDELIVERABLE, 1)


def test_waits_grow_with_the_attempts_and_honour_the_provider(message: Make) -> None:
    def wait(attempts: int, after: float | None = None) -> int:
        one = message(expires=EXPIRES, progress=Progress(stage=Stage.SENDING, attempts=attempts))
        outcome = Temporary(reason="r", retry_after=after)
        (change,) = judge().outcome(one, outcome, NOW, reference="", doubtful=False, others=False)
        assert isinstance(change, Postponed)
        return change.until - NOW

    assert 2500 <= wait(1) <= 5000
    assert 10_000 <= wait(3) <= 20_000
    assert wait(1, 100) == 100_000


def test_a_provider_that_cannot_be_asked_is_not_asked(message: Make) -> None:
    one = judge(ASK, askable=False)
    assert one.policy is GIVE_UP
    (handed,) = one.sent(message(expires=EXPIRES), Sent(ref="x"), NOW)
    assert isinstance(handed, Handed)
    assert handed.look_at == END


def test_what_was_sent_is_looked_at_and_a_report_that_came_with_it_counts(message: Make) -> None:
    report = StatusReport(state=MessageState.DELIVERED)
    handed, reported = judge().sent(message(7, expires=EXPIRES), Sent(ref="x", report=report, cost="1", parts=2), NOW)
    assert isinstance(handed, Handed)
    assert (handed.id, handed.ref, handed.cost, handed.parts) == (7, "x", "1", 2)
    assert NOW + 5000 <= handed.look_at <= NOW + 10_000
    assert reported == Reported(id=7, leg=0, provider="p", report=report)


DELIVERED = StatusReport(state=MessageState.DELIVERED)
ENROUTE = StatusReport(state=MessageState.ENROUTE)
UNKNOWN = StatusReport(state=MessageState.UNKNOWN)


@pytest.mark.parametrize(
    ("stage", "answer", "now", "kinds"),
    [
        (Stage.SENT, DELIVERED, NOW, [Reported]),
        (Stage.SENT, DELIVERED, END, [Reported]),
        (Stage.SENT, ENROUTE, NOW, [Reported]),
        (Stage.SENT, ENROUTE, END - 1, [Reported]),
        (Stage.SENT, ENROUTE, END, [Reported, Settled]),
        (Stage.SENT, UNKNOWN, END, [Reported, Settled]),
        (Stage.SENT, None, NOW, [Looked]),
        (Stage.SENT, None, END, [Settled]),
        # It said that it has it, so it is not sent again, whatever it says now.
        (Stage.SENT, NotFound(), NOW, [Reported]),
        (Stage.SENT, NotFound(), END, [Settled]),
        (Stage.DOUBT, DELIVERED, NOW, [Reported]),
        (Stage.DOUBT, None, NOW, [Looked]),
        (Stage.DOUBT, None, END, [Settled]),
        (Stage.DOUBT, NotFound(), NOW, [Postponed]),
        (Stage.DOUBT, NotFound(), EXPIRES, [Settled]),
    ],
)
def test_what_an_answer_leads_to(
    message: Make, stage: Stage, answer: StatusReport | NotFound | None, now: int, kinds: list[type[Change]]
) -> None:
    one = message(7, expires=EXPIRES, progress=Progress(stage=stage, provider="p", attempts=1, polls=0))
    changes = judge(ASK).answer(one, answer, now)
    assert [type(change) for change in changes] == kinds
    for change in changes:
        assert change.id == 7
        match change:
            case Reported(look_at=look_at) | Looked(look_at=look_at):
                # The second wait, which has doubled, or the end.
                assert min(now + 10_000, END) <= look_at <= min(now + 20_000, END)
            case Settled(state=MessageState.EXPIRED):
                assert stage is Stage.DOUBT
                assert isinstance(answer, NotFound)
            case Settled():
                assert (change.state, change.err) == (MessageState.UNKNOWN, NO_STATUS)


def test_a_provider_that_will_never_know_more_has_the_last_word(message: Make) -> None:
    one = message(7, expires=EXPIRES, progress=Progress(stage=Stage.SENT, provider="p"))
    last = StatusReport(state=MessageState.UNKNOWN, final=True, err=NO_STATUS)
    for now in (NOW, END):
        (change,) = judge(ASK).answer(one, last, now)
        assert isinstance(change, Reported)
        progress = step(one, change, now).progress
        assert (progress.stage, progress.state, progress.err) == (Stage.FINAL, MessageState.UNKNOWN, NO_STATUS)


def test_a_message_that_was_not_found_counts_as_unknown_meanwhile(message: Make) -> None:
    one = message(expires=EXPIRES, progress=Progress(stage=Stage.SENT, provider="p"))
    (change,) = judge(ASK).answer(one, NotFound(reason="who?"), NOW)
    assert isinstance(change, Reported)
    assert change.report == StatusReport(state=MessageState.UNKNOWN, raw="who?")


@pytest.mark.parametrize(("askable", "now", "until"), [(False, NOW, END), (True, NOW, NOW + 20_000)])
def test_what_is_not_asked_now_is_asked_later(message: Make, askable: bool, now: int, until: int) -> None:
    (change,) = judge(askable=askable).not_asked(message(expires=EXPIRES), now)
    assert isinstance(change, Looked)
    assert until - 10_000 <= change.look_at <= until


def test_what_is_not_asked_in_the_end_is_unknown(message: Make) -> None:
    (change,) = judge().not_asked(message(expires=EXPIRES), END)
    assert isinstance(change, Settled)
    assert (change.state, change.err) == (MessageState.UNKNOWN, NO_STATUS)


def test_in_doubt_it_waits_for_a_provider_that_tells_by_itself(message: Make) -> None:
    one = judge(WhenInDoubt.WAIT, askable=False)
    (change,) = one.outcome(
        message(expires=EXPIRES), InDoubt(reason="r"), NOW, reference="key", doubtful=False, others=True
    )
    assert isinstance(change, Doubted)
    assert (change.ref, change.look_at) == ("key", END)
