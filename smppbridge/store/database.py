"""The file that the embedded store lives in: whose it is, how it is opened, and which schema it has.

What can go wrong, each as a `StoreFailed` that says what to do:

* another process has it open (told by a lock on `<file>.lock`, which also says which process);
* the directory or the file may not be written;
* it is not a database, is another program's, or is damaged;
* it was written by a newer version of this program.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import apsw

from .base import StoreFailed

#: Milliseconds to wait for a lock of another program.
_BUSY = 50

# Mistakes in a statement or its values: ours, the disk has no part in them.
_BUGS = (
    apsw.BindingsError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.MisuseError,
    apsw.RangeError,
    apsw.SQLError,
    apsw.TooBigError,
)


def is_bug(error: BaseException) -> bool:
    return isinstance(error, _BUGS) or not isinstance(error, apsw.Error | OSError)


class Lock:
    """One process at a time. Beside the database and not on it: SQLite's own locks on the file would be lost as soon
    as somebody in this process closed another descriptor of it (POSIX `fcntl` locks)."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed(f"{self._path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreFailed(f"{database} is in use by process {holder or 'unknown'}; stop it first") from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._descriptor)


def prepare(path: Path) -> None:
    """Make the directory and an empty file, readable by nobody else, and make the file's name durable."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"{path.parent} cannot be made: {error.strerror}") from error
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreFailed(f"{path} cannot be made: {error.strerror}") from error
    os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def connect(path: Path, *, cache: int, vfs: str = "", write: bool = False) -> apsw.Connection:
    """A connection with `cache` KiB of pages. The file's mode is WAL from the first one on that may write."""
    flags = apsw.SQLITE_OPEN_READWRITE if write else apsw.SQLITE_OPEN_READONLY
    db = apsw.Connection(str(path), flags=flags, vfs=vfs or None, statementcachesize=256)
    try:
        # Others may hold a lock for a moment (a backup, `sqlite3` at a terminal). The loop itself may be waiting.
        db.set_busy_timeout(_BUSY)
        if write:
            db.pragma("journal_mode", "wal")
            # What everything else rests on: COMMIT returns after the fsync (ARCHITECTURE.md, promise 1).
            db.pragma("synchronous", "full")
        db.pragma("cache_size", -cache)
        db.pragma("temp_store", "memory")
        db.pragma("wal_autocheckpoint", 0)
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def migrate(db: apsw.Connection, path: Path) -> None:
    """Bring the schema to this program's, each step in a transaction of its own."""
    steps = migrations()
    version = int(db.pragma("user_version"))
    if version > len(steps):
        raise StoreFailed(
            f"{path} has schema {version}, this version of smppbridge knows schemas up to {len(steps)}: "
            "start the version that wrote it, or a newer one"
        )
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StoreFailed(f"{path} is a database of another program: choose another path")
    for number, sql in enumerate(steps[version:], version + 1):
        with db:
            db.execute(sql).fetchall()
            db.pragma("user_version", number)


def migrations() -> list[str]:
    """The text of each step, the first being schema 1."""
    folder = files(__package__) / "migrations"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if re.match(r"\d{4}_.*\.sql$", entry.name))
    return [entry.read_text(encoding="utf-8") for _, entry in found]


def explain(error: BaseException, path: Path) -> StoreFailed:
    """What happened, and what to do about it."""
    if isinstance(error, StoreFailed):
        return error
    failed = StoreFailed(_sentence(error, path), temporary=isinstance(error, apsw.FullError | apsw.BusyError))
    failed.__cause__ = error
    return failed


def _sentence(error: BaseException, path: Path) -> str:
    match error:
        case apsw.FullError():
            return f"no room left on the disk for {path}"
        case apsw.BusyError():
            return f"{path} is locked by another program"
        case apsw.NotADBError():
            return f"{path} is not a database: choose another path, or move the file away"
        case apsw.CorruptError():
            return (
                f"{path} is damaged ({error}): stop, keep a copy with its -wal file, and restore a backup "
                "or try `sqlite3 FILE .recover`"
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError():
            return f"{path} cannot be opened for writing ({error}): look at its owner and mode"
        case OSError():
            return f"reading or writing {path} failed ({error.strerror}): look at the disk, then restart"
        case _ if is_bug(error):
            return f"a mistake of the program in the store: {type(error).__name__}: {error}"
        case _:
            return f"reading or writing {path} failed ({error}): look at the disk, then restart"


def rollback(db: apsw.Connection) -> None:
    """After a failure: whatever is left of the transaction goes, if SQLite has not thrown it away already."""
    with suppress(apsw.Error):
        if db.in_transaction:
            db.execute("ROLLBACK")
