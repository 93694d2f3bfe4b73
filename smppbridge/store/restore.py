"""Putting a backup in the place of the store.

A backup is behind: what waited in it has been sent since, most of it, and would be sent and paid for once more. So
whoever restores says what becomes of that (`end`), and nothing of it is sent by itself:

* what no provider has for certain (WAITING, READY, SENDING, DOUBT) ends, with the receipt that it asked for;
* what a provider has (SENT) is asked for as ever, and ends where it is: no further leg of its route follows;
* parts whose rest has not come never become a message.

Ids that were given since the backup are not given again, as far as the store that is there can be read: otherwise the
clock stands for it, as long as it does not go back.

What can go wrong: everything is prepared in a file beside the store, so until the last step nothing has changed, and
whatever fails in that is undone. The store that was there is kept under another name, as it is, with its log. A crash
in the last step leaves the old store, or the new one, or what no start takes up: run it again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import apsw
import msgspec

from ..lifecycle import Change
from ..model import NEVER_WHOLE, Millis
from . import database
from .backup import Contents, Tell, copy_pages, examine, made_aside
from .base import StoreFailed
from .ledger import Ledger
from .statements import ask

#: Messages that end in one transaction.
_STEP = 500
#: Between the name of a store and the moment at which another took its place.
_BEFORE = ".before-restore-"
#: KiB of pages that are kept meanwhile.
_CACHE = 16_384


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    contents: Contents
    #: Messages that ended because of it.
    ended: int
    #: Where the store is that was there; None: there was none.
    aside: Path | None


def restore(backup: Path, store: Path, *, end: Change | None, now: Millis, tell: Tell) -> Restored:
    """Put a backup in the place of the store; the gateway does not run. `end` is what happens to each message that no
    provider has for certain; None: they are sent. Raises StoreFailed, and then nothing has changed."""
    if not backup.exists():
        raise StoreFailed(f"there is no backup {backup}")
    lock = database.Lock(store)
    try:
        _give_to_owner(lock.path, store)
        if store.exists() and store.samefile(backup):
            raise StoreFailed(f"{backup} is the store itself, not a backup of it")
        # Where a link leads: there it has its log, and its room.
        place = store.resolve()
        with made_aside(place) as beside:
            copy_pages(backup, beside, tell)
            examine(beside, tell, called=backup)
            try:
                left = _set_aside(place)
                ended = _make_ready(beside, _last_id(left or store), end, now, tell)
                contents = examine(beside, tell, called=backup)
                _give_to_owner(beside, store)
            except (apsw.Error, OSError) as error:
                raise database.explain(error, store) from None
            aside = _put_in_place(beside, place, left, now)
        return Restored(contents=contents, ended=ended, aside=aside)
    finally:
        lock.release()


def _set_aside(store: Path) -> Path | None:
    """Where a restore that was cut off in its last step has put the store that was there, with its log; None: none was
    cut off. What stands in the store's place then is that store without its log, or what was restored."""
    if not database.is_stand_in(_log_of(store)):
        return None
    before = f"{store.name}{_BEFORE}"
    found = [one for one in store.parent.iterdir() if one.name.startswith(before) and _log_of(one).exists()]
    same = [one for one in found if store.exists() and one.samefile(store)]
    return max(same or found, default=None)


def _last_id(store: Path) -> int:
    """The highest id that the store which is there has given; 0 where it cannot be read."""
    with suppress(apsw.Error), closing(database.connect(store, cache=_CACHE)) as db:
        return int(ask(db, "highest")[0][0])
    return 0


def _make_ready(path: Path, last_id: int, end: Change | None, now: Millis, tell: Tell) -> int:
    """Make of a copy what a start may take up. Returns how many messages ended."""
    ended = 0
    with closing(database.connect(path, cache=_CACHE, write=True)) as db:
        database.migrate(db, path)
        ask(db, "keep_fact", ("last_id", last_id))
        if end is not None:
            ask(db, "no_further_leg")
            ask(db, "never_whole", (NEVER_WHOLE,))
            # After what follows nobody has them in memory.
            ledger = Ledger(db)
            ledger.load(now)
            open = ask(db, "count_open")[0][0]
            while ids := [id for (id,) in ask(db, "open", (_STEP,))]:
                ledger.begin()
                ledger.apply([([msgspec.structs.replace(end, id=id) for id in ids], now)])
                ledger.commit()
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                ended += len(ids)
                tell("ending what was not sent", ended / open)
        # One file again, and all of it on the disk.
        db.pragma("journal_mode", "delete")
    database.sync(path)
    return ended


def _give_to_owner(path: Path, store: Path) -> None:
    """Root restores, and the gateway is to read it."""
    owner = (store if store.exists() else store.parent).stat()
    if os.geteuid() == 0:
        # Whoever owns the folder may have put a link there meanwhile.
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _put_in_place(beside: Path, store: Path, left: Path | None, now: Millis) -> Path | None:
    """The last step; where the store is that was there. `left` is where that is already (`_set_aside`).

    The log goes with the store that it belongs to: never may the new one be read with it, nor the old one without it.
    So between the two something stands in its place that no start takes up.
    """
    moment = datetime.fromtimestamp(now / 1000, UTC)
    aside = left or store.with_name(f"{store.name}{_BEFORE}{moment:%Y%m%dT%H%M%SZ}")
    log, aside_log = _log_of(store), _log_of(aside)
    was_there = store.exists()
    with _undisturbed():
        try:
            with ExitStack() as undo:
                if was_there and left is None:
                    os.link(store, aside)
                    undo.callback(aside.unlink)
                if log.exists() and not database.is_stand_in(log):
                    os.link(log, aside_log)
                    undo.callback(aside_log.unlink, missing_ok=True)
                    stand_in = _log_of(beside)
                    stand_in.write_bytes(database.RESTORING)
                    database.sync(stand_in)
                    database.sync(store.parent)
                    stand_in.rename(log)
                    undo.callback(aside_log.rename, log)
                database.sync(store.parent)
                beside.rename(store)
                undo.pop_all()
        except OSError as error:
            raise StoreFailed(f"{store} cannot be replaced, and stays as it was: {error.strerror}") from None
        database.sync(store.parent)
        for ending in ("-shm", "-wal"):
            store.with_name(store.name + ending).unlink(missing_ok=True)
        database.sync(store.parent)
    return aside if was_there or left else None


def _log_of(store: Path) -> Path:
    return store.with_name(store.name + "-wal")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whoever wants to end it waits for a moment."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
