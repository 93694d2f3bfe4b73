"""Long messages that come in parts: each part is durable before its response, the last one brings the whole with it.

Which part it is stands in a user data header or in the SAR parameters, its data in short_message or message_payload, of
a SUBMIT_SM or a DATA_SM; parts of one message may come in any of these ways, in any order and over any bind of the
account. The store keeps them, so neither a restart nor a part that comes twice does harm. What was acknowledged and
never becomes a message ends all the same (promise 3): as EXPIRED where a part is missing, as REJECTED where the whole
means nothing.

The octets are joined before they are read, because a client may cut an escape or a surrogate pair in two, and a prefix
tells how all of them are to be read. So the parts must have one data_coding. Clients split what they have encoded; we
know of none that encodes what it has split.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import structlog

from pdu import Alphabet, CommandStatus, MessageState, Segment, SubmitSm

from ..config import AccountConfig
from ..lifecycle import Settled
from ..model import Message, Millis, Notify, Part
from ..smpp.link import Link
from ..store.base import StoreFailed
from .account import AccountState
from .fields import decoded, opened, request_of, stillborn
from .refusal import Refusal

if TYPE_CHECKING:
    from .station import Submission

log = structlog.get_logger(__name__)

ROK = CommandStatus.ESME_ROK

#: Sets that are looked up together to be settled, and how many of them are settled at once: they share a commit, and
#: take the loop for some milliseconds.
_PAGE = 1000
_AT_ONCE = 10


class Parts:
    """What `Submission` does with parts."""

    def __init__(self, station: Submission) -> None:
        self._station = station
        #: Sets that are being joined, by the id of the part that made them whole.
        self._deciding: dict[int, asyncio.Future[None]] = {}
        #: Sets that a part is coming to at this moment, and how many: `sweep` leaves them alone.
        self._coming: Counter[_Set] = Counter()

    def take(
        self, link: Link, account: AccountState, pdu: SubmitSm, frame: bytes, segment: Segment, now: Millis, paid: int
    ) -> None:
        """One part, answered once it is durable. `paid`: as how many messages it was admitted."""
        part = Part(
            id=self._station.ids.next(now),
            account=account.name,
            bind=link.id,
            source=pdu.source_addr,
            destination=pdu.destination_addr,
            reference=segment.reference,
            total=segment.total,
            number=segment.number,
            registered_delivery=pdu.registered_delivery,
            notify=account.notify(pdu.registered_delivery),
            alphabet=account.alphabet_of(link.system_type),
            pdu=frame,
            accepted_at=now,
            expires=now + int(account.config.parts_timeout * 1000),
        )
        self._station.begun(account)
        self._station.spawn(self._take(link, account, pdu, part, paid))

    async def _take(self, link: Link, account: AccountState, pdu: SubmitSm, part: Part, paid: int) -> None:
        """Durable before its response; the last one brings the whole message with it."""
        station, now = self._station, part.accepted_at
        request = request_of(part.pdu)
        coming = _set_of(part)
        self._coming[coming] += 1
        try:
            # Rather now than after the others were acknowledged.
            account.judge_addresses(pdu.destination_addr, pdu.source_addr)
            held = await station.store.hold(part)
            message = None
            if held.parts:
                message = await self._decide(account, held.parts, now, last=held.id)
            elif deciding := self._deciding.get(held.id):
                # The same part again, while nobody knows what becomes of the whole: both get the same answer.
                await asyncio.shield(deciding)
            if held.id != part.id:
                # It came again; once is enough.
                account.give_back(now, paid)
            account.accepted += 1
            link.respond_submit(pdu.sequence_number, ROK, account.write_id(held.id), request=request)
        except Refusal as refusal:
            account.give_back(now, paid)
            station.refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason, request)
        except StoreFailed as failed:
            account.give_back(now, paid)
            station.answer_verdict(link, account, pdu.sequence_number, failed, request)
        except Exception:
            # Ours, and the client is answered all the same.
            log.exception("a part failed", account=account.name)
            status = CommandStatus.ESME_RSYSERR
            station.refuse(link, account, pdu.sequence_number, status, "a mistake of the gateway", request)
        else:
            if message is not None:
                self._go_on(message, held.parts)
        finally:
            self._coming[coming] -= 1
            if not self._coming[coming]:
                del self._coming[coming]
            station.done(account)

    async def _decide(self, account: AccountState, parts: Sequence[Part], now: Millis, *, last: int) -> Message | None:
        """Join a set; who sends its last part once more meanwhile waits for the word on the whole."""
        deciding = self._deciding[last] = asyncio.get_running_loop().create_future()
        try:
            message = await self._join(account, parts, now, last=last)
        except BaseException as error:
            deciding.set_exception(error)
            # Often nobody waits for it.
            deciding.exception()
            raise
        else:
            deciding.set_result(None)
            return message
        finally:
            del self._deciding[last]

    async def _join(
        self, account: AccountState, parts: Sequence[Part], now: Millis, *, last: int = 0
    ) -> Message | None:
        """Make one message of a whole set. Raises Refusal for the part with the id `last`; the others, which were
        acknowledged already, end as REJECTED, for everything acknowledged reaches a final state (promise 3). None: the
        set is held as it is.

        The parts are held until they have gone somewhere, whatever is between: a crash leaves them to `sweep`."""
        try:
            message = self._read_joined(account, parts, now)
            try:
                first = await self._station.store.join(message, parts)
            except StoreFailed:
                account.forget(message.destination, now)
                raise
            if first is not None:
                account.forget(message.destination, now)
                raise Refusal(account.duplicate_status, self._station.identical(account, first))
        except Refusal as refusal:
            if last and not await self._dropped(parts, last):
                return None
            await self._end_parts(
                account, [part for part in parts if part.id != last], MessageState.REJECTED, refusal.reason, now
            )
            raise
        except Exception:
            # The store's, or ours: whichever, what is refused is not kept.
            if last and not await self._dropped(parts, last):
                return None
            raise
        return message

    def _go_on(self, message: Message, parts: Sequence[Part]) -> None:
        """It is durable, and whoever sent its last part knows."""
        self._station.outlet.offer(message)
        if self._station.journal.open(1):
            self._station.say_accepted(message, parts=len(parts))

    async def _dropped(self, parts: Sequence[Part], last: int) -> bool:
        """Whether the part with that id can be refused. Where the store takes nothing any more it is kept, so it is not
        (ARCHITECTURE.md, promise 2): `sweep` makes of the set what it would have become, or the next start does."""
        try:
            await self._station.store.drop_parts([part for part in parts if part.id == last])
        except StoreFailed:
            return False
        return True

    def _read_joined(self, account: AccountState, parts: Sequence[Part], now: Millis) -> Message:
        """The prefix stands in the first part only, so the parts are joined before anything is read."""
        pdus = [decoded(part.pdu, account) for part in parts]
        first = pdus[0]
        if codings := {pdu.data_coding for pdu in pdus} - {first.data_coding}:
            differs = ", ".join(map(str, sorted(codings)))
            reason = f"the parts of one message differ in data_coding: {first.data_coding} and {differs}"
            raise Refusal(CommandStatus.ESME_RSUBMITFAIL, reason)
        # A header that is more than the concatenation stands in every part; the first one's speaks for all.
        _, header, _ = opened(first)
        body = b"".join(opened(pdu)[2] for pdu in pdus)
        alphabet = Alphabet(parts[0].alphabet)
        message = self._station.read(account, parts[0].bind, alphabet, first, parts[0].pdu, header, body, now)
        message.id = parts[0].id
        return _speaking_for(parts, message, account.config.parts_receipts)

    async def _end_parts(
        self, account: AccountState, parts: Sequence[Part], state: MessageState, reason: str, now: Millis
    ) -> None:
        """Acknowledged parts that will never be a message: one message that only says so, with their receipts."""
        if not parts:
            return
        first = decoded(parts[0].pdu, account)
        body = b"".join(_data_of(decoded(part.pdu, account)) for part in parts)
        message = stillborn(
            first, parts[0].pdu, parts[0].id, account, parts[0].bind, body, parts[0].accepted_at, parts[0].expires
        )
        _speaking_for(parts, message, account.config.parts_receipts)
        if await self._station.store.join(message, parts) is not None:
            # They went into a message since they were looked up.
            return
        self._station.applied(
            await self._station.store.apply([Settled(id=message.id, state=state, reason=reason)], now)
        )

    async def sweep(self) -> bool:
        """Settle the sets whose rest never came, and those that a crash left whole but not joined: some of them. True:
        there are more. At start, then from time to time, or at once where there are more."""
        now, settled = self._station.clock(), 0
        sets = await self._station.store.held_parts(now, _PAGE)
        for at in range(0, len(sets), _AT_ONCE):
            some = [self._settled(parts, now) for parts in sets[at : at + _AT_ONCE]]
            for outcome in await asyncio.gather(*some, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                settled += outcome
        return len(sets) == _PAGE and settled > 0

    async def _settled(self, parts: Sequence[Part], now: Millis) -> bool:
        """False: it stays as it is. Raises StoreFailed."""
        if _set_of(parts[0]) in self._coming:
            return False
        try:
            await self._settle(parts, now)
        except StoreFailed:
            raise
        except Exception:
            # Ours, and the other sets do not wait for it.
            log.exception("a set of parts failed", account=parts[0].account)
            return False
        return True

    async def _settle(self, parts: Sequence[Part], now: Millis) -> None:
        name = parts[0].account
        account = self._station.accounts.get(name)
        if account is None:
            # Acknowledged once, so it ends, even if nobody is left to hear of it.
            gone = AccountState(name, AccountConfig(allowed_networks=()), self._station.store)
            await self._end_parts(gone, parts, MessageState.REJECTED, "the account is gone", now)
        elif len(parts) == parts[0].total:
            with contextlib.suppress(Refusal):
                if message := await self._join(account, parts, now):
                    self._go_on(message, parts)
        else:
            reason = f"{len(parts)} of {parts[0].announced} parts came in time"
            await self._end_parts(account, parts, MessageState.EXPIRED, reason, now)


def _data_of(pdu: SubmitSm) -> bytes:
    """Of a part that is not to be sent. An account whose dialect has changed since may not be read as it was then."""
    try:
        return opened(pdu)[2]
    except Refusal:
        return pdu.short_message


#: What parts of one message have in common (`Store.hold`).
_Set: TypeAlias = tuple[str, str, str, int, int]


def _set_of(part: Part) -> _Set:
    return part.account, part.source, part.destination, part.reference, part.total


def _speaking_for(parts: Sequence[Part], message: Message, receipts: str) -> Message:
    """The message of these parts, with the ids that get a receipt, each of its own, as `parts_receipts` says.

    Whoever asks with one part over SMPP is answered there: an HTTP handler is for messages nobody asked for.
    """
    asking = [part for part in parts if part.notify is Notify.SMPP] or [
        part for part in parts if part.notify is not Notify.NOBODY
    ]
    message.notify = asking[0].notify if asking else Notify.NOBODY
    message.registered_delivery = asking[0].registered_delivery if asking else 0
    told = parts[_TOLD[receipts]] if asking and receipts in _TOLD else asking
    message.part_ids = tuple(part.id for part in told)
    return message


#: Of `parts_receipts`, besides "asked".
_TOLD = {"all": slice(None), "first": slice(1), "last": slice(-1, None)}
