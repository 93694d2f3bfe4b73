"""SUBMIT_SM → an answer: limits, parts, meaning, safe in the store, and only then status 0.

The station between a bound client and the store. What can go wrong here is the client's (answered with a status and a
reason in additional_status_info_text) or the store's (ESME_RSYSERR, or ESME_RMSGQFUL for a full disk); in both cases
nothing was kept and nothing will be sent (ARCHITECTURE.md, promise 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Protocol

import structlog

from pdu import Alphabet, BodyError, CommandId, CommandStatus, DataSm, SubmitMulti, SubmitSm

from ..commands import Malformed
from ..config import AccountConfig, DistributionListConfig
from ..ids import IdGenerator
from ..journal import Journal
from ..model import KIND_OF, Entry, Kind, Message, Millis, Progress, Stage, text_of
from ..smpp.bound import Bound
from ..smpp.events import Operation
from ..smpp.link import Link
from ..store.base import Applied, Duplicate, Store, StoreFailed, Verdict
from .account import AccountState
from .afterwards import Afterwards
from .fields import as_submit, check_destination, message_of, opened, request_of, times
from .multi import Multi
from .parts import Parts
from .refusal import Refusal

ROK = CommandStatus.ESME_ROK
_UDHI = 0x40

#: How often parts whose rest never came are looked for, in seconds.
_PARTS_EVERY = 30.0

# International number with or without the plus, in the 20 characters that every operation has room for.
_NUMBER = re.compile(r"(?:\+?[0-9]{3,19}|[0-9]{20})\Z").match


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

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress | None:
        """As what a message for these may be stored and offered; None: there is no room, it waits on disk."""

    def offer(self, message: Message) -> bool:
        """A durable message. One that waits on disk is not taken; it is noted when it is due."""

    def recall(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Take back those of these that were offered and that nobody has begun to send."""


class Submission:
    """Answers every operation exactly once."""

    def __init__(
        self,
        *,
        accounts: dict[str, AccountConfig],
        lists: Mapping[str, DistributionListConfig],
        max_pending: int,
        store: Store,
        ids: IdGenerator,
        bound: Bound,
        outlet: Outlet,
        clock: Callable[[], Millis],
        applied: Callable[[Sequence[Applied]], None],
        journal: Journal,
    ) -> None:
        self.store = store
        self.ids = ids
        self._bound = bound
        self.outlet = outlet
        self.clock = clock
        self.applied = applied
        self.journal = journal
        self.max_pending = max_pending
        self._pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.parts = Parts(self)
        self.multi = Multi(self, lists)
        self.afterwards = Afterwards(self)
        self._log = structlog.get_logger("submission")
        self.accounts = {name: AccountState(name, config, store) for name, config in accounts.items()}
        self.open = True
        self._idle = asyncio.Event()

    def link_up(self, link: Link) -> None:
        """A client is bound: from 5.0 on it hears how near its limits are."""
        account, clock = self.accounts[link.account], self.clock
        link.session.tell_congestion(lambda outstanding: account.congestion(outstanding, clock()))

    # The hot path ----------------------------------------------------------------------------------------------------

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        """Take one SUBMIT_SM (`frame` is the PDU as it came); the link carries the answer, now or when it is stored."""
        account = self.accounts[link.account]
        now = self.clock()
        if account.mend is not None:
            account.mend(pdu)
        try:
            paid = self.admit(account, pdu, now)
        except Refusal as refusal:
            self.refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason, request_of(frame))
            return
        try:
            header, body = b"", pdu.short_message
            if pdu.tlvs or pdu.esm_class & _UDHI:
                segment, header, body = opened(pdu)
                if segment is not None:
                    self.parts.take(link, account, pdu, frame, segment, now, paid)
                    return
            alphabet = account.alphabet_of(link.system_type)
            message = self.read(account, link.id, alphabet, pdu, frame, header, body, now)
        except Refusal as refusal:
            account.give_back(now, paid)
            self.refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason, request_of(frame))
            return
        self._pending += 1
        account.pending += 1
        self.store.accept(message, self._arrived)

    def asked(self, link: Link, pdu: Operation, frame: bytes) -> None:
        """Any other operation of a bound client."""
        account = self.accounts[link.account]
        if isinstance(pdu, DataSm):
            try:
                submit = as_submit(pdu)
            except BodyError as broken:
                self.refuse(link, account, pdu.sequence_number, broken.command_status, broken.reason, CommandId.DATA_SM)
            except Refusal as refusal:
                self.refuse(link, account, pdu.sequence_number, refusal.status, refusal.reason, CommandId.DATA_SM)
            else:
                self.submitted(link, submit, frame)
        elif isinstance(pdu, SubmitMulti):
            self.multi.take(link, account, pdu, frame)
        elif isinstance(pdu, SubmitSm):
            self.submitted(link, pdu, frame)
        else:
            self.afterwards.take(link, account, pdu)

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
                    id = account.write_id(message.id)
                    link.respond_submit(message.sequence, ROK, id, request=request_of(message.pdu))
                accepted.append(message)
                continue
            account.give_back(message.accepted_at)
            account.forget(message.destination, message.accepted_at)
            if link is not None:
                self.answer_verdict(link, account, message.sequence, verdict, request_of(message.pdu))
        for message in accepted:
            # The others wait on disk, where the dispatcher looks when something is due.
            if message.progress.stage is not Stage.WAITING:
                self.outlet.offer(message)
        if accepted and self.journal.open(len(accepted)):
            for message in accepted:
                self.say_accepted(message)
        self._settle_down()

    def say_accepted(self, message: Message, **about: object) -> None:
        """`logs` shows the text as its length, unless `[log] texts` asks for it."""
        text = text_of(message.command)
        self.journal.say("accepted", message, sequence=message.sequence, **about, **({"text": text} if text else {}))

    def answer_verdict(
        self, link: Link, account: AccountState, sequence: int, verdict: Duplicate | StoreFailed, request: CommandId
    ) -> None:
        """Of a message that was not kept."""
        if isinstance(verdict, StoreFailed):
            status = CommandStatus.ESME_RMSGQFUL if verdict.temporary else CommandStatus.ESME_RSYSERR
            self.refuse(link, account, sequence, status, "the message could not be stored", request)
        elif self.never_answered(link, verdict):
            account.resent += 1
            link.respond_submit(sequence, ROK, account.write_id(verdict.known_as), request=request)
            self.spawn(self._note_resend(verdict.id, f"over bind {link.id}, sequence_number {sequence}"))
        else:
            self.refuse(link, account, sequence, account.duplicate_status, self.identical(account, verdict), request)

    def identical(self, account: AccountState, first: Duplicate) -> str:
        """Why a repetition is refused."""
        window = account.config.duplicate_window
        return f"identical message {account.write_id(first.known_as)} was accepted less than {window:g} s ago"

    def never_answered(self, link: Link, first: Duplicate) -> bool:
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
            await self.store.note([Entry(message=id, at=self.clock(), event="resent", detail=detail)])

    def refuse(
        self,
        link: Link,
        account: AccountState,
        sequence: int,
        status: CommandStatus,
        reason: str,
        request: CommandId = CommandId.SUBMIT_SM,
    ) -> None:
        """Answer with an error; nothing was kept."""
        account.refused[status.name] += 1
        link.respond_error(request, sequence, status, reason)
        if self.journal.open(1):
            self.journal.say("refused", account=account.name, sequence=sequence, status=status.name, reason=reason)

    # Limits and fields -----------------------------------------------------------------------------------------------

    def admit(self, account: AccountState, pdu: SubmitSm, now: Millis, count: int = 1) -> int:
        """ARCHITECTURE.md, promise 6: overload is answered, never queued without bound; the reason names the limit.
        `count` messages are admitted, or none. Returns how many it was paid for: what may be given back."""
        if not self.open:
            raise Refusal(CommandStatus.ESME_RSYSERR, "the gateway is shutting down, bind again later")
        # Where others have taken it all, an account has its fair part all the same: twice as many at most are stored.
        full = self._pending + count > self.max_pending
        if full and account.pending + count > max(1, self.max_pending // len(self.accounts)):
            reason = f"{self.max_pending} messages are being stored, all clients"
            account.over("max_pending of [smpp]", CommandStatus.ESME_RMSGQFUL, reason)
        # SMPP 3.4 §5.2.14 has 0 to 3; 5.0 §4.7.18 adds 4.
        if pdu.priority_flag > 4:
            raise Refusal(CommandStatus.ESME_RINVPRTFLG, "priority_flag is 0 to 4")
        if pdu.replace_if_present_flag:
            raise Refusal(CommandStatus.ESME_RREPLACEFAIL, "replace_if_present_flag is not offered, send with 0")
        # The last, because it counts.
        if account.sets is None or count > 1:
            account.admit(now, count)
            return count
        return account.admit_once(pdu, now)

    def read(
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
            command = account.read(
                header + body if header else body,
                data_coding=pdu.data_coding,
                has_udh=bool(header),
                destination=destination,
                alphabet=alphabet,
                conventions=account.conventions,
            )
        except Malformed as malformed:
            if pdu.sm_default_msg_id and not body:
                raise Refusal(CommandStatus.ESME_RINVDFTMSGID, "there are no predefined messages") from None
            raise Refusal(malformed.status, malformed.reason) from None
        kind = KIND_OF[type(command)]
        if not _NUMBER(destination):
            check_destination(kind, destination)
        route = self.outlet.route_of(account.name, kind, destination, pdu.source_addr)
        if not route.providers:
            raise Refusal(CommandStatus.ESME_RSUBMITFAIL, route.why)
        if pdu.schedule_delivery_time or pdu.validity_period:
            due, expires = times(pdu, account, now)
        else:
            due, expires = now, now + account.validity
        progress = None
        if due <= now:
            cascade = bool(route.legs)
            progress = self.outlet.opening(account.name, pdu.priority_flag, route.providers, cascade=cascade)
        if progress is None:
            progress = Progress(stage=Stage.WAITING, due=due)
        if account.picky:
            # The last, because it counts.
            account.judge(kind, destination, pdu.source_addr, now)
        notify = account.notify(pdu.registered_delivery)
        return message_of(pdu, frame, self.ids.next(now), account, bind, command, notify, now, expires, progress)

    # Start, reload, stop ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: look for parts that wait in vain."""
        while True:
            more = False
            try:
                more = await self.parts.sweep()
            except StoreFailed as failed:
                self._log.error("parts were not looked at", reason=str(failed))
            await asyncio.sleep(0 if more else _PARTS_EVERY)

    def reload(self, accounts: dict[str, AccountConfig], lists: Mapping[str, DistributionListConfig]) -> None:
        """New limits for those that stay. One that was taken out keeps its counters until its last message is done."""
        self.multi.lists = lists
        for name, config in accounts.items():
            if name in self.accounts:
                self.accounts[name].apply(config)
            else:
                self.accounts[name] = AccountState(name, config, self.store)

    async def drain(self) -> None:
        """Take no more; wait until what was taken is answered."""
        self.open = False
        if self._pending:
            await self._idle.wait()

    def begun(self, account: AccountState, count: int = 1) -> None:
        """Something is being stored for an account …"""
        self._pending += count
        account.pending += count

    def done(self, account: AccountState, count: int = 1) -> None:
        """… and is stored, or not."""
        self._pending -= count
        account.pending -= count
        self._settle_down()

    def _settle_down(self) -> None:
        if not self.open and not self._pending:
            self._idle.set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
