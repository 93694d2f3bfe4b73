"""The embedded engine: one SQLite file, one connection that writes and a thread that waits for its commits, two that
read.

Theory of operation. Whatever changes something is put into a queue; a turn takes all that waits there and does it in
one transaction, and the thread makes it durable. What arrives meanwhile rides in the next one, so the more there is to
do, the cheaper each piece gets (group commit). Reading has connections of its own: one for the gateway's own
questions, one for the operator's, which may take long.

What can go wrong: a full disk refuses what it has no room for, and the next batch tries again. Any other failure of
the disk ends the store: SQLite itself cannot know what an fsync that failed has left behind, so everything is refused
until the file is opened anew. Whether the commit whose fsync failed will be found there then, nobody knows
(`StoreFailed.uncertain`). A mistake in one piece of work (a bug) fails that piece alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

import apsw

from ..ids import wall_clock
from ..lifecycle import Change
from ..model import Entry, Incoming, Message, Millis, Part, Receipt
from . import database
from .base import (
    FIRST,
    Absent,
    Applied,
    Arrival,
    Arrived,
    Due,
    Duplicate,
    Filter,
    Held,
    Replacement,
    Stats,
    StoreFailed,
    Turn,
    Verdict,
    Verdicts,
    Wanted,
)
from .checkpoint import Checkpoints
from .ledger import Ledger
from .reader import Reader

#: Messages and changes in one transaction at most: some milliseconds, because they are collected in the loop.
_BATCH = 512
#: Messages that are claimed, and that `purge` forgets, in one transaction, for the same reason.
_CLAIM_STEP, _PURGE_STEP = 128, 256
#: KiB of pages that connections keep: the writer, each reader, the checkpoint.
_WRITER_CACHE, _READER_CACHE, _CHECKPOINT_CACHE = 16_384, 4_096, 256

_CLOSED = "the store is closed"

C = TypeVar("C")
R = TypeVar("R")
P = ParamSpec("P")

Work: TypeAlias = Callable[[Ledger, Sequence[Any]], Sequence[Any]]
"""An operation of the ledger: the calls of many, one result a call."""


class _Job:
    """A piece of work that somebody awaits."""

    __slots__ = ("call", "future", "weight", "work")

    def __init__(self, work: Work, call: Any, weight: int, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.call = call
        #: How many messages it is about.
        self.weight = weight
        self.future = future


#: What stands in the queue: a job, or a message with whom to tell of it, which is the hot path and makes no object.
_Item: TypeAlias = _Job | tuple[Message, Arrived]


class SqliteStore:
    """See `base.Store`; every method is described there."""

    def __init__(self, path: Path, *, vfs: str = "", clock: Callable[[], Millis] = wall_clock) -> None:
        self._path = path
        self._vfs = vfs
        self._clock = clock
        self._writer: _Writer | None = None
        self._put: Callable[[_Item], None] = self._refuse
        self._own = _Reading("store-read")
        self._operators = _Reading("store-look")
        #: Calls of `absent` that are under way.
        self._absent = 0
        self._when_failed: Callable[[StoreFailed], None] = lambda failed: None

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}>"

    async def open(self) -> None:
        writer = _Writer(
            self._path, self._vfs, self._clock, asyncio.get_running_loop(), lambda failed: self._when_failed(failed)
        )
        await writer.open()
        try:
            for reading in (self._own, self._operators):
                await reading.open(self._path, self._vfs)
        except BaseException:
            await self._own.close()
            await writer.close()
            raise
        self._writer = writer
        self._put = writer.put

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            self._put = self._refuse
            for reading in (self._own, self._operators):
                await reading.close()
            await writer.close()

    def when_failed(self, tell: Callable[[StoreFailed], None]) -> None:
        self._when_failed = tell

    def _refuse(self, item: _Item) -> None:
        outcome: _Outcome = ([item], StoreFailed(_CLOSED))
        asyncio.get_running_loop().call_soon(_announce, [outcome])

    # Arrivals --------------------------------------------------------------------------------------------------------

    def accept(self, message: Message, arrived: Arrived) -> None:
        self._put((message, arrived))

    async def accept_many(self, messages: Sequence[Message], known_as: int) -> Verdicts:
        return await self._ask(Ledger.accept_many, (messages, known_as), len(messages))

    async def hold(self, part: Part) -> Held:
        return await self._ask(Ledger.hold, part)

    async def join(self, message: Message, parts: Sequence[Part]) -> Duplicate | None:
        return await self._ask(Ledger.join, (message, parts))

    async def drop_parts(self, parts: Sequence[Part]) -> None:
        await self._ask(Ledger.drop_parts, parts)

    async def held_parts(self, before: Millis, limit: int) -> Sequence[Sequence[Part]]:
        return await self._need(Reader.held_parts, before, limit)

    # Work ------------------------------------------------------------------------------------------------------------

    async def claim(self, now: Millis, wanted: Mapping[str, int]) -> Sequence[Message]:
        ids = await self._need(Reader.due, now, wanted, self._ledger.counts.places())
        taken: list[Message] = []
        # A little at a time, so that nobody waits long for it.
        for at in range(0, len(ids), _CLAIM_STEP):
            step = ids[at : at + _CLAIM_STEP]
            taken += await self._ask(Ledger.claim, (step, now), len(step))
        return taken

    async def to_be_asked(self, now: Millis, after: Turn, limit: int) -> Sequence[Message]:
        return await self._need(Reader.to_be_asked, now, after, limit)

    async def in_doubt(self, limit: int) -> Sequence[Message]:
        return await self._need(Reader.in_doubt, limit)

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        return await self._ask(Ledger.apply, (changes, now), len(changes))

    async def replace(self, replacement: Replacement, now: Millis) -> Message | None:
        return await self._ask(Ledger.replace, (replacement, now))

    async def next_due(self, later: Millis = FIRST.due) -> Due:
        return await self._need(Reader.next_due, self._ledger.counts.places(), later)

    # Outbox ----------------------------------------------------------------------------------------------------------

    async def receipts(self, account: str, after: int, limit: int) -> Sequence[Receipt | Arrival]:
        return await self._need(Reader.receipts, account, after, limit)

    async def accounts_by_http(self) -> Sequence[str]:
        return self._ledger.counts.by_http()

    async def receipts_by_http(self, account: str, now: Millis, limit: int) -> Sequence[Receipt]:
        return await self._ask(Ledger.receipts_by_http, (account, now, limit))

    async def delivered(self, receipts: Sequence[Receipt | Arrival], now: Millis) -> None:
        await self._ask(Ledger.delivered, (receipts, now), len(receipts))

    async def drop_receipts(self, receipts: Sequence[Receipt | Arrival], reason: str, now: Millis) -> None:
        await self._ask(Ledger.drop_receipts, (receipts, reason, now))

    async def old_receipts(self, account: str, before: Millis, keep: int, limit: int) -> Sequence[Receipt | Arrival]:
        beyond = self._ledger.counts.receipts(account) - keep
        return await self._need(Reader.old_receipts, account, before, beyond, limit)

    async def put_off(self, receipts: Sequence[Receipt], until: Millis) -> None:
        await self._ask(Ledger.put_off, (receipts, until))

    async def incoming(self, account: str, message: Incoming, now: Millis = 0) -> Arrival | None:
        return await self._ask(Ledger.incoming, (account, message, now or message.at))

    async def absent(self, subscribers: Sequence[Absent]) -> None:
        self._absent += 1
        try:
            await self._ask(Ledger.absent, subscribers, len(subscribers))
        finally:
            self._absent -= 1

    def any_absent(self) -> bool:
        return bool(self._absent or self._ledger.has_absent)

    async def reachable(self, subscribers: Sequence[str], now: Millis) -> Sequence[Arrival]:
        if not subscribers or not self.any_absent():
            return []
        return await self._ask(Ledger.reachable, (subscribers, now), len(subscribers))

    async def answer(self, wanted: Sequence[Wanted]) -> Sequence[str]:
        return await self._ask(Ledger.answer, wanted)

    async def note(self, entries: Sequence[Entry]) -> None:
        await self._ask(Ledger.note, entries)

    # Looking ---------------------------------------------------------------------------------------------------------

    async def find(self, id: int) -> Message | None:
        return await self._operators.ask(Reader.find, id)

    async def find_all(self, id: int) -> Sequence[Message]:
        return await self._own.ask(Reader.find_all, id)

    async def find_part(self, id: int) -> Part | None:
        return await self._own.ask(Reader.find_part, id)

    async def unsent(self, account: str, source: str, destination: str, limit: int) -> Sequence[Message]:
        return await self._operators.ask(Reader.unsent, account, source, destination, limit)

    async def find_by_ref(self, provider: str, ref: str) -> Message | None:
        # In this order: what is missed in memory has just been put in order.
        newly = self._ledger.newly_referred(provider, ref)
        return await self._own.ask(Reader.find_by_ref, provider, ref, newly)

    async def timeline(self, id: int) -> Sequence[Entry]:
        return await self._operators.ask(Reader.timeline, id)

    async def list(self, wanted: Filter) -> Sequence[Message]:
        return await self._operators.ask(Reader.list, wanted)

    async def stats(self) -> Stats:
        counts = self._ledger.counts
        oldest_waiting, oldest_receipt = await self._own.ask(Reader.oldest)
        return Stats(
            waiting=counts.all_waiting(),
            unsent=counts.all_unsent(),
            in_flight=counts.in_flight,
            outbox=counts.accounts(),
            oldest_waiting=oldest_waiting,
            oldest_receipt=oldest_receipt,
        )

    def unsent_of(self, account: str) -> int:
        return self._ledger.counts.unsent[account]

    async def last_id(self) -> int:
        return self._ledger.counts.highest

    # Keeping ---------------------------------------------------------------------------------------------------------

    async def purge(self, before: Millis, limit: int) -> int:
        gone, more = 0, True
        while more and gone < limit:
            now_gone, more = await self._ask(Ledger.purge, (before, min(_PURGE_STEP, limit - gone)))
            gone += now_gone
        return gone

    # How -------------------------------------------------------------------------------------------------------------

    async def _need(self, question: Callable[..., R], *values: Any) -> R:
        """What the gateway works from: where the disk does not give that, nothing that was accepted goes on, and no
        more of it is to be acknowledged (ARCHITECTURE.md, promise 8). What somebody wants to know fails alone."""
        try:
            return await self._own.ask(question, *values)
        except StoreFailed as failed:
            cause = failed.__cause__
            if self._writer and cause and not failed.temporary and not database.is_bug(cause):
                self._writer.give_up(failed)
            raise

    @property
    def _ledger(self) -> Ledger:
        if self._writer is None:
            raise StoreFailed(_CLOSED)
        return self._writer.ledger

    async def _ask(self, work: Callable[[Ledger, Sequence[C]], Sequence[R]], call: C, weight: int = 1) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._put(_Job(work, call, weight, future))
        return await future


class _Reading:
    """A thread with a connection that only reads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._reader: Reader | None = None
        self._path = Path()

    async def open(self, path: Path, vfs: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        connect = partial(database.connect, path, cache=_READER_CACHE, vfs=vfs)
        try:
            self._reader = Reader(await asyncio.get_running_loop().run_in_executor(self._thread, connect))
        except apsw.Error as error:
            raise database.explain(error, path) from error

    async def ask(self, question: Callable[..., R], *values: Any) -> R:
        if self._thread is None:
            raise StoreFailed(_CLOSED)
        try:
            asked = partial(question, self._reader, *values)
            return await asyncio.get_running_loop().run_in_executor(self._thread, asked)
        except apsw.Error as error:
            raise database.explain(error, self._path) from error

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._reader:
            await asyncio.get_running_loop().run_in_executor(thread, self._reader.close)
        thread.shutdown()


class _Writer:
    """The one connection that writes, its queue, and the thread that waits for the disk.

    The connection belongs to whoever holds the turn: the loop while it collects a transaction, the thread from then on
    until it says that the commit is done. Nobody takes it from the other.
    """

    ledger: Ledger

    def __init__(
        self,
        path: Path,
        vfs: str,
        clock: Callable[[], Millis],
        loop: asyncio.AbstractEventLoop,
        when_failed: Callable[[StoreFailed], None],
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._clock = clock
        self._loop = loop
        self._when_failed = when_failed
        self._failure_told = False
        self._waiting: list[_Item] = []
        #: A turn is under way or about to be.
        self._busy = False
        self._failed: StoreFailed | None = None
        #: What somebody else found, who only reads.
        self._unreadable: StoreFailed | None = None
        #: A step of `Ledger.sort` that was asked for. Nobody waits for it: what fails is tried again.
        self._sorting: asyncio.Future[None] | None = None
        #: For the thread: what to do next; None: that was the end.
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._idle = asyncio.Event()

    # In the loop -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._thread.start()
        await self._opened

    def put(self, item: _Item) -> None:
        """Work for the next transaction."""
        self._waiting.append(item)
        self._wake()

    def give_up(self, failed: StoreFailed) -> None:
        """Somebody who reads has found that it cannot be gone on with: after the transaction that is under way."""
        self._unreadable = failed
        self._wake()

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._turn)

    async def close(self) -> None:
        """Finish what waits, then end."""
        while self._busy:
            self._idle.clear()
            await self._idle.wait()
        self._orders.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _turn(self) -> None:
        """What waits, in one transaction: of the foremost all that is at hand, or else what is not."""
        if self._unreadable and not self._failed:
            self._failed = self._unreadable
            self._tell_of_failure()
        waiting = self._waiting
        if not waiting:
            self._busy = False
            self._idle.set()
            return
        at_hand = _is_at_hand(waiting[0])
        count = _foremost(waiting, at_hand)
        items, self._waiting = waiting[:count], waiting[count:]
        if at_hand:
            self._collect(items)
        else:
            self._orders.put(partial(self._elsewhere, items))

    def _collect(self, items: Sequence[_Item]) -> None:
        """Work on pages that are at hand is done here and now: what remains for the thread is the disk."""
        try:
            done = self._do(items)
        except Exception as error:
            # Found out piece by piece, away from here.
            self._roll_back()
            self._orders.put(partial(self._after_failure, items, error))
        else:
            self._orders.put(partial(self._commit, items, done))

    def _committed(self, outcomes: list[_Outcome], failed: Exception | None, items: Sequence[_Item]) -> None:
        """The thread gives the turn back."""
        if failed is None:
            self.ledger.settle()
            if self.ledger.behind:
                self._sort()
        else:
            self._roll_back()
            outcomes = self._refused(items, failed, committing=True)
        self._told(outcomes)

    def _sort(self) -> None:
        """A step of it between two commits: it rests while nothing is kept."""
        if self._sorting is None or self._sorting.done():
            self._sorting = self._loop.create_future()
            self._sorting.add_done_callback(asyncio.Future.exception)
            self._waiting.append(_Job(Ledger.sort, None, 1, self._sorting))

    def _told(self, outcomes: list[_Outcome]) -> None:
        if not self._failed and (gone := self._files.gone()):
            # SQLite goes on with what has no name any more, and the next start would know nothing of it.
            self._failed = StoreFailed(self._files.explain(gone), uncertain=True)
            outcomes = [(items, self._failed) for items, _ in outcomes]
        self._tell_of_failure()
        _announce(outcomes)
        self._next()

    def _tell_of_failure(self) -> None:
        if self._failed and not self._failure_told:
            self._failure_told = True
            self._when_failed(self._failed)

    def _next(self) -> None:
        # Not at once: what was announced is written to the clients first.
        self._loop.call_soon(self._turn)

    # In the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._open()
        except Exception as error:
            self._tell(_settle, self._opened, database.explain(error, self._path))
            return
        self._tell(_settle, self._opened, None)
        try:
            while order := self._orders.get():
                order()
        finally:
            self._close()

    def _open(self) -> None:
        database.prepare(self._path)
        self._lock = database.Lock(self._path)
        try:
            # Opened before SQLite opens the file and closed after it has closed it, because closing it in between would
            # take SQLite's locks away.
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._db = database.connect(self._path, cache=_WRITER_CACHE, vfs=self._vfs, write=True)
            # What is refused stays as it is, with its log.
            database.keep_log(self._db, True)
            try:
                database.migrate(self._db, self._path)
                self.ledger = Ledger(self._db)
                self.ledger.load(self._clock())
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._let_go()
            raise
        self._files = database.Files(self._path)
        connect = partial(database.connect, self._path, cache=_CHECKPOINT_CACHE, vfs=self._vfs, write=True)
        self._checkpoints = Checkpoints(self._db, connect, partial(os.fdatasync, self._file))

    def _close(self) -> None:
        self._checkpoints.close()
        gone = self._files.gone()
        if gone == self._files.database:
            with suppress(apsw.Error, OSError):
                self._files.rescue(self._db)
        # A sync after one that failed may have written nothing and say that all is well. So what is in the log stays
        # there then, and the next start reads it; unless the log itself is what no start will find.
        database.keep_log(self._db, bool(self._failed) and not gone)
        with suppress(apsw.Error):  # The last checkpoint may fail; the log then stays, and the next start reads it.
            self._db.close()
        self._let_go()

    def _let_go(self) -> None:
        os.close(self._file)
        self._lock.release()

    def _commit(self, items: Sequence[_Item], done: list[_Outcome]) -> None:
        failed = None
        try:
            self.ledger.make_durable()
            self._checkpoint()
        except Exception as error:
            failed = error
        self._tell(self._committed, done, failed, items)

    def _elsewhere(self, items: Sequence[_Item]) -> None:
        """A transaction that may read much or write much: all of it here, while the loop does other things."""
        outcomes = self._settle_all(items)
        self._checkpoint()
        self._tell(self._told, outcomes)

    def _after_failure(self, items: Sequence[_Item], error: Exception) -> None:
        if self._failed is None and database.is_bug(error) and len(items) > 1:
            # Alone, each shows whether the mistake was in it.
            outcomes = [outcome for item in items for outcome in self._settle_all([item])]
        else:
            outcomes = self._refused(items, error)
        self._tell(self._told, outcomes)

    def _settle_all(self, items: Sequence[_Item]) -> list[_Outcome]:
        committing = False
        try:
            done = self._do(items)
            committing = True
            self.ledger.make_durable()
            self.ledger.settle()
            return done
        except Exception as error:
            self._roll_back()
            if database.is_bug(error) and len(items) > 1:
                return [outcome for item in items for outcome in self._settle_all([item])]
            return self._refused(items, error, committing=committing)

    def _checkpoint(self) -> None:
        try:
            if not self._failed:
                self._checkpoints.committed()
        except Exception as error:
            failed = database.explain(error, self._path)
            if not failed.temporary:
                self._failed = failed

    def _tell(self, what: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody is left to be told.
            self._loop.call_soon_threadsafe(what, *args)

    # Wherever the turn is --------------------------------------------------------------------------------------------

    def _do(self, items: Sequence[_Item]) -> list[_Outcome]:
        """A transaction up to its commit. Raises what went wrong, `StoreFailed` if nothing goes any more."""
        if self._failed:
            raise self._failed
        ledger = self.ledger
        ledger.begin()
        done: list[_Outcome] = [(run, work(ledger, _calls(run))) for work, run in _runs(items)]
        ledger.prepare()
        return done

    def _roll_back(self) -> None:
        database.rollback(self._db)
        self.ledger.rollback()

    def _refused(self, items: Sequence[_Item], error: Exception, *, committing: bool = False) -> list[_Outcome]:
        """What everybody is told; whether the store goes on after it is decided here.

        A commit that fails for want of room, or for a lock, has not written its last page, without which the next start
        passes over all of it. After any other failure, that of an fsync above all, it may be there whole.
        """
        failed = database.explain(error, self._path)
        if not failed.temporary and not database.is_bug(error):
            failed.uncertain = committing
            self._failed = failed
        return [(run, failed) for _, run in _runs(items)]


#: Work that reads and writes pages that are in memory as a rule. Done in the loop's own turn, because handing the
#: interpreter to another thread and back for each statement cost more than the statements: 15,000 messages a second
#: were accepted that way, and three times as many this way. Whatever may touch thousands of rows is not in here, or not
#: done here when it does (`_is_at_hand`).
_AT_HAND: frozenset[Work] = frozenset(
    {
        Ledger.absent,
        Ledger.accept_many,
        Ledger.apply,
        Ledger.claim,
        Ledger.delivered,
        Ledger.drop_parts,
        Ledger.hold,
        Ledger.join,
        Ledger.note,
        Ledger.put_off,
        Ledger.reachable,
        Ledger.replace,
    }
)


def _is_at_hand(item: _Item) -> bool:
    return not isinstance(item, _Job) or (item.work in _AT_HAND and item.weight <= _BATCH)


def _foremost(items: Sequence[_Item], at_hand: bool) -> int:
    """How many of the first go into one transaction."""
    if _Job not in map(type, items[:_BATCH]):
        return min(len(items), _BATCH)
    weight = 0
    for count, item in enumerate(items):
        if weight >= _BATCH or _is_at_hand(item) is not at_hand:
            return count
        weight += item.weight if isinstance(item, _Job) else 1
    return len(items)


_Outcome: TypeAlias = tuple[Sequence[_Item], Sequence[Any] | StoreFailed]
"""A run of items, and the result of each, or what failed for all."""


def _runs(items: Sequence[_Item]) -> list[tuple[Work, Sequence[_Item]]]:
    """Neighbours that ask for the same operation are worked off together."""
    if _Job not in map(type, items):
        return [(Ledger.accept, items)]
    return [(work, list(run)) for work, run in groupby(items, _work_of)]


def _work_of(item: _Item) -> Work:
    return item.work if isinstance(item, _Job) else Ledger.accept


def _calls(items: Sequence[_Item]) -> list[Any]:
    return [item.call if isinstance(item, _Job) else item[0] for item in items]


# In the loop ---------------------------------------------------------------------------------------------------------


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return  # Whoever asked was cancelled; the work is done all the same.
    if isinstance(result, StoreFailed):
        future.set_exception(result)
    else:
        future.set_result(result)


def _announce(outcomes: list[_Outcome]) -> None:
    """Tell everybody what came of a batch."""
    told: dict[Arrived, list[tuple[Message, Verdict]]] = {}
    for items, results in outcomes:
        each = [results] * len(items) if isinstance(results, StoreFailed) else results
        for item, result in zip(items, each, strict=True):
            if isinstance(item, _Job):
                _settle(item.future, result)
            else:
                message, arrived = item
                if arrived not in told:
                    told[arrived] = []
                told[arrived].append((message, result))
    for arrived, batch in told.items():
        try:
            arrived(batch)
        except Exception as error:
            context = {"message": "telling of a batch failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
