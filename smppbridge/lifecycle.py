"""What may happen to an accepted message, and what follows from it: pure, and the only place that decides it.

Theory of operation. A message is accepted once and from then on changes only by one of the `Change`s below. `step`
takes the message, its `Progress` and a change, and returns the next progress, the line for the time-line and, where
somebody is to hear of it, a notice for the outbox. Every store runs `step` inside the transaction that writes its
result, so that these promises of ARCHITECTURE.md hold whatever arrives in whatever order:

* Promise 3, exactly one final state: nothing leaves `Stage.FINAL`. What still comes is a line "late" and nothing else.
* Promise 4, an unknown outcome is a state of its own: `Doubted` leads to `Stage.DOUBT`, and only an answer out of it.
  What a provider has (`Stage.SENT`) is never sent again: only a report or our own end leads out.
* A receipt is born in the same transaction as the state that it tells.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pdu import MessageState

from .model import Entry, HlrResult, Message, Millis, Notify, Progress, Stage, StatusReport

# What can happen -----------------------------------------------------------------------------------------------------


class _Change(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    #: The message; 0 where only the provider's reference is known (`Reported`).
    id: int = 0


class Taken(_Change, frozen=True, gc=False, kw_only=True):
    """A dispatcher has taken it into memory."""


class Began(_Change, frozen=True, gc=False, kw_only=True):
    """A request for it is about to be written. Committed before the first byte goes out."""

    provider: str


class Handed(_Change, frozen=True, gc=False, kw_only=True):
    """The provider has it and gave it `ref`."""

    provider: str
    ref: str
    #: When to ask for its status.
    look_at: Millis
    cost: str = ""
    parts: int = 0


class Postponed(_Change, frozen=True, gc=False, kw_only=True):
    """Not processed by anybody, to be tried again at `until`."""

    until: Millis
    #: Empty: it only went from memory back to disk, which is nothing to tell.
    reason: str


class PassedOn(_Change, frozen=True, gc=False, kw_only=True):
    """`provider` cannot do it and has not done it; another may."""

    provider: str
    reason: str


class Doubted(_Change, frozen=True, gc=False, kw_only=True):
    """It may have been processed; the provider is to be asked at `look_at`."""

    provider: str
    #: What to ask by, where it is known before the answer (our own id, an idempotency key).
    ref: str = ""
    reason: str
    look_at: Millis


class Looked(_Change, frozen=True, gc=False, kw_only=True):
    """Its status was asked for and is not final; ask again at `look_at`."""

    look_at: Millis


class Reported(_Change, frozen=True, gc=False, kw_only=True):
    """A provider told its status, by callback or when asked."""

    provider: str
    report: StatusReport
    #: When to ask again if this was not final; 0 leaves the time as it is.
    look_at: Millis = 0


class Settled(_Change, frozen=True, gc=False, kw_only=True):
    """We decided the end ourselves: refused, expired, given up, deleted."""

    state: MessageState
    err: int = 0
    reason: str


Change: TypeAlias = Taken | Began | Handed | Postponed | PassedOn | Doubted | Looked | Reported | Settled

# What follows --------------------------------------------------------------------------------------------------------


class Notice(msgspec.Struct, frozen=True, gc=False):
    """Somebody is to hear of a state: becomes a row of the outbox."""

    channel: Notify
    state: MessageState
    err: int
    done_at: Millis
    hlr: HlrResult | None = None
    ids: tuple[int, ...] = ()


class Step(msgspec.Struct, frozen=True, gc=False):
    progress: Progress
    entry: Entry | None = None
    notice: Notice | None = None


#: Every event a time-line can show, and what it tells the person reading it.
EVENTS = {
    "accepted": "SUBMIT_SM was answered with status 0",
    "joined": "all parts have come and were joined",
    "sent": "a provider has it",
    "again": "not processed, will be tried again",
    "passed on": "a provider cannot do it, the next one is tried",
    "in doubt": "it may have been processed; the provider will be asked",
    "status": "a provider told a state that is not final",
    "final": "the one final state",
    "late": "came too late to change anything: noted, not sent",
    "receipt": "the client answered the receipt with status 0",
    "dropped": "the receipt waited longer than receipts are kept",
    "resent": "the client sent it again and got the same id",
}

#: SMPP 3.4 §5.2.28 (and 5.0 §4.7.15): the states that do not change any more. UNKNOWN ends a message with us when
#: nothing more can be learned; a provider that *reports* UNKNOWN is asked again until the validity is over.
FINAL_STATES = frozenset(
    {
        MessageState.DELIVERED,
        MessageState.EXPIRED,
        MessageState.DELETED,
        MessageState.UNDELIVERABLE,
        MessageState.UNKNOWN,
        MessageState.REJECTED,
        MessageState.SKIPPED,
    }
)


def wanted(registered_delivery: int, state: MessageState) -> bool:
    """Whether registered_delivery asks for a receipt about `state` (SMPP 3.4 §5.2.17; 5.0 §4.7.21 adds "success").

    Bits 1-0: 0 none, 1 success or failure, 2 failure only, 3 success only. Bit 4: intermediate notifications.
    """
    if state not in FINAL_STATES:
        return bool(registered_delivery & 0x10)
    asked = registered_delivery & 0x03
    if asked == 1:
        return True
    delivered = state == MessageState.DELIVERED
    return (asked == 2 and not delivered) or (asked == 3 and delivered)


def step(message: Message, change: Change, now: Millis) -> Step:
    """The one transition function. Raises nothing: every change in every stage has an answer."""
    match change:
        case Reported():
            return _reported(message, change, now)
        case Settled():
            return _finish(message, message.progress, change.state, change.err, now, change.reason)
    was = message.progress
    if was.stage is Stage.FINAL:
        return _after_the_end(message, change, now)
    if was.stage is Stage.SENT and not isinstance(change, Handed | Looked):
        return _already_there(message, change, now)
    match change:
        case Taken():
            return Step(_evolve(was, stage=Stage.READY) if was.stage is Stage.WAITING else was)
        case Began(provider=provider):
            # A reference belongs to the provider that gave it: the next one is never asked by it.
            ref = was.ref if provider == was.provider else ""
            attempts = was.attempts + 1
            return Step(_evolve(was, stage=Stage.SENDING, provider=provider, ref=ref, attempts=attempts))
        case Handed():
            return _handed(message, change, now)
        case Postponed(until=until, reason=reason):
            due = min(until, message.expires)
            entry = _line(message, now, "again", reason) if reason else None
            return Step(_evolve(was, stage=Stage.WAITING, due=due), entry)
        case PassedOn(provider=provider, reason=reason):
            refused = f"{was.refused_by},{provider}".lstrip(",")
            return Step(
                _evolve(was, stage=Stage.WAITING, due=now, refused_by=refused),
                _line(message, now, "passed on", f"{provider}: {reason}"),
            )
        case Doubted(provider=provider, ref=ref, reason=reason, look_at=look_at):
            return Step(
                _evolve(was, stage=Stage.DOUBT, provider=provider, ref=ref or was.ref, due=look_at),
                _line(message, now, "in doubt", f"{provider}: {reason}"),
            )
        case Looked(look_at=look_at):
            if was.stage not in (Stage.SENT, Stage.DOUBT):
                return Step(was)
            return Step(_evolve(was, due=look_at, polls=was.polls + 1))


def _handed(message: Message, change: Handed, now: Millis) -> Step:
    was = message.progress
    progress = _evolve(
        was,
        stage=Stage.SENT,
        provider=change.provider,
        ref=change.ref,
        due=change.look_at,
        cost=change.cost or was.cost,
        parts=change.parts or was.parts,
    )
    entry = _line(message, now, "sent", f"{change.provider} has it as {change.ref}")
    return Step(progress, entry, _notice(message, MessageState.ENROUTE, 0, now, None))


#: `err` where a provider tells a code that no receipt can hold: "unknown error" in the lists of smsc.ru.
_ERR_UNKNOWN = 99
_ERR_MAX, _PARTS_MAX, _COST_MAX, _DAY = 999, 255, 16, 86_400_000


def _credible(report: StatusReport, now: Millis) -> StatusReport:
    """Without what cannot be true and would not fit into a receipt: the state counts, whatever stands beside it."""
    return msgspec.structs.replace(
        report,
        err=report.err if 0 <= report.err <= _ERR_MAX else _ERR_UNKNOWN,
        parts=report.parts if 0 <= report.parts <= _PARTS_MAX else 0,
        cost=report.cost
        if len(report.cost) <= _COST_MAX and report.cost.isprintable() and report.cost.isascii()
        else "",
        at=report.at if 0 <= report.at <= now + _DAY else 0,
    )


def _reported(message: Message, change: Reported, now: Millis) -> Step:
    was, report = message.progress, _credible(change.report, now)
    said = f"{change.provider}: {report.state.name}{f' err {report.err}' if report.err else ''}"
    if report.channel:
        said += f" by {report.channel}"
    if was.stage is Stage.FINAL:
        if report.state is was.state or report.state not in FINAL_STATES:
            return Step(was)
        return Step(was, _line(message, now, "late", f"{said}, after {was.state.name}"))
    known = _evolve(
        was,
        provider=change.provider,
        ref=report.ref or (was.ref if change.provider == was.provider else ""),
        cost=report.cost or was.cost,
        parts=report.parts or was.parts,
    )
    if report.state in FINAL_STATES and report.state is not MessageState.UNKNOWN:
        return _finish(message, known, report.state, report.err, report.at or now, said, report.hlr)
    due = change.look_at or was.due
    progress = _evolve(
        known,
        stage=Stage.SENT,
        state=report.state,
        err=report.err,
        due=due,
        polls=was.polls + (1 if change.look_at else 0),
    )
    if report.state is was.state and was.stage is Stage.SENT:
        return Step(progress)
    # UNKNOWN is no news while the provider is still asked: a client would take it for the end.
    news = report.state is not was.state and report.state is not MessageState.UNKNOWN
    notice = _notice(message, report.state, report.err, now, None) if news else None
    return Step(progress, _line(message, now, "status", said), notice)


def _finish(
    message: Message,
    known: Progress,
    state: MessageState,
    err: int,
    at: Millis,
    reason: str,
    hlr: HlrResult | None = None,
) -> Step:
    if known.stage is Stage.FINAL:
        return Step(known, _line(message, at, "late", f"{state.name}: {reason}, after {known.state.name}"))
    progress = _evolve(known, stage=Stage.FINAL, state=state, err=err, done_at=at, due=0)
    return Step(progress, _line(message, at, "final", reason), _notice(message, state, err, at, hlr))


def _already_there(message: Message, change: Change, now: Millis) -> Step:
    """A provider has it: only a report or our own end leads on, so that nothing is sent a second time.

    A callback may overtake the request it answers; what the request then comes to (a time-out, a 503) is only noted,
    and `Began` begins nothing: who asked sees that the stage is not SENDING.
    """
    was = message.progress
    match change:
        case Doubted(provider=provider, reason=reason) | PassedOn(provider=provider, reason=reason):
            return Step(was, _line(message, now, "late", f"{provider}: {reason}, after {was.provider} had it"))
        case Postponed(reason=reason):
            return Step(was, _line(message, now, "late", f"{reason}, after {was.provider} had it"))
        case _:
            return Step(was)


def _after_the_end(message: Message, change: Change, now: Millis) -> Step:
    """A callback may overtake the answer to the request itself: the end stands, the reference is worth keeping."""
    was = message.progress
    match change:
        case Handed(provider=provider, ref=ref):
            kept = _evolve(
                was, provider=provider, ref=ref, cost=was.cost or change.cost, parts=was.parts or change.parts
            )
            return Step(kept, _line(message, now, "late", f"{provider} has it as {ref}, after {was.state.name}"))
        case Doubted(provider=provider, reason=reason) | PassedOn(provider=provider, reason=reason):
            return Step(was, _line(message, now, "late", f"{provider}: {reason}, after {was.state.name}"))
        case _:
            return Step(was)


def _notice(message: Message, state: MessageState, err: int, at: Millis, hlr: HlrResult | None) -> Notice | None:
    if message.notify is Notify.SMPP and not wanted(message.registered_delivery, state):
        return None
    if message.notify is Notify.NOBODY or (message.notify is Notify.HTTP and state not in FINAL_STATES):
        return None
    return Notice(message.notify, state, err, at, hlr, message.part_ids or (message.id,))


def _line(message: Message, at: Millis, event: str, detail: str) -> Entry:
    return Entry(message=message.id, at=at, event=event, detail=detail)


_evolve = msgspec.structs.replace
