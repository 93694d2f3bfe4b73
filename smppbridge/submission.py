"""SUBMIT_SM → an answer: limits, parts, meaning, safe in the store, and only then status 0.

The station between a bound client and the store. What can go wrong here is the client's (answered with a status and a
reason in additional_status_info_text) or the store's (ESME_RSYSERR, or ESME_RMSGQFUL for a full disk); in both cases
nothing was kept and nothing will be sent (ARCHITECTURE.md, promise 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from pdu import (
    Alphabet,
    BadHeader,
    CommandStatus,
    MessageState,
    Segment,
    SubmitSm,
    decode,
    parse_time,
    segment_of,
    user_data,
)

from .commands import Malformed, read
from .config import AccountConfig
from .ids import IdGenerator
from .journal import Journal
from .lifecycle import Settled
from .model import KIND_OF, Binary, Command, Entry, Kind, Message, Millis, Notify, Part, Progress, Stage, text_of
from .smpp.bound import Bound
from .smpp.link import Link
from .smpp.throttle import Throttle
from .store.base import Applied, Duplicate, Store, StoreFailed, Verdict

ROK = CommandStatus.ESME_ROK
_UDHI = 0x40

#: How often parts whose rest never came are looked for, in seconds.
_PARTS_EVERY = 30.0

# International number with or without the plus; `#id` names a Telegram chat (smsc HTTP API, `phones`).
_NUMBER = re.compile(r"\+?[0-9]{3,20}\Z").match
_CHAT = re.compile(r"#[0-9A-Za-z_-]{1,19}\Z").match

# By these names because looking a member up in its enum costs more than what is done with it on the hot path.
_BY_SMPP = Notify.SMPP


class Decision(Protocol):
    """A route's word."""

    @property
    def providers(self) -> Sequence[str]:
        """In this order; empty if no provider takes it."""

    @property
    def why(self) -> str: ...
    @property
    def legs(self) -> Sequence[object]: ...


class Outlet(Protocol):
    """What submission needs of the dispatcher."""

    def route_of(self, account: str, kind: Kind, destination: str, source: str) -> Decision:
        """Where it would go, and why."""

    def opening(self, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress | None:
        """As what a message for these may be stored and offered; None: there is no room, it waits on disk."""

    def offer(self, message: Message) -> bool:
        """A durable message. One that waits on disk is not taken; it is noted when it is due."""


class Refusal(Exception):
    """The answer is not status 0."""

    def __init__(self, status: CommandStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class AccountState:
    """What is counted for an account while the gateway runs, and its settings in the form the hot path wants them."""

    __slots__ = (
        "accepted",
        "alphabet",
        "config",
        "conventions",
        "duplicate_status",
        "max_pending",
        "max_validity",
        "name",
        "pending",
        "refused",
        "resent",
        "silent",
        "throttle",
        "validity",
        "window",
    )

    def __init__(self, name: str, config: AccountConfig) -> None:
        self.name = name
        self.pending = 0
        self.accepted = 0
        self.resent = 0
        self.refused: Counter[str] = Counter()
        self.apply(config)

    def apply(self, config: AccountConfig) -> None:
        """Take new settings (a reload) without forgetting what was counted."""
        self.config = config
        self.alphabet = Alphabet(config.alphabet)
        self.conventions = config.conventions
        self.duplicate_status = CommandStatus[config.duplicate_status]
        self.max_pending = config.max_pending
        self.throttle = Throttle(config.throughput, config.burst)
        # In milliseconds
        self.window = int(config.duplicate_window * 1000)
        self.validity = int(config.default_validity * 1000)
        self.max_validity = int(config.max_validity * 1000)
        #: Who hears of a message whose registered_delivery is not set (smsc.ru, SMPP statuses).
        self.silent = Notify.HTTP if config.handler else Notify.NOBODY

    def alphabet_of(self, system_type: str) -> Alphabet:
        """What data_coding 0 is over such a bind."""
        return self.config.alphabet_at(system_type) if system_type else self.alphabet

    def notify(self, registered_delivery: int) -> Notify:
        """Who hears of a message: asked are bits 1-0 and bit 4 (SMPP 3.4 §5.2.17)."""
        return _BY_SMPP if registered_delivery & 0x13 else self.silent


class Submission:
    """Answers every SUBMIT_SM exactly once."""

    def __init__(
        self,
        *,
        accounts: dict[str, AccountConfig],
        max_pending: int,
        store: Store,
        ids: IdGenerator,
        bound: Bound,
        outlet: Outlet,
        clock: Callable[[], Millis],
        applied: Callable[[Sequence[Applied]], None],
        journal: Journal,
    ) -> None:
        self._store = store
        self._ids = ids
        self._bound = bound
        self._outlet = outlet
        self._clock = clock
        self._applied = applied
        self._journal = journal
        self._max_pending = max_pending
        self._pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: Sets that are being joined, by the id of the part that made them whole.
        self._deciding: dict[int, asyncio.Future[None]] = {}
        self._log = structlog.get_logger("submission")
        self.accounts = {name: AccountState(name, config) for name, config in accounts.items()}
        self.open = True
        self._idle = asyncio.Event()

    # The hot path ----------------------------------------------------------------------------------------------------

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        """Take one SUBMIT_SM (`frame` is the PDU as it came); the link carries the answer, now or when it is stored."""
        account = self.accounts[link.account]
        now = self._clock()
        try:
            self._admit(account, pdu, now)
            header, body = b"", pdu.short_message
            if pdu.tlvs or pdu.esm_class & _UDHI:
                segment, header, body = _opened(pdu)
                if segment is not None:
                    self._spawn(self._take_part(link, account, pdu, frame, segment, now))
                    return
            alphabet = account.alphabet_of(link.system_type)
            message = self._read(account, link.id, alphabet, pdu, frame, header, body, now)
        except Refusal as refusal:
            self._refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason)
            return
        self._pending += 1
        account.pending += 1
        self._store.accept(message, self._arrived)

    def _arrived(self, batch: Sequence[tuple[Message, Verdict]]) -> None:
        """The store's word on a batch: durable, refused or failed. Answers go out before anything else happens."""
        self._pending -= len(batch)
        links, accounts, accepted = self._bound.links, self.accounts, []
        for message, verdict in batch:
            account = accounts[message.account]
            account.pending -= 1
            link = links.get(message.bind)
            if verdict is None:
                account.accepted += 1
                if link is not None:
                    link.respond_submit(message.sequence, ROK, str(message.id))
                accepted.append(message)
            elif link is not None:
                self._answer_verdict(link, account, message.sequence, verdict)
        for message in accepted:
            # The others wait on disk, where the dispatcher looks when something is due.
            if message.progress.stage is not Stage.WAITING:
                self._outlet.offer(message)
        if accepted and self._journal.open(len(accepted)):
            for message in accepted:
                self._say_accepted(message)
        self._settle_down()

    def _say_accepted(self, message: Message, **about: object) -> None:
        """`logs` shows the text as its length, unless `[log] texts` asks for it."""
        text = text_of(message.command)
        self._journal.say("accepted", message, sequence=message.sequence, **about, **({"text": text} if text else {}))

    def _answer_verdict(
        self, link: Link, account: AccountState, sequence: int, verdict: Duplicate | StoreFailed
    ) -> None:
        if isinstance(verdict, StoreFailed):
            status = CommandStatus.ESME_RMSGQFUL if verdict.temporary else CommandStatus.ESME_RSYSERR
            self._refuse(link, account, sequence, status, "the message could not be stored")
        elif self._never_answered(link, verdict):
            account.resent += 1
            link.respond_submit(sequence, ROK, str(verdict.id))
            self._spawn(self._note_resend(verdict.id, f"over bind {link.id}, sequence_number {sequence}"))
        else:
            window = account.config.duplicate_window
            reason = f"identical message {verdict.id} was accepted less than {window:g} s ago"
            self._refuse(link, account, sequence, account.duplicate_status, reason)

    def _never_answered(self, link: Link, first: Duplicate) -> bool:
        """Whether the response to the first one can have been lost, so that this is a resend and not a repetition.

        On the same link: no, the response precedes this answer. On another one: while the first link lives, only if
        the kernel still holds octets that the client has not acknowledged. After it ended: unless it ended with an
        UNBIND, which a client sends when it has read what it waited for.
        """
        if first.bind == link.id:
            return False
        alive = self._bound.links.get(first.bind)
        if alive is not None:
            return self._bound.unread(alive)
        return not self._bound.ended_cleanly(first.bind)

    async def _note_resend(self, id: int, detail: str) -> None:
        """A line on the time-line of the first one. It promises nothing, so a store that fails is no news here."""
        with contextlib.suppress(StoreFailed):
            await self._store.note([Entry(message=id, at=self._clock(), event="resent", detail=detail)])

    def _refuse(self, link: Link, account: AccountState, sequence: int, status: CommandStatus, reason: str) -> None:
        account.refused[status.name] += 1
        link.respond_submit(sequence, status, "", reason)
        if self._journal.open(1):
            self._journal.say("refused", account=account.name, sequence=sequence, status=status.name, reason=reason)

    # Limits and fields -----------------------------------------------------------------------------------------------

    def _admit(self, account: AccountState, pdu: SubmitSm, now: Millis) -> None:
        """ARCHITECTURE.md, promise 6: overload is answered, never queued without bound; the reason names the limit."""
        if not self.open:
            raise Refusal(CommandStatus.ESME_RSYSERR, "the gateway is shutting down, bind again later")
        if self._pending >= self._max_pending:
            raise Refusal(CommandStatus.ESME_RMSGQFUL, f"{self._max_pending} messages are being stored, all clients")
        if account.pending >= account.max_pending:
            raise Refusal(CommandStatus.ESME_RMSGQFUL, f"{account.max_pending} messages of yours are being stored")
        if not account.throttle.take(now):
            raise Refusal(CommandStatus.ESME_RTHROTTLED, f"more than {account.throttle.rate:g} messages a second")
        # SMPP 3.4 §5.2.14 has 0 to 3; 5.0 §4.7.18 adds 4.
        if pdu.priority_flag > 4:
            raise Refusal(CommandStatus.ESME_RINVPRTFLG, "priority_flag is 0 to 4")
        if pdu.replace_if_present_flag:
            raise Refusal(CommandStatus.ESME_RREPLACEFAIL, "replace_if_present_flag is not offered, send with 0")

    def _read(
        self,
        account: AccountState,
        bind: int,
        alphabet: Alphabet,
        pdu: SubmitSm,
        frame: bytes,
        header: bytes,
        body: bytes,
        now: Millis,
    ) -> Message:
        """What the PDU means, as a message with an id. Raises Refusal."""
        destination = pdu.destination_addr
        try:
            command = read(
                header + body if header else body,
                data_coding=pdu.data_coding,
                has_udh=bool(header),
                destination=destination,
                alphabet=alphabet,
                conventions=account.conventions,
            )
        except Malformed as malformed:
            raise Refusal(malformed.status, malformed.reason) from None
        kind = KIND_OF[type(command)]
        if not _NUMBER(destination):
            _check_destination(kind, destination)
        route = self._outlet.route_of(account.name, kind, destination, pdu.source_addr)
        if not route.providers:
            raise Refusal(CommandStatus.ESME_RSUBMITFAIL, route.why)
        if pdu.schedule_delivery_time or pdu.validity_period:
            due, expires = _times(pdu, account, now)
        else:
            due, expires = now, now + account.validity
        progress = None
        if due <= now:
            progress = self._outlet.opening(pdu.priority_flag, route.providers, cascade=bool(route.legs))
        if progress is None:
            progress = Progress(stage=Stage.WAITING, due=due)
        notify = account.notify(pdu.registered_delivery)
        return _message(pdu, frame, self._ids.next(now), account, bind, command, notify, now, expires, progress)

    # Long messages ---------------------------------------------------------------------------------------------------

    async def _take_part(
        self, link: Link, account: AccountState, pdu: SubmitSm, frame: bytes, segment: Segment, now: Millis
    ) -> None:
        """One part: durable before its response; the last one brings the whole message with it."""
        part = Part(
            id=self._ids.next(now),
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
        self._pending += 1
        account.pending += 1
        try:
            held = await self._store.hold(part)
            if held.parts:
                await self._decide(account, held.parts, now, last=held.id)
            elif deciding := self._deciding.get(held.id):
                # The same part again, while nobody knows what becomes of the whole: both get the same answer.
                await asyncio.shield(deciding)
            account.accepted += 1
            link.respond_submit(pdu.sequence_number, ROK, str(held.id))
        except Refusal as refusal:
            self._refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason)
        except StoreFailed as failed:
            self._answer_verdict(link, account, pdu.sequence_number, failed)
        except Exception:
            # Ours, and the client is answered all the same.
            self._log.exception("a part failed", account=account.name)
            self._refuse(link, account, pdu.sequence_number, CommandStatus.ESME_RSYSERR, "a mistake of the gateway")
        finally:
            self._pending -= 1
            account.pending -= 1
            self._settle_down()

    async def _decide(self, account: AccountState, parts: Sequence[Part], now: Millis, *, last: int) -> None:
        """Join a set; who sends its last part once more meanwhile waits for the word on the whole."""
        deciding = self._deciding[last] = asyncio.get_running_loop().create_future()
        try:
            await self._join(account, parts, now, last=last)
        except BaseException as error:
            deciding.set_exception(error)
            # Often nobody waits for it.
            deciding.exception()
            raise
        else:
            deciding.set_result(None)
        finally:
            del self._deciding[last]

    async def _join(self, account: AccountState, parts: Sequence[Part], now: Millis, *, last: int = 0) -> None:
        """Make one message of a whole set. Raises Refusal for the part with the id `last`; the others, which were
        acknowledged already, end as REJECTED, for everything acknowledged reaches a final state (promise 3)."""
        try:
            message = self._read_joined(account, parts, now)
            verdict = await self._store.join(message, parts)
            if isinstance(verdict, StoreFailed):
                raise verdict
            if isinstance(verdict, Duplicate):
                reason = f"identical message {verdict.id} was accepted a short time ago"
                raise Refusal(account.duplicate_status, reason)
        except Refusal as refusal:
            await self._store.drop_parts([part for part in parts if part.id == last])
            await self._end_parts(
                account, [part for part in parts if part.id != last], MessageState.REJECTED, refusal.reason, now
            )
            raise
        self._outlet.offer(message)
        if self._journal.open(1):
            self._say_accepted(message, parts=len(parts))

    def _read_joined(self, account: AccountState, parts: Sequence[Part], now: Millis) -> Message:
        """The prefix stands in the first part only, so the parts are joined before anything is read."""
        pdus = [_decoded(part.pdu) for part in parts]
        first = pdus[0]
        if any(pdu.data_coding != first.data_coding for pdu in pdus):
            raise Refusal(CommandStatus.ESME_RSUBMITFAIL, "the parts of one message differ in data_coding")
        # A header that is more than the concatenation stands in every part; the first one's speaks for all.
        header, _ = user_data(first)
        body = b"".join(user_data(pdu)[1] for pdu in pdus)
        alphabet = Alphabet(parts[0].alphabet)
        message = self._read(account, parts[0].bind, alphabet, first, parts[0].pdu, header, body, now)
        message.id = parts[0].id
        return _speaking_for(parts, message)

    async def _end_parts(
        self, account: AccountState, parts: Sequence[Part], state: MessageState, reason: str, now: Millis
    ) -> None:
        """Acknowledged parts that will never be a message: one message that only says so, with their receipts."""
        if not parts:
            return
        first = _decoded(parts[0].pdu)
        body = b"".join(user_data(_decoded(part.pdu))[1] for part in parts)
        message = _message(
            first,
            parts[0].pdu,
            parts[0].id,
            account,
            parts[0].bind,
            Binary(data=body, data_coding=first.data_coding),
            parts[0].notify,
            parts[0].accepted_at,
            parts[0].expires,
            # Not due before it has ended: a dispatcher must never take it.
            Progress(stage=Stage.WAITING, due=parts[0].expires + 86_400_000),
        )
        message.duplicate_window = 0
        verdict = await self._store.join(_speaking_for(parts, message), parts)
        if isinstance(verdict, StoreFailed):
            raise verdict
        self._applied(await self._store.apply([Settled(id=message.id, state=state, reason=reason)], now))

    async def sweep(self) -> None:
        """Settle the sets whose rest never came, and those that a crash left whole but not joined. At start, then
        from time to time."""
        now = self._clock()
        for parts in await self._store.held_parts(now, 1000):
            name = parts[0].account
            account = self.accounts.get(name)
            if account is None:
                # Acknowledged once, so it ends, even if nobody is left to hear of it.
                gone = AccountState(name, AccountConfig(allowed_networks=()))
                await self._end_parts(gone, parts, MessageState.REJECTED, "the account is gone", now)
            elif len(parts) == parts[0].total:
                with contextlib.suppress(Refusal):
                    await self._join(account, parts, now)
            else:
                reason = f"{len(parts)} of {parts[0].total} parts came in time"
                await self._end_parts(account, parts, MessageState.EXPIRED, reason, now)

    # Start, reload, stop ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: look for parts that wait in vain."""
        while True:
            try:
                await self.sweep()
            except StoreFailed as failed:
                self._log.error("parts were not looked at", reason=str(failed))
            await asyncio.sleep(_PARTS_EVERY)

    def reload(self, accounts: dict[str, AccountConfig]) -> None:
        """New limits for those that stay. One that was taken out keeps its counters until its last message is done."""
        for name, config in accounts.items():
            if name in self.accounts:
                self.accounts[name].apply(config)
            else:
                self.accounts[name] = AccountState(name, config)

    async def drain(self) -> None:
        """Take no more; wait until what was taken is answered."""
        self.open = False
        if self._pending:
            await self._idle.wait()

    def _settle_down(self) -> None:
        if not self.open and not self._pending:
            self._idle.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


# Pure pieces ---------------------------------------------------------------------------------------------------------


def _message(
    pdu: SubmitSm,
    frame: bytes,
    id: int,
    account: AccountState,
    bind: int,
    command: Command,
    notify: Notify,
    now: Millis,
    expires: Millis,
    progress: Progress,
) -> Message:
    return Message(
        id=id,
        account=account.name,
        bind=bind,
        sequence=pdu.sequence_number,
        kind=KIND_OF[type(command)],
        command=command,
        source=pdu.source_addr,
        source_ton=pdu.source_addr_ton,
        source_npi=pdu.source_addr_npi,
        destination=pdu.destination_addr,
        destination_ton=pdu.dest_addr_ton,
        destination_npi=pdu.dest_addr_npi,
        priority=pdu.priority_flag,
        registered_delivery=pdu.registered_delivery,
        notify=notify,
        data_coding=pdu.data_coding,
        pdu=frame,
        accepted_at=now,
        expires=expires,
        duplicate_window=account.window,
        progress=progress,
    )


def _speaking_for(parts: Sequence[Part], message: Message) -> Message:
    """The message of these parts: those among them that asked get the receipts, each under its own id."""
    asking = [part for part in parts if part.notify is not Notify.NOBODY]
    message.part_ids = tuple(part.id for part in asking)
    message.notify = asking[0].notify if asking else Notify.NOBODY
    message.registered_delivery = asking[0].registered_delivery if asking else 0
    return message


def _decoded(frame: bytes) -> SubmitSm:
    pdu = decode(frame)
    assert isinstance(pdu, SubmitSm)
    return pdu


def _opened(pdu: SubmitSm) -> tuple[Segment | None, bytes, bytes]:
    """Which part it is (None: it is whole), what stands in its header besides, its data."""
    try:
        return segment_of(pdu), *user_data(pdu)
    except BadHeader as broken:
        raise Refusal(CommandStatus.ESME_RSUBMITFAIL, str(broken)) from None


def _check_destination(kind: Kind, destination: str) -> None:
    """What is no number is an e-mail address (its own convention checks it) or a chat of a bot, or a mistake."""
    if kind is Kind.MAIL or (kind is Kind.BOT and _CHAT(destination)):
        return
    raise Refusal(CommandStatus.ESME_RINVDSTADR, "destination_addr is 3 to 20 digits, with or without a plus")


def _times(pdu: SubmitSm, account: AccountState, now: Millis) -> tuple[Millis, Millis]:
    """schedule_delivery_time and validity_period (SMPP 3.4 §7.1.1) → when it is due, when it expires.

    A schedule in the past means at once. A validity that ends before the message is due, or has ended, is refused.
    """
    due = now
    if pdu.schedule_delivery_time:
        due = max(now, _time(pdu.schedule_delivery_time, now, CommandStatus.ESME_RINVSCHED))
    if not pdu.validity_period:
        return due, due + account.validity
    expires = _time(pdu.validity_period, now, CommandStatus.ESME_RINVEXPIRY)
    if expires <= due:
        raise Refusal(CommandStatus.ESME_RINVEXPIRY, "validity_period ends before the message is to be sent")
    return due, min(expires, due + account.max_validity)


def _time(value: str, now: Millis, status: CommandStatus) -> Millis:
    try:
        moment = parse_time(value, datetime.fromtimestamp(now / 1000, UTC))
    except ValueError as wrong:
        raise Refusal(status, str(wrong)) from None
    return int(moment.timestamp() * 1000)
