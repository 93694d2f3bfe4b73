"""What waits for one account: what goes next, over which bind, and what is to be read from disk. Pure.

Everything leaves in order of `seq`. Most of it goes over whichever bind has most room; some may go over one bind only:
the parts of a long message, because clients join what comes over one bind, and, where the account says
`receipts_to = "submitter"`, the receipts of what that bind sent. Where that bind has no room its units are *held* for
it, in their order, and what is behind them goes on to the others. When it has room again, or receives no more, they
take their old places.

The disk has everything, memory the little that can leave next. An account is *behind* while the disk holds rows that
memory does not: because nobody who may receive is bound, or because more waits than memory takes. Then fresh rows are
left on disk, and what leaves is read from there in order. In the same way one submitter may *lag*: so much is held for
it that the rest of its receipts stays on disk, and is read when it needs more, while the account goes on without them.

What a client answers with an error is *paused* in memory, and beyond `_PAUSED` of them on disk: the account goes on
without these too, and reads them again when they have waited long enough. That forgets what was answered of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from pdu import DeliverSm

from ..config import AccountConfig
from ..model import Millis, Receipt
from ..smpp.link import Link
from ..store.base import Arrival

Row: TypeAlias = Receipt | Arrival

#: Units of one account in memory that may go over any bind; the rest waits on disk.
_IN_MEMORY = 2000
#: Units held for one submitter; the rest of what is for it waits on disk, and is read when half of them are gone.
_HELD = 1000
#: Units in memory that a client refused. What it refuses beyond that waits on disk, so much longer in milliseconds.
_PAUSED = 1000
_PUT_OFF = 300_000
#: The share of its room that is used of the bind with most room before it is asked again which that is: where there is
#: much room, asking costs more than it is worth.
_STRIDE = 16

_room = attrgetter("room")


class Pending:
    """One row in memory. A receipt takes as many deliveries as it has ids, a subscriber's message as it has parts; the
    row goes when all are answered."""

    __slots__ = ("errors", "left", "link", "parts", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.left = len(row.ids) if isinstance(row, Receipt) else 1
        self.errors = 0
        #: Of a subscriber's message, once it is known in which alphabet its receiver reads.
        self.parts: Sequence[DeliverSm] = ()
        #: Where the parts go as long as it takes them: clients join what comes over one bind.
        self.link: Link | None = None

    def __lt__(self, other: Pending) -> bool:
        """For the heaps: a row that was put off and read again may stand there beside what is left of its first time,
        in the same place. Which of both `pop` throws away first is all the same."""
        return False

    @property
    def begun(self) -> bool:
        """Whether the client has some of these receipts: they are not to be told twice."""
        return isinstance(self.row, Receipt) and self.left < len(self.row.ids)


#: One delivery to be sent: order first (seq, place within the row), then what it belongs to.
Unit: TypeAlias = tuple[int, int, Pending]


class Page(NamedTuple):
    """What is to be read from disk next: rows after this seq."""

    after: int
    #: Only what this bind submitted, because it lags; 0: everything.
    submitter: int
    #: As `Queue.emptied` was: a page that was asked for before that is not the next one any more.
    emptied: int


class _Lag:
    """How far the rows of one submitter have been in memory, and what was left on disk since a page was asked for."""

    __slots__ = ("cursor", "newest")

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.newest = 0


class Queue:
    """What waits for one account."""

    __slots__ = (
        "_cursor",
        "_favoured",
        "_gone",
        "_held",
        "_lagging",
        "_newest",
        "_paused",
        "_put_off",
        "_resumed",
        "_stride",
        "_submitters_turn",
        "_waiting",
        "behind",
        "config",
        "emptied",
        "known",
        "loading",
        "name",
    )

    def __init__(self, name: str, config: AccountConfig) -> None:
        self.name = name
        self.config = config
        #: A heap: what a lost link gives back takes its old place again.
        self._waiting: list[Unit] = []
        #: The same for each bind that is the only way for them and has no room, by its id.
        self._held: dict[int, list[Unit]] = {}
        #: The bind that had most room, and how many more units go over it before others are looked at.
        self._favoured: Link | None = None
        self._stride = 0
        #: A heap by time: the client answered with an error.
        self._paused: list[tuple[Millis, Unit]] = []
        #: When `resume` was asked last.
        self._resumed: Millis = 0
        #: When what was refused beyond that is read again, and its lowest seq.
        self._put_off: tuple[Millis, int] | None = None
        #: Everything in memory by seq, until its row is removed: nothing is read from disk twice.
        self.known: dict[int, Pending] = {}
        self.behind = True
        #: Somebody reads a page; one at a time.
        self.loading = False
        #: All up to this seq have been in memory, but those of submitters that lag.
        self._cursor = 0
        #: The last seq that was left on disk since a page was asked for, which may not show it.
        self._newest = 0
        #: Submitters for which more waits than memory holds, by the id of their bind.
        self._lagging: dict[int, _Lag] = {}
        #: Whose page was read last: the account's and those of submitters take turns.
        self._submitters_turn = False
        #: How often memory was given back, or the account began to read again further back.
        self.emptied = 0
        #: Removed while a page is being read, which may still show them.
        self._gone: set[int] = set()

    def __repr__(self) -> str:
        held = sum(map(len, self._held.values()))
        behind = ", behind" * self.behind + f", {len(self._lagging)} submitters lag" * bool(self._lagging)
        return f"<queue {self.name} {len(self._waiting)} waiting, {held} held, {len(self.known)} known{behind}>"

    # In --------------------------------------------------------------------------------------------------------------

    def offer(self, row: Row) -> None:
        """A fresh one, durable already: into memory if there is room for it and nothing older is left on disk."""
        if self.behind or len(self._waiting) >= _IN_MEMORY:
            self.behind = True
            self._newest = max(self._newest, row.seq)
        else:
            self._take(row)

    def page(self) -> Page | None:
        """What is to be read next, once everything has left that could; None: nothing. Then `loaded`."""
        if self._waiting or self.loading:
            return None
        late = next((id for id in self._lagging if len(self._held.get(id, ())) <= _HELD // 2), 0)
        if late and not (self.behind and self._submitters_turn):
            lag = self._lagging[late]
            lag.newest = 0
            page = Page(lag.cursor, late, self.emptied)
        elif self.behind:
            self._newest = 0
            page = Page(self._cursor, 0, self.emptied)
        else:
            return None
        self._submitters_turn = bool(page.submitter)
        self.loading = True
        self._gone.clear()
        return page

    def loaded(self, page: Page, rows: Sequence[Row], *, more: bool) -> None:
        """What stands on this page; `more` may follow it. Nothing of it is new if memory was given back meanwhile."""
        if page.emptied != self.emptied:
            return
        if page.submitter:
            self._loaded_late(page.submitter, rows, more=more)
            return
        for row in rows:
            if row.seq in self.known or row.seq in self._gone:
                self._cursor = row.seq
            else:
                self._take(row)
        if not more and self._cursor >= self._newest:
            self.behind = False

    def _loaded_late(self, submitter: int, rows: Sequence[Row], *, more: bool) -> None:
        lag = self._lagging[submitter]
        for row in rows:
            lag.cursor = row.seq
            # The others the account has seen, or will see.
            if _submitter(row) == submitter and row.seq not in self.known and row.seq not in self._gone:
                self._keep(row)
        if not more and lag.cursor >= lag.newest:
            del self._lagging[submitter]

    def _take(self, row: Row) -> None:
        self._cursor = max(self._cursor, row.seq)
        if not (self._for_submitter and self._left_to_lag(row)):
            self._keep(row)

    def _keep(self, row: Row) -> None:
        pending = self.known[row.seq] = Pending(row)
        for place in range(pending.left):
            heapq.heappush(self._waiting, (row.seq, place, pending))

    def _left_to_lag(self, row: Row) -> bool:
        submitter = _submitter(row)
        lag = self._lagging.get(submitter)
        if lag is None:
            if len(self._held.get(submitter, ())) < _HELD:
                return False
            lag = self._lagging[submitter] = _Lag(row.seq - 1)
        # What had been put off comes once more.
        lag.cursor = min(lag.cursor, row.seq - 1)
        lag.newest = max(lag.newest, row.seq)
        return True

    # Out -------------------------------------------------------------------------------------------------------------

    @property
    def _for_submitter(self) -> bool:
        return self.config.receipts_to == "submitter"

    def pop(self, receivers: Sequence[Link]) -> tuple[Unit, Link] | None:
        """The next unit and the bind that it goes over, one that has room; None: nothing can go."""
        waiting = self._waiting
        while waiting and receivers:
            link = self._favoured
            if link is None or not self._stride or link.room <= 0:
                link = self._favoured = max(receivers, key=_room) if len(receivers) > 1 else receivers[0]
                self._stride = max(1, link.room // _STRIDE)
                if link.room <= 0:
                    return None
            self._stride -= 1
            unit = heapq.heappop(waiting)
            if self.known.get(unit[0]) is not unit[2]:
                # Its row is gone, or put off.
                continue
            only = self._only_way(unit[2], receivers)
            if only is None:
                return unit, link
            if only.room > 0:
                return unit, only
            heapq.heappush(self._held.setdefault(only.id, []), unit)
        return None

    def _only_way(self, pending: Pending, receivers: Sequence[Link]) -> Link | None:
        if pending.link is not None:
            wanted = pending.link.id
        elif self._for_submitter:
            wanted = _submitter(pending.row)
        else:
            return None
        return _receiver(wanted, receivers)

    def push(self, unit: Unit) -> None:
        """It comes back, or is one more of its row: to its own place."""
        heapq.heappush(self._waiting, unit)

    def pause(self, unit: Unit, until: Millis) -> None:
        """It is not to be tried before then (`resume`)."""
        if len(self._paused) < _PAUSED:
            heapq.heappush(self._paused, (until, unit))
            return
        seq = unit[0]
        self.known.pop(seq, None)
        when, first = self._put_off or (until + _PUT_OFF, seq)
        self._put_off = when, min(first, seq)

    def resume(self, now: Millis) -> None:
        """What was paused long enough waits again."""
        if now < self._resumed:
            # The clock was set back: nothing pauses for longer than it was to.
            back = self._resumed - now
            self._paused = [(until - back, unit) for until, unit in self._paused]
            if self._put_off is not None:
                self._put_off = self._put_off[0] - back, self._put_off[1]
        self._resumed = now
        while self._paused and self._paused[0][0] <= now:
            self.push(heapq.heappop(self._paused)[1])
        if self._put_off is not None and self._put_off[0] <= now:
            first, self._put_off = self._put_off[1], None
            self._read_from(first - 1)

    def release(self, receivers: Sequence[Link]) -> None:
        """Let those go on that were held for a bind that has room again, or receives no more. To be asked before
        `pop`, whenever something may have changed."""
        self._favoured = None
        for id, units in list(self._held.items()):
            link = _receiver(id, receivers)
            for _ in range(len(units) if link is None else min(link.room, len(units))):
                self.push(heapq.heappop(units))
            if not units:
                del self._held[id]
        if self._lagging:
            self._read_again([id for id in self._lagging if _receiver(id, receivers) is None])

    def _read_again(self, submitters: Sequence[int]) -> None:
        """What was left on disk for these goes over any bind: the account reads it, from where they began to lag."""
        for id in submitters:
            self._read_from(self._lagging.pop(id).cursor)

    def _read_from(self, cursor: int) -> None:
        self._cursor = min(self._cursor, cursor)
        self.behind = True
        self.emptied += 1

    # Away ------------------------------------------------------------------------------------------------------------

    def removed(self, seq: int) -> None:
        """Its row is on disk no longer."""
        self.known.pop(seq, None)
        if self.loading:
            self._gone.add(seq)

    def empty(self) -> None:
        """Nobody is left to receive: memory is given back, the disk has it all. But what was answered stays known
        until its row is removed, and of what was answered in part the rest stays: the disk does not tell them apart."""
        self._waiting = [unit for unit in chain(self._waiting, *self._held.values()) if unit[2].begun]
        self._paused = [paused for paused in self._paused if paused[1][2].begun]
        heapq.heapify(self._waiting)
        heapq.heapify(self._paused)
        self._held.clear()
        self._lagging.clear()
        self._put_off = None
        self.known = {seq: pending for seq, pending in self.known.items() if pending.begun or not pending.left}
        self.behind = True
        self._cursor = 0
        self.emptied += 1

    def settings(self, config: AccountConfig) -> None:
        """New settings. What was held, or left on disk, because of the old ones is free again."""
        self.config = config
        self.release(())


def _submitter(row: Row) -> int:
    """The bind that sent the message; 0 for what no bind of ours sent."""
    return row.message.bind if isinstance(row, Receipt) else 0


def _receiver(id: int, receivers: Sequence[Link]) -> Link | None:
    return next((link for link in receivers if link.id == id and link.can_receive), None)
