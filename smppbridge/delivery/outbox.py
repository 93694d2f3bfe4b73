"""Receipts and subscribers' messages to bound clients: in order, within the window, removed only when the client has
answered with status 0.

ARCHITECTURE.md, promise 5. The outbox itself is on disk (`Store.receipts`); what stands here is the little of it that
can leave next. Which that is, and over which bind it goes, `queue` decides; here is what it takes to ask the disk, the
clients and the clock.

What a client answers with an error is tried again after a pause that doubles, and does not hold up the others. A link
that ends gives back what it had not answered. An alert (ALERT_NOTIFICATION) has no answer: its row goes
once it is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

from pdu import DeliverSm

from ..config import AccountConfig
from ..journal import Journal
from ..model import Millis, Receipt
from ..smpp.bound import Bound
from ..smpp.link import Link
from ..store.base import Store, StoreFailed
from .alerts import alert_notification
from .data_sm import Delivery, as_data_sm, carries_data_sm
from .incoming import deliver_sms
from .queue import Page, Pending, Queue, Row, Unit
from .receipts import deliver_sm

#: Read from disk at once.
_PAGE = 500
#: Pause after a first error of the client, in milliseconds, and its upper end.
_FIRST_PAUSE = 5_000
_LAST_PAUSE = 300_000


class Outbox:
    """The receipts of all accounts."""

    def __init__(
        self,
        *,
        accounts: dict[str, AccountConfig],
        store: Store,
        bound: Bound,
        clock: Callable[[], Millis],
        journal: Journal,
    ) -> None:
        self._store = store
        self._bound = bound
        self._clock = clock
        self._journal = journal
        self._queues = {name: Queue(name, config) for name, config in accounts.items()}
        self._answered: list[Row] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._removing = False
        self._log = structlog.get_logger("outbox")
        #: Counted for /metrics: rows whose last delivery was answered with status 0 (receipts, subscribers' messages),
        #: alerts that were written, and answers with another status.
        self.delivered = 0
        self.arrived = 0
        self.alerted = 0
        self.errors = 0

    # What happens ----------------------------------------------------------------------------------------------------

    def offer(self, rows: Iterable[Row]) -> None:
        """Fresh ones, durable already."""
        touched = set()
        for row in rows:
            queue = self._queues.get(row.account)
            if queue is None:
                continue
            queue.offer(row)
            touched.add(queue)
        for queue in touched:
            self._pump(queue)

    def link_up(self, link: Link) -> None:
        """A client bound: what waited for it goes out, oldest first."""
        if link.can_receive and (queue := self._queues.get(link.account)):
            self._pump(queue)

    def link_down(self, link: Link) -> None:
        """What only this bind could take goes to the others; when nobody is left to receive, memory is given back."""
        queue = self._queues.get(link.account)
        if queue is None:
            return
        if self._bound.receivers(queue.name):
            self._pump(queue)
        else:
            queue.empty()

    def answered(self, token: Unit, status: int | None) -> None:
        """The client's answer to a delivery, or None: the time is over, or the link ended."""
        seq, _, pending = token
        queue = self._queues.get(pending.row.account)
        if queue is None or queue.known.get(seq) is not pending:
            return
        if status is None:
            # Nothing says that the client has it: it takes its old place, and may go another way. What comes back with
            # it does so too, before any of it goes out (`link_down`, or `tick` where the time was over).
            pending.link = None
            queue.push(token)
            return
        if status != 0:
            self._pause(queue, token, status)
        else:
            pending.left -= 1
            if not pending.left:
                if isinstance(pending.row, Receipt):
                    self.delivered += 1
                else:
                    self.arrived += 1
                self._done(pending)
        self._pump(queue)

    def _done(self, pending: Pending) -> None:
        self._answered.append(pending.row)
        self._begin_removing()

    def _begin_removing(self) -> None:
        if self._answered and not self._removing:
            self._removing = True
            self._spawn(self._remove())

    def reload(self, accounts: dict[str, AccountConfig]) -> None:
        """Take new settings; an account that is gone keeps its rows on disk."""
        for name, config in accounts.items():
            if name in self._queues:
                self._queues[name].settings(config)
                self._pump(self._queues[name])
            else:
                self._queues[name] = Queue(name, config)
        for name in self._queues.keys() - accounts.keys():
            del self._queues[name]

    def tick(self) -> None:
        """Every second: what was paused long enough waits again, clients that read again get something to read, and
        what was answered while the disk was full is removed."""
        now = self._clock()
        self._begin_removing()
        for queue in self._queues.values():
            try:
                queue.resume(now)
                self._pump(queue)
            except Exception:
                # A mistake of ours with one account must not hold up the others.
                self._log.exception("an account was passed over", account=queue.name)

    async def waits(self, account: str) -> bool:
        """Whether anything waits for this account on disk. Raises StoreFailed."""
        return bool(await self._store.receipts(account, 0, 1))

    async def forget_old(self) -> None:
        """What nobody came for: by age and by count, as the account says."""
        now = self._clock()
        for name, queue in list(self._queues.items()):
            before = now - int(queue.config.receipts_for * 1000)
            while old := await self._store.old_receipts(name, before, queue.config.receipts_max, _PAGE):
                await self._store.drop_receipts(old, "nobody came for it in time", now)
                for row in old:
                    queue.removed(row.seq)
                self._log.warning(
                    "receipts dropped", account=name, count=len(old), reason="nobody came for them in time"
                )

    # The pump --------------------------------------------------------------------------------------------------------

    def _pump(self, queue: Queue) -> None:
        """Send while a receiver has room; then read on, if memory holds nothing more that could go."""
        receivers = self._bound.receivers(queue.name)
        if not receivers:
            return
        queue.release(receivers)
        while found := queue.pop(receivers):
            unit, link = found
            try:
                sent = self._send(queue, unit, link)
            except Exception:
                # A value that no field has room for, from an adapter that does not look: the others go on.
                self._log.exception("a receipt cannot be put into words", **_context(unit[2].row))
                queue.pause(unit, self._clock() + _LAST_PAUSE)
                continue
            if not sent:
                queue.push(unit)
                return
        if page := queue.page():
            self._spawn(self._load(queue, page))

    def _send(self, queue: Queue, unit: Unit, link: Link) -> bool:
        """False: the link takes nothing now."""
        seq, place, pending = unit
        row = pending.row
        if not isinstance(row, Receipt) and row.incoming.alert is not None:
            if not link.alert(alert_notification(row.incoming, link.interface_version)):
                return False
            # Nothing answers it (SMPP 3.4 §4.12.1).
            pending.left = 0
            self.alerted += 1
            self._done(pending)
            return True
        before = pending.left
        pdu = _in_words(pending, place, queue.config, link)
        for further in range(before, pending.left):
            queue.push((seq, further, pending))
        return link.deliver(pdu, unit)

    def _pause(self, queue: Queue, unit: Unit, status: int) -> None:
        _, _, pending = unit
        self.errors += 1
        pending.errors += 1
        pause = min(_FIRST_PAUSE << min(pending.errors - 1, 16), _LAST_PAUSE)
        queue.pause(unit, self._clock() + pause)
        # A receiver whose own disk is full refuses them by the thousand.
        if self._journal.open(1):
            self._log.warning(
                "client refused a receipt",
                **_context(pending.row),
                status=f"0x{status:08X}",
                again_in=pause // 1000,
            )

    async def _load(self, queue: Queue, page: Page) -> None:
        """Read on from the disk."""
        try:
            rows = await self._store.receipts(queue.name, page.after, _PAGE)
            queue.loaded(page, rows, more=len(rows) == _PAGE)
        except StoreFailed as failed:
            self._log.error("the outbox was not read", account=queue.name, reason=str(failed))
            await asyncio.sleep(1)
        finally:
            queue.loading = False
        self._pump(queue)

    async def _remove(self) -> None:
        """Take away what was answered; what comes meanwhile rides in the next transaction."""
        try:
            while self._answered:
                # No more at once than the store does in the loop's own turn, which is the cheapest way.
                batch, self._answered = self._answered[:_PAGE], self._answered[_PAGE:]
                await self._store.delivered(batch, self._clock())
                if self._journal.open(len(batch)):
                    for row in batch:
                        if isinstance(row, Receipt):
                            self._journal.say("receipt", row.message, state=row.state.name)
                        else:
                            event = "incoming delivered" if row.incoming.alert is None else "alert"
                            self._journal.say(event, **_context(row))
                for row in batch:
                    if queue := self._queues.get(row.account):
                        queue.removed(row.seq)
        except StoreFailed as failed:
            # The rows stay, until there is room again (`tick`) or for good: after the next start the client then gets
            # these once more, which is better than never.
            if failed.temporary:
                self._answered = batch + self._answered
            self._log.error("answered receipts were not removed", count=len(batch), reason=str(failed))
        finally:
            self._removing = False

    async def drain(self) -> None:
        """Wait until what was answered is removed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _in_words(pending: Pending, place: int, config: AccountConfig, link: Link) -> Delivery:
    """The delivery at this place of a row, for this link."""
    pdu = _deliver_sm(pending, place, config, link)
    return as_data_sm(pdu) if carries_data_sm(config.dialect, link.interface_version) else pdu


def _deliver_sm(pending: Pending, place: int, config: AccountConfig, link: Link) -> DeliverSm:
    row = pending.row
    if isinstance(row, Receipt):
        return deliver_sm(row, row.ids[place], config, link.interface_version)
    if len(pending.parts) < 2:
        # One that was cut into parts stays as it is, because clients join them; any other is worded for its link.
        alphabet = config.alphabet_at(link.system_type)
        pending.parts = deliver_sms(row.incoming, row.seq, config, alphabet, link.interface_version)
        pending.left = len(pending.parts)
        pending.link = link if pending.left > 1 else None
    return pending.parts[place]


def _context(row: Row) -> dict[str, Any]:
    """How a row looks in a log line: never its text, never its addresses in full."""
    if isinstance(row, Receipt):
        return row.message.log_context()
    return {"incoming": row.incoming.ref, "account": row.account, "provider": row.incoming.provider}
