"""What may happen to an accepted message, and what follows from it: pure, and the only place that decides it.

Theory of operation. A message is accepted once and from then on changes only by one of the `Change`s below. `step`
takes the message, its `Progress` and a change, and returns the next progress, the line for the time-line and, where
somebody is to hear of it, a notice for the outbox. Every store runs `step` inside the transaction that writes its
result, so that these promises of ARCHITECTURE.md hold whatever arrives in whatever order:

* Promise 3, exactly one final state: nothing leaves `Stage.FINAL`. What still comes is a line "late" and nothing else.
* Promise 4, an unknown outcome is a state of its own: `Doubted` leads to `Stage.DOUBT`, and only an answer out of it.
  What a provider has (`Stage.SENT`) is never sent again: only a report or our own end leads out.
* A receipt is born in the same transaction as the state that it tells.

A message whose route is a cascade goes through legs (docs/configuration.md, "Cascades"). What would be the end of it on
a leg that is not the last one makes it wait for the next leg instead, as far as `Onward` allows (`_finish`). Everything
else is a matter of one leg: a change says of which (`_Change.leg`), and what comes late from an earlier one is noted
and moves nothing (`_of_an_earlier_leg`). Only DELIVERED does: the subscriber has the message, so that is the one end of
it wherever it stands, and nothing more is sent that has not been sent yet.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pdu import MessageState

from .model import Entry, HlrResult, Message, Millis, Notify, Onward, Progress, Stage, StatusReport

# What can happen -----------------------------------------------------------------------------------------------------


class _Change(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    #: The message; 0 where only the provider's reference is known (`Reported`).
    id: int = 0
    #: The leg of its route that this is about; None where that is not known, or whichever it is on.
    leg: int | None = None


class Taken(_Change, frozen=True, gc=False, kw_only=True):
    """A dispatcher has taken it into memory."""


class Began(_Change, frozen=True, gc=False, kw_only=True):
    """A request for it is about to be written. Committed before the first byte goes out."""

    provider: str
    #: Where its route is a cascade: the end of the leg if this is the first request of it, 0 on the last leg; and what
    #: follows (both as they are with the first request); and as what it goes.
    leg_ends: Millis = 0
    onward: Onward = Onward.NO
    channel: str = ""
    #: The subscriber's message that it answers, where the provider wants one.
    answers: str = ""


class Handed(_Change, frozen=True, gc=False, kw_only=True):
    """The provider has it and gave it `ref`."""

    provider: str
    ref: str
    #: Which route led there, for the time-line.
    why: str = ""
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


class LedOn(_Change, frozen=True, gc=False, kw_only=True):
    """Nobody of this leg can take it, so it goes on to the next one. Only for what is not with a provider."""

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


class Cancelled(_Change, frozen=True, gc=False, kw_only=True):
    """The client wants it no more (SMPP 3.4 §4.9). Only what no provider can have: it waits, or it was stored as begun
    and was `recalled` from the queue before its request was written. Else nothing changes: look whether it ended."""

    recalled: bool = False
    reason: str


Change: TypeAlias = (
    Taken | Began | Handed | Postponed | PassedOn | LedOn | Doubted | Looked | Reported | Settled | Cancelled
)

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
    "next leg": "not delivered on this leg of the route, the next one follows",
    "in doubt": "it may have been processed; the provider will be asked",
    "status": "a provider told a state that is not final",
    "final": "the one final state",
    "late": "came too late to change anything: noted, not sent",
    "receipt": "the client answered the receipt with status 0",
    "dropped": "the receipt waited longer than receipts are kept",
    "resent": "the client sent it again and got the same id",
    "replaced": "the client put another text or another time in its place while it waited",
}

#: SMPP 3.4 §5.2.28 (and 5.0 §4.7.15): the states that do not change any more. UNKNOWN ends a message with us when
#: nothing more can be learned; a provider that *reports* UNKNOWN is asked again until the validity is over, unless it
#: says that it will never know (`ends`).
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


def ends(report: StatusReport) -> bool:
    """Whether a report is the last word on a message, or on the leg that it is about."""
    return report.state in FINAL_STATES and (report.state is not MessageState.UNKNOWN or report.final)


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
    was = message.progress
    if was.leg and was.stage is not Stage.FINAL and _is_of_an_earlier_leg(was, change):
        return _of_an_earlier_leg(message, change, now)
    match change:
        case Reported():
            return _reported(message, change, now)
        case Settled(state=state, err=err, reason=reason):
            return _finish(message, was, state, err, now, now, reason)
        case Cancelled(recalled=recalled, reason=reason):
            if was.stage in (Stage.WAITING, Stage.READY) or (was.stage is Stage.SENDING and recalled):
                return _finish(message, was, MessageState.DELETED, 0, now, now, reason)
            return Step(was)
    if was.stage is Stage.FINAL:
        return _after_the_end(message, change, now)
    if was.stage is Stage.SENT and not isinstance(change, Handed | Looked):
        return _already_there(message, change, now)
    match change:
        case Taken():
            return Step(_evolve(was, stage=Stage.READY) if was.stage is Stage.WAITING else was)
        case Began():
            return Step(_began(was, change, now))
        case Handed():
            return _handed(message, change, now)
        case Postponed(until=until, reason=reason):
            due = min(until, was.leg_ends or message.expires)
            entry = _line(message, now, "again", reason) if reason else None
            return Step(_evolve(was, stage=Stage.WAITING, due=due), entry)
        case PassedOn(provider=provider, reason=reason):
            refused = f"{was.refused_by},{provider}".lstrip(",")
            return Step(
                _evolve(was, stage=Stage.WAITING, due=now, refused_by=refused),
                _line(message, now, "passed on", f"{provider}: {reason}"),
            )
        case LedOn(reason=reason):
            if was.stage not in (Stage.WAITING, Stage.READY):
                return Step(was)
            return _next_leg(message, now, now, reason)
        case Doubted(provider=provider, ref=ref, reason=reason, look_at=look_at):
            return Step(
                _evolve(was, stage=Stage.DOUBT, provider=provider, ref=ref or was.ref, due=look_at),
                _line(message, now, "in doubt", f"{provider}: {reason}"),
            )
        case Looked(look_at=look_at):
            if was.stage not in (Stage.SENT, Stage.DOUBT):
                return Step(was)
            return Step(_evolve(was, due=look_at, polls=was.polls + 1))


def _began(was: Progress, change: Began, now: Millis) -> Progress:
    # A reference belongs to the provider that gave it: the next one is never asked by it. So does what it answers.
    same = change.provider == was.provider
    begun = _evolve(
        was,
        stage=Stage.SENDING,
        provider=change.provider,
        ref=was.ref if same else "",
        attempts=was.attempts + 1,
        answers=change.answers or (was.answers if same else ""),
    )
    if not (change.channel or was.channel):
        return begun
    if was.leg_ends:
        return _evolve(begun, channel=change.channel)
    # Adapters take the time from when it was due to its end for the validity period: here that is the leg.
    return _evolve(begun, due=now, channel=change.channel, leg_ends=change.leg_ends, onward=change.onward)


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
    by = f" by {change.why}" if change.why else ""
    entry = _line(message, now, "sent", f"{change.provider} has it as {change.ref}{by}")
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
    said = _said(change.provider, report)
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
        channel=report.channel or was.channel,
    )
    if ends(report):
        return _finish(message, known, report.state, report.err, report.at or now, now, said, report.hlr)
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


def _said(provider: str, report: StatusReport) -> str:
    by = f" by {report.channel}" if report.channel else ""
    return f"{provider}: {report.state.name}{f' err {report.err}' if report.err else ''}{by}"


def _finish(
    message: Message,
    known: Progress,
    state: MessageState,
    err: int,
    at: Millis,
    now: Millis,
    reason: str,
    hlr: HlrResult | None = None,
) -> Step:
    """The end of a message, or of one leg of it: the only place that decides which. `at` is when it happened."""
    if known.stage is Stage.FINAL:
        return Step(known, _line(message, at, "late", f"{state.name}: {reason}, after {known.state.name}"))
    if known.onward and now < message.expires and _leads_on(state, known.onward):
        return _next_leg(message, at, now, reason)
    progress = _evolve(known, stage=Stage.FINAL, state=state, err=err, done_at=at, due=0)
    return Step(progress, _line(message, at, "final", reason), _notice(message, state, err, at, hlr))


#: Certainly not delivered, and it will not be. DELETED is not among them: somebody wants it to end.
_NOT_DELIVERED = frozenset(
    {MessageState.UNDELIVERABLE, MessageState.REJECTED, MessageState.EXPIRED, MessageState.SKIPPED}
)


def _leads_on(state: MessageState, onward: Onward) -> bool:
    return state in _NOT_DELIVERED or (state is MessageState.UNKNOWN and onward is Onward.ALWAYS)


def _next_leg(message: Message, at: Millis, now: Millis, reason: str) -> Step:
    """Due now, and nothing of what this leg has come to stays but the channel, until the next one begins: a provider
    may still say that it has delivered."""
    was = message.progress
    progress = Progress(stage=Stage.WAITING, due=now, leg=was.leg + 1, channel=was.channel)
    which = f"leg {was.leg + 1}" + (f" ({was.channel})" if was.channel else "")
    return Step(progress, _line(message, at, "next leg", f"{which} is over: {reason}"))


def _is_of_an_earlier_leg(was: Progress, change: Change) -> bool:
    """A report by a reference alone is of this leg exactly if that is the reference of this leg."""
    if change.leg is not None:
        return change.leg < was.leg
    if isinstance(change, Reported):
        return change.provider != was.provider or (change.report.ref or was.ref) != was.ref
    return False


def _of_an_earlier_leg(message: Message, change: Change, now: Millis) -> Step:
    """What comes late of a leg that is over. Nothing of it leads to yet another leg, or touches what this leg has."""
    was = message.progress
    which = f"on an earlier leg than {was.leg + 1}"
    match change:
        case Reported(provider=provider):
            report = _credible(change.report, now)
            said = f"{_said(provider, report)}, {which}"
            if report.state is MessageState.DELIVERED:
                # The channel of that leg is still known while the next one has not begun.
                begun = was.stage not in (Stage.WAITING, Stage.READY) or was.attempts
                known = _evolve(
                    was,
                    provider=provider,
                    ref=report.ref,
                    cost=report.cost,
                    parts=report.parts,
                    channel=report.channel or ("" if begun else was.channel),
                )
                return _finish(message, known, report.state, report.err, report.at or now, now, said, report.hlr)
            return Step(was, _line(message, now, "late", said) if report.state in FINAL_STATES else None)
        case Handed(provider=provider, ref=ref):
            return Step(was, _line(message, now, "late", f"{provider} has it as {ref}, {which}"))
        case Doubted(provider=provider, reason=reason) | PassedOn(provider=provider, reason=reason):
            return Step(was, _line(message, now, "late", f"{provider}: {reason}, {which}"))
        case Settled(reason=reason):
            return Step(was, _line(message, now, "late", f"{reason}, {which}"))
        case _:
            return Step(was)


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
            line = _line(message, now, "late", f"{provider} has it as {ref}, after {was.state.name}")
            if was.leg and was.provider != provider:
                return Step(was, line)
            kept = _evolve(
                was, provider=provider, ref=ref, cost=was.cost or change.cost, parts=was.parts or change.parts
            )
            return Step(kept, line)
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
