"""A copy of the embedded store, of one moment, made beside the gateway that writes it; and whether a file is one.

The copy is made page by page, in steps, within one read transaction of a connection that only reads: the gateway never
waits for it, and what is copied is what was committed when it began. Measured with a store of 390 MiB on two cores
that also carry the gateway, its client and the copy, at 3,000 messages a second (alone, the slowest in a hundred took
13 ms and the slowest 17):

    one transaction, steps of 8 MiB, each synced    1.7 s, p99 31 ms, slowest  35 ms
    one transaction, one step, synced at its end    2.4 s, p99 59 ms, slowest 170 ms
    VACUUM INTO                                     2.5 s, p99 68 ms, slowest 139 ms
    steps without a transaction                     began anew with each commit, and never ended

What can go wrong: while the copy is made the write-ahead log cannot begin anew, so it grows by what the gateway writes
meanwhile (some 10 MiB a second at that load). The copy is checked after that, when nobody waits for it.

A file has its name only when it is whole, checked and synced. Until then it has another one in the same folder, and
whatever happens but kill -9 takes that away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import apsw
import msgspec

from ..ids import wall_clock
from ..model import Millis
from . import database
from .base import StoreFailed
from .statements import ask

#: Pages of 4 KiB that are copied and synced at once: 8 MiB.
_STEP = 2048
#: KiB of pages that the copying connection keeps; it reads each once.
_CACHE = 1024
#: Milliseconds to wait for a lock; nobody waits for us.
_BUSY = 5000
#: Octets that stay free on the disk: a gateway that finds it full refuses messages.
_SPARE = 64 * 1024 * 1024
#: Steps of SQLite's machine after which a check looks whether somebody has had enough.
_LOOK = 100_000

Tell: TypeAlias = Callable[[str, float], None]
"""What is being done, and which share of it is done; 0: nobody knows. May raise to end it: nothing is left behind."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a store, or in a copy of one."""

    schema: int
    octets: int
    messages: int
    #: Of these: that no provider has for certain (WAITING, READY, SENDING) …
    unsent: int
    #: … and that one has, or may have (SENT, DOUBT).
    with_provider: int
    #: Receipts and messages of subscribers that no client has answered yet.
    outbox: int
    #: Parts of long messages whose rest has not come.
    parts: int


def copy(store: Path, target: Path, tell: Tell) -> tuple[Contents, Millis]:
    """Copy the store to a file that is not there yet; what is in it, and as of when. Raises StoreFailed."""
    not_there(target)
    with made_aside(target) as beside:
        as_of = copy_pages(store, beside, tell)
        contents = examine(beside, tell, called=store)
        not_there(target)
        beside.rename(target)
    database.sync(target.parent)
    return contents, as_of


def examine(path: Path, tell: Tell, *, called: Path) -> Contents:
    """Whether it is a store that this program can take up, undamaged. Raises StoreFailed, which names `called`."""
    try:
        with closing(_open(path)) as db:
            # SQLite does not look at signals by itself. What `tell` raises ends the statement.
            db.set_progress_handler(_looking(tell), _LOOK)
            schema = database.version(db, called)
            if not schema:
                raise StoreFailed(f"{called} is empty: it is no store of smppbridge")
            if (found := str(db.pragma("integrity_check"))) != "ok":
                raise apsw.CorruptError(found.splitlines()[0])
            [(messages, unsent, with_provider, outbox, parts)] = ask(db, "contents")
    except apsw.Error as error:
        raise database.explain(error, called) from None
    return Contents(
        schema=schema,
        octets=path.stat().st_size,
        messages=messages,
        unsent=unsent,
        with_provider=with_provider,
        outbox=outbox,
        parts=parts,
    )


def _looking(tell: Tell) -> Callable[[], bool]:
    def look() -> bool:
        tell("checking", 0)
        return False

    return look


def not_there(target: Path) -> None:
    """Raises StoreFailed for a file that would be written over."""
    if target.exists() or target.is_symlink():
        raise StoreFailed(f"{target} is there already and is not written over: take it away, or name another")


@contextmanager
def made_aside(target: Path) -> Iterator[Path]:
    """An empty file in the folder of `target`, readable by nobody else, that is synced at the end. It is for the caller
    to give it its name; if it still has its own, it goes. Raises StoreFailed."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".unfinished", dir=target.parent)
    except OSError as error:
        raise StoreFailed(f"nothing can be written to {target.parent}: {error.strerror}") from None
    beside = Path(name)
    try:
        yield beside
    finally:
        os.close(descriptor)
        for rest in ("", "-wal", "-shm", "-journal"):
            beside.with_name(beside.name + rest).unlink(missing_ok=True)


def copy_pages(store: Path, target: Path, tell: Tell) -> Millis:
    """All pages of a store as they are at this moment, into an empty file; that moment. Durable, but for the file's
    name. Raises StoreFailed."""
    try:
        with closing(_open(store)) as source:
            # From the first statement on, this is what it sees, whatever the gateway writes.
            source.execute("BEGIN")
            as_of = wall_clock()
            if not database.version(source, store):
                raise StoreFailed(f"{store} is empty: it is no store of smppbridge")
            _has_room(int(source.pragma("page_count")) * int(source.pragma("page_size")), target)
            _copy(source, target, tell)
    except (apsw.Error, OSError) as error:
        # A full disk is the copy's, everything else may be either's.
        full = isinstance(error, apsw.FullError)
        raise database.explain(error, target if full else store) from None
    return as_of


def _copy(source: apsw.Connection, target: Path, tell: Tell) -> None:
    # Closed last: closing a descriptor takes the locks of the connection away.
    descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        with closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)) as copied:
            # Nobody reads a half file, so it needs no journal; and when it is durable is for us to say.
            copied.pragma("journal_mode", "off")
            copied.pragma("synchronous", "off")
            with copied.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_STEP)
                    os.fdatasync(descriptor)
                    tell("copying", 1 - backup.remaining / max(backup.page_count, 1))
            # One file that can be read wherever it lies, also where nothing can be written beside it.
            copied.pragma("journal_mode", "delete")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> apsw.Connection:
    db = database.connect(path, cache=_CACHE)
    db.set_busy_timeout(_BUSY)
    return db


def _has_room(octets: int, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < octets + _SPARE:
        needed, there = (octets + _SPARE) >> 20, free >> 20
        raise StoreFailed(f"no room left on the disk for {target}: it takes {needed} MiB, and {there} MiB are free")
