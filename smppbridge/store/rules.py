"""What every engine does alike: decisions over nouns, without storage, threads or a clock.

An engine hands in what it has (`Records`) and keeps what comes out. So the engines cannot differ in what a change, a
repetition or a part means, only in how they keep it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ..lifecycle import Change, Notice, Reported, Taken, step
from ..model import Command, Entry, Incoming, Message, Millis, Notify, Part, Progress, Receipt, Stage
from .base import Absent, Applied, Arrival, Duplicate, Replacement, Wanted

#: A report whose reference nobody knows yet is kept this long: the answer of the send it overtook is long over then.
PARKED_FOR: Millis = 86_400_000
#: What was taken to be told to a handler is not taken again before this.
PUT_OFF: Millis = 60_000
#: A part that comes again is recognised this long after its set was joined.
RESENT_FOR: Millis = 300_000


#: Ids have 63 bits (`smppbridge.ids`); a number beyond was never one.
HIGHEST_ID = 2**63 - 1

#: By stage: whether a provider has the message, or may have it (`Stats.in_flight`).
IN_FLIGHT = tuple(stage in (Stage.SENDING, Stage.SENT, Stage.DOUBT) for stage in Stage)
#: By stage: whether no provider has it for certain (`Stats.unsent`).
UNSENT = tuple(stage in (Stage.WAITING, Stage.READY, Stage.SENDING) for stage in Stage)

# The one-minute rule -------------------------------------------------------------------------------------------------


def fingerprint(message: Message) -> int:
    """Equal for identical messages. Keyed anew in every process, so nobody can aim at a collision."""
    return hash((message.account, message.source, message.destination, message.command))


def fingerprint_of(account: str, source: str, destination: str, command: Command) -> int:
    """The same, where there is no message at hand."""
    return hash((account, source, destination, command))


def repeats(first: Message, later: Message) -> bool:
    """Whether `later` is identical to `first` and came within the window, of the two the shorter one."""
    return (
        later.accepted_at - first.accepted_at < min(first.duplicate_window, later.duplicate_window)
        and first.account == later.account
        and first.source == later.source
        and first.destination == later.destination
        and first.command == later.command
    )


def duplicate_of(first: Message) -> Duplicate:
    told = first.known_as
    return Duplicate(first.id, first.bind, first.accepted_at, 0 if told == first.id else told)


# Parts ---------------------------------------------------------------------------------------------------------------

SetKey: TypeAlias = tuple[str, str, str, int, int]
"""Account, source, destination, reference, total: what the parts of one message have in common."""


def set_key(part: Part) -> SetKey:
    return (part.account, part.source, part.destination, part.reference, part.total)


def resent(part: Part, known: Iterable[Part]) -> Part | None:
    """The part that `part` is a resend of: the same number and the same PDU but for its sequence_number."""
    for one in known:
        if one.number == part.number and _without_sequence(one.pdu) == _without_sequence(part.pdu):
            return one
    return None


def round_for(part: Part, rounds: Mapping[int, Container[int]]) -> int:
    """Which of the held sets with this key a new part joins; `rounds` says which numbers each of them has.

    Clients use a reference again long before the parts of a broken message are given up. A number that the newest set
    has already, with other content, begins the next set.
    """
    newest = max(rounds, default=1)
    return newest + (part.number in rounds.get(newest, ()))


def _without_sequence(pdu: bytes) -> bytes:
    # SMPP 3.4 §3.2: sequence_number is the fourth of the header's four integers.
    return pdu[:12] + pdu[16:]


# Changes -------------------------------------------------------------------------------------------------------------


class Records(Protocol):
    """What an engine offers to `apply`: one transaction's view of the store, in which each change sees those before."""

    def message(self, id: int) -> Message | None: ...

    def referred(self, provider: str, ref: str) -> int:
        """The id kept by `refer`, or 0."""

    def keep(self, was: Message, now: Message) -> None: ...

    def line(self, entry: Entry) -> None: ...

    def queue(self, message: Message, notice: Notice, now: Millis) -> Receipt: ...

    def refer(self, provider: str, ref: str, id: int) -> None: ...

    def park(self, change: Reported, now: Millis) -> None: ...

    def unpark(self, provider: str, ref: str, now: Millis) -> Sequence[Reported]:
        """Take what was parked under a reference within `PARKED_FOR`, oldest first."""


def apply(records: Records, change: Change, now: Millis) -> Applied:
    """One change to one message, and after it whatever waited for the reference that it brought."""
    message = _concerned(records, change)
    if message is None:
        if isinstance(change, Reported) and not change.id and change.report.ref:
            records.park(change, now)
        return Applied(None)
    applied = _step(records, message, change, now)
    after = applied.message
    assert after is not None
    progress = after.progress
    if not progress.ref or _same_reference(progress, message.progress):
        return applied
    for parked in records.unpark(progress.provider, progress.ref, now):
        follows = _step(records, after, parked, now)
        earlier = applied.earlier
        if follows.receipt and applied.receipt:
            earlier = (*earlier, applied.receipt)
        after = follows.message or after
        applied = Applied(after, follows.receipt or applied.receipt, applied.ended or follows.ended, earlier)
    return applied


def take(records: Records, message: Message, now: Millis) -> Message:
    """WAITING → READY, for `claim`."""
    taken = _step(records, message, Taken(id=message.id), now).message
    assert taken is not None
    return taken


def own_id(ref: str) -> int:
    """The id that a reference is, if the provider took ours; 0 if it cannot be one."""
    if ref.isascii() and ref.isdigit() and len(ref) <= 19 and ref[0] != "0":
        id = int(ref)
        return id if id <= HIGHEST_ID else 0
    return 0


def _concerned(records: Records, change: Change) -> Message | None:
    if change.id:
        return records.message(change.id)
    if not isinstance(change, Reported) or not change.report.ref:
        return None
    provider, ref = change.provider, change.report.ref
    id = own_id(ref)
    if id and (message := records.message(id)):
        progress = message.progress
        if progress.ref == ref and progress.provider == provider:
            return message
    id = records.referred(provider, ref)
    return records.message(id) if id else None


def _step(records: Records, message: Message, change: Change, now: Millis) -> Applied:
    result = step(message, change, now)
    was, progress = message.progress, result.progress
    after = message if progress is was else _replaced(records, message, progress)
    if result.entry:
        records.line(result.entry)
    receipt = records.queue(after, result.notice, now) if result.notice else None
    return Applied(after, receipt, progress.stage is Stage.FINAL and was.stage is not Stage.FINAL)


def _replaced(records: Records, message: Message, progress: Progress) -> Message:
    after = msgspec.structs.replace(message, progress=progress)
    records.keep(message, after)
    was = message.progress
    if (progress.ref or was.ref) and not _same_reference(progress, was):
        own = str(message.id)
        if progress.ref and progress.ref != own:
            records.refer(progress.provider, progress.ref, message.id)
        if was.ref == own:
            # Our own id needs no row while it stands in the message itself; now another provider's takes its place.
            records.refer(was.provider, was.ref, message.id)
    return after


def _same_reference(one: Progress, other: Progress) -> bool:
    return one.ref == other.ref and one.provider == other.provider


class Contents(Records, Protocol):
    """What an engine offers to `replace`."""

    def rewrite(self, message: Message) -> None:
        """Keep everything of it but its progress, which has not changed, and know it by its new fingerprint."""


def replace(contents: Contents, replacement: Replacement, now: Millis) -> Message | None:
    """What a client puts in the place of a message, if it may; see `Store.replace`.

    Nobody holds the old one then: WAITING is on disk alone, and what was recalled was taken out of the queue. On a
    later leg a provider had it, as it was, and may still say that it has delivered it.
    """
    message = contents.message(replacement.id)
    if message is None:
        return None
    was = message.progress
    recalled = replacement.recalled and was.stage in (Stage.READY, Stage.SENDING)
    if was.leg or not (was.stage is Stage.WAITING or recalled):
        return None
    other = msgspec.structs.replace(
        message,
        kind=replacement.kind,
        command=replacement.command,
        registered_delivery=replacement.registered_delivery,
        notify=replacement.notify,
        expires=replacement.expires,
    )
    contents.rewrite(other)
    contents.line(Entry(message=message.id, at=now, event="replaced", detail=replacement.detail))
    # Whoever refused the old one may take this one.
    return _replaced(contents, other, Progress(stage=Stage.WAITING, due=replacement.due))


class Letters(Protocol):
    """What an engine offers to `answer`: one transaction's view of what subscribers wrote. Empty: there is none."""

    def answered(self, message: int, provider: str) -> str:
        """What a message of ours was found to answer before."""

    def addressee(self, provider: str, ref: str) -> str | None:
        """The account for which it came; None: it is not known here."""

    def newest_unanswered(self, wanted: Wanted) -> str: ...

    def keep_answer(self, wanted: Wanted, ref: str) -> None:
        """If it is known here, and no other message answered it first."""


def answer(letters: Letters, wanted: Wanted) -> str:
    """What a message answers, remembered from now on; see `Store.answer`."""
    if known := letters.answered(wanted.message, wanted.provider):
        return known
    if wanted.named:
        ref = wanted.named
        if letters.addressee(wanted.provider, ref) not in (None, wanted.account):
            return ""
    else:
        ref = letters.newest_unanswered(wanted)
    if ref:
        letters.keep_answer(wanted, ref)
    return ref


# The outbox ----------------------------------------------------------------------------------------------------------


def receipt(seq: int, message: Message, notice: Notice) -> Receipt:
    """What a notice about a message becomes."""
    return Receipt(
        seq=seq,
        account=message.account,
        channel=notice.channel,
        message=message,
        state=notice.state,
        err=notice.err,
        done_at=notice.done_at,
        hlr=notice.hlr,
        ids=notice.ids,
    )


def in_turn(found: Iterable[Absent], subscribers: Sequence[str]) -> list[Absent]:
    """In the order in which they were asked for, and then by account."""
    place = {subscriber: n for n, subscriber in enumerate(subscribers)}
    return sorted(found, key=lambda one: (place[one.subscriber], one.account))


def alert(seq: int, absent: Absent, now: Millis) -> Arrival:
    """What the wish to hear of a subscriber becomes once it can be reached."""
    incoming = Incoming(
        provider="",
        ref=f"alert-{seq}",
        source=absent.destination,
        destination=absent.source,
        text="",
        at=now,
        alert=(absent.destination_ton, absent.destination_npi, absent.source_ton, absent.source_npi),
    )
    return Arrival(seq=seq, account=absent.account, incoming=incoming)


# Lines ---------------------------------------------------------------------------------------------------------------


def accepted(message: Message) -> Entry:
    """The first line of every time-line. It is not stored: everything in it stands in the message."""
    detail = f"{message.kind.value} over bind {message.bind}, sequence_number {message.sequence}"
    if message.known_as != message.id:
        detail += f", answered with {message.known_as}"
    return Entry(message=message.id, at=message.accepted_at, event="accepted", detail=detail)


def joined(message: Message, parts: Sequence[Part]) -> Entry:
    ids = ", ".join(str(part.id) for part in parts)
    return Entry(message=message.id, at=message.accepted_at, event="joined", detail=f"{len(parts)} parts: {ids}")


def told(receipt: Receipt, now: Millis) -> Entry:
    how = "by the HTTP handler" if receipt.channel is Notify.HTTP else "by DELIVER_SM"
    return Entry(message=receipt.message.id, at=now, event="receipt", detail=f"{receipt.state.name} {how}")


def dropped(receipt: Receipt, reason: str, now: Millis) -> Entry:
    return Entry(message=receipt.message.id, at=now, event="dropped", detail=f"{receipt.state.name}: {reason}")
