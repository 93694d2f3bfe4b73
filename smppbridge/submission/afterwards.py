"""QUERY_SM, CANCEL_SM and REPLACE_SM: what a client asks for once its message was accepted (SMPP 3.4 §4.8 to §4.10).

A client names a message by its id and its source_addr, and both must be those of a message of its own; what is not is
answered like what is not there, so nobody learns of the messages of others. The id of any part names the joined
message, and that of a SUBMIT_MULTI all of its messages.

Cancelled and replaced is only what no provider can have. The store decides that, in the transaction that does it:
whatever is WAITING or READY may end, and nothing begins that has ended. Two things the store alone cannot know. A
message that was stored as begun may still stand in the queue of its lane; so it is recalled from there first
(`Outlet.recall`). And one that is READY may be in somebody's hands, with its old text; so it is replaced only if it was
recalled. Between the recall and the call of the store nothing else can happen, and what the store does not change after
all goes back to where it was.

What can go wrong: the store fails, which is ESME_RSYSERR, and nothing has changed; of a search that cancels many, what
was done before stays done. A client that goes away meanwhile is not answered, and what it asked for is done.

These requests count in `submit_window` and in `max_pending`, and in no rate: they make no message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import structlog
from msgspec import structs

from pdu import (
    CancelSm,
    CancelSmResp,
    CommandStatus,
    MessageState,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitSm,
    Tag,
    format_absolute,
    state_for,
)

from ..lifecycle import Cancelled
from ..model import Message, Millis, Part, Stage, bare
from ..smpp.link import Link
from ..store.base import Applied, Replacement, StoreFailed
from .account import AccountState
from .fields import decoded, opened, times
from .refusal import Refusal

if TYPE_CHECKING:
    from .station import Submission

log = structlog.get_logger(__name__)

Asked: TypeAlias = QuerySm | CancelSm | ReplaceSm

_UDHI = 0x40
_VERSION_5_0 = 0x50

#: Messages that one CANCEL_SM without an id ends at most: some ten MiB while it works.
_CANCEL_MAX = 10_000
#: Of them in one transaction.
_CANCEL_STEP = 500

#: error_code is one octet (SMPP 3.4 §5.2.27). For a code that does not fit: "unknown error" in the lists of smsc.ru.
_ERROR_MAX, _ERROR_UNKNOWN = 255, 99


class Standing(NamedTuple):
    """How far something has come, as QUERY_SM_RESP tells it."""

    state: MessageState
    err: int = 0
    #: When it ended; 0: it has not.
    ended: Millis = 0


def standing(messages: Sequence[Message], now: Millis, version: int) -> Standing:
    """Of a message, or of all that an id stands for: the one that is least far, so it is over when the last one is;
    and of those that are over, one that was not delivered. `version` is the interface_version of who asks."""
    found = [_standing(message, now, version) for message in messages]
    least = min(found, key=_distance)
    return least._replace(ended=max(one.ended for one in found)) if least.ended else least


def _standing(message: Message, now: Millis, version: int) -> Standing:
    progress = message.progress
    state = progress.state
    if progress.stage is Stage.FINAL:
        err = progress.err if progress.err <= _ERROR_MAX else _ERROR_UNKNOWN
        # A provider's clock may be far off; nothing ends before it begins.
        return Standing(state_for(version, state), err, max(progress.done_at, message.accepted_at))
    if progress.stage is Stage.WAITING and progress.due > now and not progress.attempts and version >= _VERSION_5_0:
        # SMPP 5.0 §4.7.15; to 3.4 that state is not known.
        return Standing(MessageState.SCHEDULED)
    # Whatever a provider says on the way: a client takes UNKNOWN for the end.
    return Standing(MessageState.ACCEPTED if state is MessageState.ACCEPTED else MessageState.ENROUTE)


def _distance(one: Standing) -> int:
    if one.ended:
        return 4 if one.state is MessageState.DELIVERED else 3
    return (MessageState.SCHEDULED, MessageState.ENROUTE, MessageState.ACCEPTED).index(one.state)


class Afterwards:
    """What `Submission` does with these operations."""

    def __init__(self, station: Submission) -> None:
        self._station = station
        #: Accounts for which a CANCEL_SM without an id is under way: it looks at all that waits.
        self._searching: set[str] = set()
        #: By account: one REPLACE_SM after the other, for the times that one leaves empty are those that the one before
        #: has put there; and none during a search, which puts back what it found when the store fails.
        self._replacing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def take(self, link: Link, account: AccountState, pdu: Asked) -> None:
        """Answer it, exactly once."""
        if not self._station.open:
            reason = "the gateway is shutting down, bind again later"
            self._refuse(link, account, pdu, CommandStatus.ESME_RSYSERR, reason)
            return
        self._station.begun(account)
        self._station.spawn(self._take(link, account, pdu))

    async def _take(self, link: Link, account: AccountState, pdu: Asked) -> None:
        try:
            match pdu:
                case QuerySm():
                    link.respond(await self._query(link, account, pdu))
                case CancelSm():
                    await self._cancel(link, account, pdu)
                    link.respond(CancelSmResp(sequence_number=pdu.sequence_number))
                case ReplaceSm():
                    async with self._replacing[account.name]:
                        await self._replace(link, account, pdu)
                    link.respond(ReplaceSmResp(sequence_number=pdu.sequence_number))
        except Refusal as refusal:
            self._refuse(link, account, pdu, refusal.status, refusal.reason)
        except StoreFailed:
            self._refuse(link, account, pdu, CommandStatus.ESME_RSYSERR, "the store failed, ask again later")
        except Exception:
            # Ours, and the client is answered all the same.
            log.exception("an operation failed", account=account.name, operation=pdu.command_id.name)
            self._refuse(link, account, pdu, CommandStatus.ESME_RSYSERR, "a mistake of the gateway")
        finally:
            self._station.done(account)

    def _refuse(self, link: Link, account: AccountState, pdu: Asked, status: CommandStatus, reason: str) -> None:
        link.respond_error(pdu.command_id, pdu.sequence_number, status, reason)
        journal = self._station.journal
        if journal.open(1):
            operation, sequence = pdu.command_id.name, pdu.sequence_number
            journal.say(
                "refused",
                account=account.name,
                operation=operation,
                sequence=sequence,
                status=status.name,
                reason=reason,
            )

    # Which message ---------------------------------------------------------------------------------------------------

    async def _named(self, account: AccountState, pdu: Asked, failed: CommandStatus) -> Sequence[Message | Part]:
        """What the client means by message_id and source_addr, one at least. A part is one that is still held.

        TON and NPI are not compared, and a plus makes no difference: clients write an address in one way when they send
        and in another when they ask. Raises Refusal.
        """
        id = account.read_id(pdu.message_id)
        if id is None:
            raise Refusal(CommandStatus.ESME_RINVMSGID, "message_id is none that responses of this gateway carry")
        found: Sequence[Message | Part] = await self._station.store.find_all(id)
        if not found:
            part = await self._station.store.find_part(id)
            # It may have been joined between the two looks.
            found = [part] if part is not None else await self._station.store.find_all(id)
        source = bare(pdu.source_addr)
        own = [one for one in found if one.account == account.name and bare(one.source) == source]
        if not own:
            raise Refusal(failed, "this account has no message with this id and source_addr")
        return own

    # QUERY_SM --------------------------------------------------------------------------------------------------------

    async def _query(self, link: Link, account: AccountState, pdu: QuerySm) -> QuerySmResp:
        found = await self._named(account, pdu, CommandStatus.ESME_RQUERYFAIL)
        messages = [one for one in found if isinstance(one, Message)]
        now = self._station.clock()
        # A part whose rest has not come is on its way to being a message.
        told = standing(messages, now, link.interface_version) if messages else Standing(MessageState.ENROUTE)
        return QuerySmResp(
            sequence_number=pdu.sequence_number,
            message_id=pdu.message_id,
            final_date=_date(told.ended, account.config.timezone) if told.ended else "",
            message_state=told.state,
            error_code=told.err,
        )

    # CANCEL_SM -------------------------------------------------------------------------------------------------------

    async def _cancel(self, link: Link, account: AccountState, pdu: CancelSm) -> None:
        """Raises Refusal where nothing is cancelled by it."""
        if not pdu.message_id:
            await self._cancel_all(link, account, pdu)
            return
        found = await self._named(account, pdu, CommandStatus.ESME_RCANCELFAIL)
        # SMPP 3.4 §4.9.1: it may be empty where there is an id. Of a SUBMIT_MULTI it takes out one destination.
        to = bare(pdu.destination_addr)
        found = [one for one in found if not to or bare(one.destination) == to]
        if not found:
            raise Refusal(CommandStatus.ESME_RCANCELFAIL, "the message with this id goes to another destination_addr")
        messages = [one for one in found if isinstance(one, Message)]
        if not messages:
            raise Refusal(CommandStatus.ESME_RCANCELFAIL, _HELD)
        applied = await self._end(link, pdu, messages)
        if not any(one.ended for one in applied):
            raise Refusal(CommandStatus.ESME_RCANCELFAIL, _why_not(applied[-1].message))

    async def _cancel_all(self, link: Link, account: AccountState, pdu: CancelSm) -> None:
        """All that wait from one address to another, as they were written (SMPP 3.4 §4.9.1)."""
        if not pdu.destination_addr:
            raise Refusal(CommandStatus.ESME_RINVDSTADR, "without message_id a destination_addr is needed")
        if account.name in self._searching:
            reason = "another CANCEL_SM without message_id is under way for this account"
            raise Refusal(CommandStatus.ESME_RTHROTTLED, reason)
        self._searching.add(account.name)
        try:
            async with self._replacing[account.name]:
                cancelled = await self._search(link, account, pdu)
        finally:
            self._searching.discard(account.name)
        if not cancelled:
            raise Refusal(
                CommandStatus.ESME_RCANCELFAIL, "nothing waits here from this source_addr to this destination"
            )

    async def _search(self, link: Link, account: AccountState, pdu: CancelSm) -> int:
        """End all that wait, a step at a time so that nobody else has to; how many there were."""
        unsent, service = self._station.store.unsent, pdu.service_type
        messages = await unsent(account.name, pdu.source_addr, pdu.destination_addr, _CANCEL_MAX)
        cancelled = 0
        for at in range(0, len(messages), _CANCEL_STEP):
            some = messages[at : at + _CANCEL_STEP]
            if service:
                some = [one for one in some if decoded(one.pdu, account).service_type == service]
            cancelled += sum(one.ended for one in await self._end(link, pdu, some))
        return cancelled

    async def _end(self, link: Link, pdu: CancelSm, messages: Sequence[Message]) -> Sequence[Applied]:
        """End those of these that no provider can have. Raises StoreFailed."""
        station = self._station
        reason = f"cancelled by the client {_over(link, pdu)}"
        recalled = station.outlet.recall(messages)
        ids = {message.id for message in recalled}
        changes = [Cancelled(id=message.id, recalled=message.id in ids, reason=reason) for message in messages]
        try:
            applied = await station.store.apply(changes, station.clock())
        except StoreFailed as failed:
            self._not_done(recalled, failed)
            raise
        station.applied(applied)
        ended = [one.message for one in applied if one.ended and one.message is not None]
        if ended and station.journal.open(len(ended)):
            for message in ended:
                station.journal.say("cancelled", message, sequence=pdu.sequence_number)
        return applied

    def _not_done(self, recalled: Sequence[Message], failed: StoreFailed) -> None:
        """What was stored as begun needs no word of the store to be sent: so if it may have ended on the disk, or be
        another one there, it waits for the next start, which knows."""
        if not failed.uncertain:
            self._put_back(recalled)

    def _put_back(self, recalled: Sequence[Message]) -> None:
        for message in recalled:
            self._station.outlet.offer(message)

    # REPLACE_SM ------------------------------------------------------------------------------------------------------

    async def _replace(self, link: Link, account: AccountState, pdu: ReplaceSm) -> None:
        """Raises Refusal where nothing is replaced."""
        station, failed = self._station, CommandStatus.ESME_RREPLACEFAIL
        # What is no time is so whichever message it is for.
        due, expires = pdu.schedule_delivery_time, pdu.validity_period
        times(SubmitSm(schedule_delivery_time=due, validity_period=expires), account, station.clock())
        message, *others = await self._named(account, pdu, failed)
        if isinstance(message, Part):
            raise Refusal(failed, _HELD)
        if others:
            raise Refusal(failed, "the text of a SUBMIT_MULTI is not replaced: cancel it and send again")
        if message.progress.leg or message.progress.stage > Stage.SENDING:
            raise Refusal(failed, _why_not(message))
        now = station.clock()
        replacement = self._read(link, account, pdu, message, now)
        recalled = station.outlet.recall([message])
        try:
            after = await station.store.replace(structs.replace(replacement, recalled=bool(recalled)), now)
        except StoreFailed as broken:
            self._not_done(recalled, broken)
            raise
        if after is None:
            # What was stored as begun and is so no longer is not to be sent; of the others the store is asked first.
            self._put_back([one for one in recalled if one.progress.stage is Stage.READY])
            raise Refusal(failed, "it does not wait here any more")
        station.outlet.offer(after)
        if station.journal.open(1):
            station.journal.say("replaced", after, sequence=pdu.sequence_number)

    def _read(self, link: Link, account: AccountState, pdu: ReplaceSm, message: Message, now: Millis) -> Replacement:
        """What it puts in the place of the message: read as the SUBMIT_SM that would have said so, with the data_coding
        and the addresses of the message, and with its times where there are none (SMPP 3.4 §4.10.1). Raises Refusal as
        that would."""
        station, submit = self._station, decoded(message.pdu, account)
        keeps_end = not pdu.validity_period and bool(submit.validity_period or not pdu.schedule_delivery_time)
        submit.destination_addr = message.destination
        # A new text is whole and has no header: the operation has no esm_class.
        submit.esm_class &= ~_UDHI
        submit.short_message = pdu.short_message
        submit.tlvs = [one for one in pdu.tlvs if one.tag == Tag.MESSAGE_PAYLOAD]
        submit.sm_default_msg_id = pdu.sm_default_msg_id
        submit.registered_delivery = pdu.registered_delivery
        due = message.progress.due
        submit.schedule_delivery_time = pdu.schedule_delivery_time or (_absolute(due) if due > now else "")
        submit.validity_period = _absolute(message.expires) if keeps_end else pdu.validity_period
        if account.mend is not None:
            account.mend(submit)
        segment, header, body = opened(submit)
        if segment is not None:
            raise Refusal(CommandStatus.ESME_RREPLACEFAIL, "a part of a text replaces nothing: send it whole")
        alphabet = account.alphabet_of(link.system_type)
        fresh = station.read(account, message.bind, alphabet, submit, message.pdu, header, body, now)
        # To its subscriber it is the message that it was.
        account.forget(message.destination, now)
        if pdu.schedule_delivery_time:
            due = fresh.progress.due if fresh.progress.stage is Stage.WAITING else now
        return Replacement(
            id=message.id,
            command=fresh.command,
            kind=fresh.kind,
            registered_delivery=fresh.registered_delivery,
            notify=fresh.notify,
            due=due,
            expires=message.expires if keeps_end else fresh.expires,
            detail=f"by the client {_over(link, pdu)}",
        )


_HELD = "the other parts of this message have not come yet; without them it ends as EXPIRED"

_WHY_NOT = {
    Stage.WAITING: "a provider had it on an earlier leg of its route",
    Stage.READY: "it is being handed to a provider",
    Stage.SENDING: "it is being handed to a provider",
    Stage.SENT: "a provider has it",
    Stage.DOUBT: "a provider may have it",
}


def _why_not(message: Message | None) -> str:
    """Why it can be neither cancelled nor replaced any more."""
    if message is None:
        return "it is gone"
    progress = message.progress
    if progress.stage is Stage.FINAL:
        return f"it has ended as {progress.state.name}"
    return _WHY_NOT[progress.stage]


def _over(link: Link, pdu: Asked) -> str:
    return f"over bind {link.id}, sequence_number {pdu.sequence_number}"


def _date(at: Millis, timezone: str) -> str:
    """An absolute time (SMPP 3.4 §7.1.1) with the offset that the account's time zone has then."""
    return format_absolute(datetime.fromtimestamp(at / 1000, ZoneInfo(timezone)))


def _absolute(at: Millis) -> str:
    return _date(at, "UTC")
