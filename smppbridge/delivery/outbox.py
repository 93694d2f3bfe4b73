"""Receipts and subscribers' messages to bound clients: in order, within the window, removed only when the client has
answered with status 0.

ARCHITECTURE.md, promise 5. The outbox itself is on disk (`Store.receipts`); what stands here is the little of it that
can leave next. An account is *behind* while the disk holds receipts that memory does not: because nobody who may
receive is bound, or because more wait than memory takes. While it is behind, fresh receipts are not taken into memory
(they are on disk already) and what leaves is read from disk in order of `seq`.

What a client answers with an error is tried again after a pause that doubles, and does not hold up the others. A link
that ends gives back what it had not answered.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterable
from operator import attrgetter
from typing import Any, TypeAlias

import structlog

from pdu import DeliverSm

from ..config import AccountConfig
from ..journal import Journal
from ..model import Millis, Receipt
from ..smpp.bound import Bound
from ..smpp.link import Link
from ..store.base import Arrival, Store, StoreFailed
from .incoming import deliver_sms
from .receipts import deliver_sm

#: Receipts of one account held in memory; the rest waits on disk.
_IN_MEMORY = 2000
#: Read from disk at once.
_PAGE = 500
#: Pause after a first error of the client, in milliseconds, and its upper end.
_FIRST_PAUSE = 5_000
_LAST_PAUSE = 300_000

_room = attrgetter("room")


class _Pending:
    """One row in memory. A receipt takes as many DELIVER_SM as it has ids, a subscriber's message as it has parts; the
    row goes when all are answered."""

    __slots__ = ("errors", "left", "link", "parts", "row")

    def __init__(self, row: Receipt | Arrival) -> None:
        self.row = row
        self.left = len(row.ids) if isinstance(row, Receipt) else 1
        self.errors = 0
        #: Of a subscriber's message, once it is known in which alphabet its receiver reads.
        self.parts: list[DeliverSm] = []
        #: Where the parts go as long as it takes them: clients join what comes over one bind.
        self.link: Link | None = None

    def pdu(self, place: int, config: AccountConfig, link: Link) -> DeliverSm:
        """The DELIVER_SM at this place, for this link."""
        row = self.row
        if isinstance(row, Receipt):
            return deliver_sm(row, row.ids[place], config, link.interface_version)
        if len(self.parts) < 2:
            # One that was cut into parts stays as it is, because clients join them; any other is worded for its link.
            alphabet = config.alphabet_at(link.system_type)
            self.parts = deliver_sms(row.incoming, row.seq, config, alphabet, link.interface_version)
            self.left = len(self.parts)
            self.link = link if self.left > 1 else None
        return self.parts[place]


#: One DELIVER_SM to be sent: order first (seq, place within the row), then what it belongs to.
_Unit: TypeAlias = tuple[int, int, _Pending]


class _Queue:
    """What waits for one account."""

    __slots__ = (
        "behind",
        "config",
        "cursor",
        "emptied",
        "gone",
        "known",
        "loading",
        "name",
        "newest",
        "paused",
        "waiting",
    )

    def __init__(self, name: str, config: AccountConfig) -> None:
        self.name = name
        self.config = config
        #: A heap: what a lost link gives back takes its old place again.
        self.waiting: list[_Unit] = []
        #: A heap by time: the client answered with an error.
        self.paused: list[tuple[Millis, _Unit]] = []
        #: Everything in memory by seq, until its row is removed: nothing is read from disk twice.
        self.known: dict[int, _Pending] = {}
        self.behind = True
        self.loading = False
        #: All up to this seq have been in memory.
        self.cursor = 0
        #: How often memory was given back; a page that was asked for before that is not the next one any more.
        self.emptied = 0
        #: Removed while a page is being read, which may still show them.
        self.gone: set[int] = set()
        #: The last seq that was left on disk.
        self.newest = 0

    def __repr__(self) -> str:
        return f"<outbox {self.name} {len(self.waiting)} waiting, {len(self.known)} known{', behind' * self.behind}>"

    def take(self, row: Receipt | Arrival) -> None:
        pending = self.known[row.seq] = _Pending(row)
        self.cursor = max(self.cursor, row.seq)
        for place in range(pending.left):
            heapq.heappush(self.waiting, (row.seq, place, pending))


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
        self._queues = {name: _Queue(name, config) for name, config in accounts.items()}
        self._answered: list[Receipt | Arrival] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._removing = False
        self._log = structlog.get_logger("outbox")
        #: Counted for /metrics: rows whose last DELIVER_SM was answered with status 0, and answers with another status.
        self.delivered = 0
        self.arrived = 0
        self.errors = 0

    # What happens ----------------------------------------------------------------------------------------------------

    def offer(self, rows: Iterable[Receipt | Arrival]) -> None:
        """Fresh ones, durable already."""
        touched = set()
        for row in rows:
            queue = self._queues.get(row.account)
            if queue is None:
                continue
            if queue.behind or len(queue.waiting) >= _IN_MEMORY:
                queue.behind = True
                queue.newest = max(queue.newest, row.seq)
            else:
                queue.take(row)
            touched.add(queue)
        for queue in touched:
            self._pump(queue)

    def link_up(self, link: Link) -> None:
        """A client bound: what waited for it goes out, oldest first."""
        if link.can_receive and (queue := self._queues.get(link.account)):
            self._pump(queue)

    def link_down(self, link: Link) -> None:
        """When nobody is left to receive, memory is given back: the disk has it all."""
        queue = self._queues.get(link.account)
        if queue is None or self._bound.receivers(queue.name):
            return
        queue.waiting.clear()
        queue.paused.clear()
        queue.known = {seq: pending for seq, pending in queue.known.items() if not pending.left}
        queue.behind = True
        queue.cursor = 0
        queue.emptied += 1

    def answered(self, token: _Unit, status: int | None) -> None:
        """DELIVER_SM_RESP, or None: the time is over, or the link ended."""
        seq, _, pending = token
        queue = self._queues.get(pending.row.account)
        if queue is None or queue.known.get(seq) is not pending:
            return
        if status is None:
            # Nothing says that the client has it: it takes its old place, and may go another way.
            pending.link = None
            heapq.heappush(queue.waiting, token)
        elif status != 0:
            self._pause(queue, token, status)
        else:
            pending.left -= 1
            if not pending.left:
                if isinstance(pending.row, Receipt):
                    self.delivered += 1
                else:
                    self.arrived += 1
                self._answered.append(pending.row)
                if not self._removing:
                    self._removing = True
                    self._spawn(self._remove())
        self._pump(queue)

    def reload(self, accounts: dict[str, AccountConfig]) -> None:
        """Take new settings; an account that is gone keeps its rows on disk."""
        for name, config in accounts.items():
            if name in self._queues:
                self._queues[name].config = config
            else:
                self._queues[name] = _Queue(name, config)
        for name in self._queues.keys() - accounts.keys():
            del self._queues[name]

    def tick(self) -> None:
        """Every second: what was paused long enough waits again, and clients that read again get something to read."""
        now = self._clock()
        for queue in self._queues.values():
            while queue.paused and queue.paused[0][0] <= now:
                heapq.heappush(queue.waiting, heapq.heappop(queue.paused)[1])
            self._pump(queue)

    async def forget_old(self) -> None:
        """What nobody came for: by age and by count, as the account says."""
        now = self._clock()
        for name, queue in list(self._queues.items()):
            before = now - int(queue.config.receipts_for * 1000)
            while old := await self._store.old_receipts(name, before, queue.config.receipts_max, _PAGE):
                await self._store.drop_receipts(old, "nobody came for it in time", now)
                self._log.warning(
                    "receipts dropped", account=name, count=len(old), reason="nobody came for them in time"
                )

    # The pump --------------------------------------------------------------------------------------------------------

    def _pump(self, queue: _Queue) -> None:
        """Send while a receiver has room; the least loaded one first."""
        waiting = queue.waiting
        receivers = self._bound.receivers(queue.name)
        while waiting and receivers:
            link = max(receivers, key=_room)
            if link.room <= 0:
                return
            for _ in range(min(len(waiting), link.room)):
                unit = heapq.heappop(waiting)
                seq, place, pending = unit
                left, to = pending.left, link
                if pending.link is not None and pending.link in receivers:
                    to = pending.link
                    if to.room <= 0:
                        heapq.heappush(waiting, unit)
                        return
                try:
                    pdu = pending.pdu(place, queue.config, to)
                    for further in range(left, pending.left):
                        heapq.heappush(waiting, (seq, further, pending))
                    sent = to.deliver(pdu, unit)
                except Exception:
                    # A value that no field has room for, from an adapter that does not look: the others go on.
                    self._log.exception("a receipt cannot be put into words", **_context(pending.row))
                    heapq.heappush(queue.paused, (self._clock() + _LAST_PAUSE, unit))
                    continue
                if not sent:
                    heapq.heappush(waiting, unit)
                    return
        if queue.behind and not queue.loading and receivers:
            queue.loading = True
            self._spawn(self._load(queue))

    def _pause(self, queue: _Queue, unit: _Unit, status: int) -> None:
        _, _, pending = unit
        self.errors += 1
        pending.errors += 1
        pause = min(_FIRST_PAUSE << min(pending.errors - 1, 16), _LAST_PAUSE)
        heapq.heappush(queue.paused, (self._clock() + pause, unit))
        self._log.warning(
            "client refused a receipt",
            **_context(pending.row),
            status=f"0x{status:08X}",
            again_in=pause // 1000,
        )

    async def _load(self, queue: _Queue) -> None:
        """Read on from the disk. `behind` ends when nothing was left there meanwhile."""
        emptied = queue.emptied
        queue.gone.clear()
        try:
            rows = await self._store.receipts(queue.name, queue.cursor, _PAGE)
            if queue.emptied == emptied:
                for row in rows:
                    if row.seq in queue.known or row.seq in queue.gone:
                        queue.cursor = row.seq
                    else:
                        queue.take(row)
                if len(rows) < _PAGE and queue.cursor >= queue.newest:
                    queue.behind = False
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
                batch, self._answered = self._answered, []
                await self._store.delivered(batch, self._clock())
                if self._journal.open(len(batch)):
                    for row in batch:
                        if isinstance(row, Receipt):
                            self._journal.say("receipt", row.message, state=row.state.name)
                        else:
                            self._journal.say("incoming delivered", **_context(row))
                for row in batch:
                    if queue := self._queues.get(row.account):
                        queue.known.pop(row.seq, None)
                        if queue.loading:
                            queue.gone.add(row.seq)
        except StoreFailed as failed:
            # The rows stay: after the next start the client gets these once more, which is better than never.
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


def _context(row: Receipt | Arrival) -> dict[str, Any]:
    """How a row looks in a log line: never its text, never its addresses in full."""
    if isinstance(row, Receipt):
        return row.message.log_context()
    return {"incoming": row.incoming.ref, "account": row.account, "provider": row.incoming.provider}
