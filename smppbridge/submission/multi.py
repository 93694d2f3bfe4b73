"""SUBMIT_MULTI: one text for many destinations, each of them a message of its own (SMPP 3.4 §4.5, 5.0 §4.2.3).

The client names numbers and distribution lists; who is behind a list stands in the configuration. Route, limits,
one-minute rule and cascade are each destination's own, and so is its end. What they share is one transaction and one
id: the response carries it, and every receipt goes out under it, with the destination in its addresses. No message has
that id (`Message.known_as`).

What can go wrong, and what the client is told:

* Nothing can be taken because of the request itself, a rate or the store: an error for the whole, as for a SUBMIT_SM. A
  rate has room for all of them or is not touched.
* Some destinations cannot be taken: status 0 and those in unsuccess_sme, each with the status that a SUBMIT_SM to it
  would have had. If none can, the list is the same, and the response has no id and their status, or ESME_RSUBMITFAIL
  where they differ.
* More of them than the 255 that unsuccess_sme holds: status 0 would speak for the rest, so the rest is accepted and
  ends as REJECTED at once, with receipts.
* The response was lost and the client sends again: what had been accepted counts as taken, is not sent again, and keeps
  the id that it was accepted under. If nothing else was taken the response carries that id. Destinations that are new
  in the second one go out under its own id.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pdu import (
    CommandId,
    CommandStatus,
    DistributionList,
    MessageState,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)

from ..config import MAX_DESTINATIONS, DistributionListConfig
from ..lifecycle import Settled
from ..model import Entry, Message, Millis, Stage, bare
from ..smpp.link import Link
from ..store.base import Duplicate, StoreFailed, Verdicts
from .account import AccountState
from .fields import direct, opened, stillborn, undirected
from .refusal import Refusal

if TYPE_CHECKING:
    from .station import Submission

log = structlog.get_logger(__name__)

_REQUEST = CommandId.SUBMIT_MULTI

#: SMPP 3.4 §4.5.2: no_unsuccess is one octet.
_UNSUCCESS_MAX = 255

#: TON and NPI of a member of a list: numbers in the configuration are international (SMPP 3.4 §5.2.5, §5.2.6).
_INTERNATIONAL = _ISDN = 1


class Failed(NamedTuple):
    """A destination that is not sent to, and why."""

    to: SmeAddress
    status: CommandStatus
    reason: str


class Request(NamedTuple):
    """A SUBMIT_MULTI as far as it can be judged without the store."""

    #: What is said to each destination.
    pdu: SubmitSm
    frame: bytes
    body: bytes
    now: Millis
    #: The id that the client is told.
    known_as: int
    messages: list[Message]
    failed: list[Failed]

    @property
    def size(self) -> int:
        """How many destinations it has, the lists expanded."""
        return len(self.messages) + len(self.failed)


class Outcome(NamedTuple):
    """What became of all destinations."""

    accepted: list[Message]
    #: Accepted before, by a request whose response can have been lost.
    resent: list[Duplicate]
    failed: list[Failed]


# Pure pieces ---------------------------------------------------------------------------------------------------------


def expand(
    named: Sequence[SmeAddress | DistributionList], lists: Mapping[str, DistributionListConfig], account: str
) -> tuple[list[SmeAddress], list[Failed]]:
    """Whom an account means, in its order; nobody twice, with a plus or without. And the lists that are not there for
    it, each under its name: SMPP 3.4 §4.5.2.1 has no other place for one."""
    found: dict[str, SmeAddress] = {}
    missing: dict[str, Failed] = {}
    walked: set[str] = set()
    for one in named:
        if isinstance(one, SmeAddress):
            found.setdefault(bare(one.destination_addr), one)
        elif one.dl_name in walked:
            continue
        elif (known := lists.get(one.dl_name)) and account in known.accounts:
            walked.add(one.dl_name)
            for number in known.numbers:
                member = SmeAddress(dest_addr_ton=_INTERNATIONAL, dest_addr_npi=_ISDN, destination_addr=number)
                found.setdefault(bare(number), member)
        else:
            name = SmeAddress(destination_addr=one.dl_name)
            reason = "there is no such distribution list for this account"
            missing[one.dl_name] = Failed(name, CommandStatus.ESME_RINVDLNAME, reason)
    return list(found.values()), list(missing.values())


def response(sequence: int, message_id: str, failed: Sequence[Failed]) -> SubmitMultiResp:
    """What the client is told; without a message_id nobody could be taken."""
    status = CommandStatus.ESME_ROK
    if not message_id:
        statuses = {one.status for one in failed}
        status = statuses.pop() if len(statuses) == 1 else CommandStatus.ESME_RSUBMITFAIL
    return SubmitMultiResp(
        sequence_number=sequence,
        command_status=status,
        message_id=message_id,
        unsuccess_smes=[
            UnsuccessSme(
                dest_addr_ton=one.to.dest_addr_ton,
                dest_addr_npi=one.to.dest_addr_npi,
                destination_addr=one.to.destination_addr,
                error_status_code=one.status,
            )
            for one in failed[:_UNSUCCESS_MAX]
        ],
    )


def reason_of(failed: Sequence[Failed], size: int) -> str:
    """The first reason stands for all; unsuccess_sme has the statuses of the others."""
    return f"{len(failed)} of {size} destinations cannot be sent to, the first: {failed[0].reason}" if failed else ""


# What `Submission` does with it --------------------------------------------------------------------------------------


class Multi:
    """Takes the SUBMIT_MULTI of all clients."""

    def __init__(self, station: Submission, lists: Mapping[str, DistributionListConfig]) -> None:
        self._station = station
        #: By dl_name.
        self.lists = lists

    def take(self, link: Link, account: AccountState, pdu: SubmitMulti, frame: bytes) -> None:
        """Answered now, or when all of its messages are stored."""
        station = self._station
        try:
            request = self._read(link, account, pdu, frame, station.clock())
        except Refusal as refusal:
            station.refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason, _REQUEST)
        else:
            station.begun(account, request.size)
            station.spawn(self._store(link, account, request))

    def _read(self, link: Link, account: AccountState, pdu: SubmitMulti, frame: bytes, now: Millis) -> Request:
        """Judge each destination; raises Refusal for what concerns all of them."""
        station = self._station
        if not pdu.dest_addresses:
            raise Refusal(CommandStatus.ESME_RINVNUMDESTS, "number_of_dests is 1 to 255")
        destinations, failed = expand(pdu.dest_addresses, self.lists, account.name)
        size, most = len(destinations) + len(failed), min(MAX_DESTINATIONS, account.max_pending, station.max_pending)
        if size > most:
            reason = f"{size} destinations with those of its lists, at most {most} are taken at once"
            raise Refusal(CommandStatus.ESME_RINVNUMDESTS, reason)
        submit = undirected(pdu)
        if account.mend is not None:
            account.mend(submit)
        paid = station.admit(account, submit, now, size)
        try:
            segment, header, body = opened(submit)
            if segment is not None:
                reason = "a SUBMIT_MULTI is no part of a long message: the whole text fits into message_payload"
                raise Refusal(CommandStatus.ESME_RSUBMITFAIL, reason)
        except Refusal:
            account.give_back(now, paid)
            raise
        known_as = station.ids.next(now)
        alphabet = account.alphabet_of(link.system_type)
        messages = []
        for to in destinations:
            try:
                message = station.read(account, link.id, alphabet, direct(submit, to), frame, header, body, now)
            except Refusal as refusal:
                failed.append(Failed(to, refusal.status, refusal.reason))
            else:
                message.part_ids = (known_as,)
                messages.append(message)
        account.give_back(now, len(failed))
        return Request(submit, frame, header + body, now, known_as, messages, failed)

    async def _store(self, link: Link, account: AccountState, request: Request) -> None:
        """Keep what can be kept, answer, and only then go on with it."""
        station, sequence = self._station, request.pdu.sequence_number
        try:
            verdicts: Verdicts = ()
            if request.messages:
                verdicts = await station.store.accept_many(request.messages, request.known_as)
            outcome = self._sorted(link, account, request, verdicts)
            ends = await self._keep_the_rest(link, account, request, outcome)
            self._answer(link, account, request, outcome)
        except StoreFailed as failed:
            for message in request.messages:
                self._not_kept(account, message)
            station.answer_verdict(link, account, sequence, failed, _REQUEST)
        except Exception:
            # Ours, and the client is answered all the same.
            log.exception("a SUBMIT_MULTI failed", account=account.name)
            kept = [one for one, verdict in zip(request.messages, verdicts, strict=False) if verdict is None]
            if kept:
                # What is kept is not refused (promise 2). As after a crash: the link ends, and a resend gets the id.
                link.abort()
                self._offer(kept)
            else:
                status = CommandStatus.ESME_RSYSERR
                station.refuse(link, account, sequence, status, "a mistake of the gateway", _REQUEST)
        else:
            self._go_on(account, request, outcome)
            await self._end(account, ends, request.now)
            await self._note(link, request, outcome.resent)
        finally:
            station.done(account, request.size)

    def _sorted(self, link: Link, account: AccountState, request: Request, verdicts: Verdicts) -> Outcome:
        """The store's word on each message."""
        outcome = Outcome([], [], list(request.failed))
        for message, verdict in zip(request.messages, verdicts, strict=True):
            if verdict is None:
                outcome.accepted.append(message)
                continue
            self._not_kept(account, message)
            if self._station.never_answered(link, verdict):
                outcome.resent.append(verdict)
            else:
                reason = self._station.identical(account, verdict)
                outcome.failed.append(Failed(_destination_of(message), account.duplicate_status, reason))
        return outcome

    def _not_kept(self, account: AccountState, message: Message) -> None:
        account.give_back(message.accepted_at)
        account.forget(message.destination, message.accepted_at)

    async def _keep_the_rest(
        self, link: Link, account: AccountState, request: Request, outcome: Outcome
    ) -> Sequence[Settled]:
        """Accept what the response has no room for, as messages that are there only to end, and say how: after the
        response, which no receipt may overtake.

        Where this fails the response stands, for what was accepted is accepted: the log has to tell it then.
        """
        rest = outcome.failed[_UNSUCCESS_MAX:]
        if not (rest and outcome.accepted):
            return ()
        station, now = self._station, request.now
        messages, ends = [], []
        for one in rest:
            pdu, id = direct(request.pdu, one.to), station.ids.next(now)
            message = stillborn(pdu, request.frame, id, account, link.id, request.body, now, now + account.validity)
            message.part_ids = (request.known_as,)
            messages.append(message)
            ends.append(Settled(id=id, state=MessageState.REJECTED, reason=one.reason))
        try:
            await station.store.accept_many(messages, request.known_as)
        except StoreFailed as failed:
            self._unanswered(account, len(rest), failed)
            return ()
        return ends

    async def _end(self, account: AccountState, ends: Sequence[Settled], now: Millis) -> None:
        if not ends:
            return
        try:
            self._station.applied(await self._station.store.apply(ends, now))
        except StoreFailed as failed:
            self._unanswered(account, len(ends), failed)

    def _unanswered(self, account: AccountState, count: int, failed: StoreFailed) -> None:
        log.error("destinations without an answer", account=account.name, count=count, reason=str(failed))

    def _answer(self, link: Link, account: AccountState, request: Request, outcome: Outcome) -> None:
        told = request.known_as if outcome.accepted else outcome.resent[0].known_as if outcome.resent else 0
        answer = response(request.pdu.sequence_number, account.write_id(told) if told else "", outcome.failed)
        account.accepted += len(outcome.accepted)
        account.resent += len(outcome.resent)
        for one in outcome.failed:
            account.refused[one.status.name] += 1
        link.respond(answer, reason_of(outcome.failed, request.size))

    def _go_on(self, account: AccountState, request: Request, outcome: Outcome) -> None:
        station = self._station
        self._offer(outcome.accepted)
        if outcome.accepted and station.journal.open(len(outcome.accepted)):
            for message in outcome.accepted:
                station.say_accepted(message, known_as=str(message.known_as))
        whys = Counter((one.status, one.reason) for one in outcome.failed)
        if whys and station.journal.open(len(whys)):
            for (status, reason), count in whys.items():
                station.journal.say(
                    "refused",
                    account=account.name,
                    sequence=request.pdu.sequence_number,
                    status=status.name,
                    reason=reason,
                    destinations=count,
                )

    def _offer(self, messages: Sequence[Message]) -> None:
        for message in messages:
            # The others wait on disk, where the dispatcher looks when something is due.
            if message.progress.stage is not Stage.WAITING:
                self._station.outlet.offer(message)

    async def _note(self, link: Link, request: Request, resent: Sequence[Duplicate]) -> None:
        """A line on the time-lines of the first ones. It promises nothing, so a store that fails is no news here."""
        detail = f"over bind {link.id}, sequence_number {request.pdu.sequence_number}"
        entries = [Entry(message=one.id, at=request.now, event="resent", detail=detail) for one in resent]
        if entries:
            with contextlib.suppress(StoreFailed):
                await self._station.store.note(entries)


def _destination_of(message: Message) -> SmeAddress:
    return SmeAddress(
        dest_addr_ton=message.destination_ton,
        dest_addr_npi=message.destination_npi,
        destination_addr=message.destination,
    )
