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
import stat
import struct
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path

import apsw

from ..ids import wall_clock
from .base import StoreFailed

#: Milliseconds to wait for a lock of another program.
_BUSY = 50
#: KiB of pages for a look at what a file is.
_A_LOOK = 64
#: Octets at the beginning of a write-ahead log, and what they begin with (the last bit is the order of octets).
_LOG_HEAD = 32
_LOG_MAGIC = 0x377F0682
#: Stands in the place of the log while a restore puts another database in the place of the one that it belonged to.
RESTORING = b"smppbridge restore has not ended: run it again\n"

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
        # Where a link leads: whoever takes the other way is to meet the same lock.
        place = database.resolve()
        self.path = place.with_name(place.name + ".lock")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreFailed(f"{self.path} cannot be written: {error.strerror}") from error
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


class Files:
    """The files of an open database, as they were when it was opened."""

    def __init__(self, database: Path) -> None:
        self.database = str(database)
        # SQLite keeps the log where a link leads, and the next start goes where it leads then.
        place = database.resolve()
        names = (self.database, f"{place}-wal", f"{place}-shm")
        self._known = [(name, _identity(name)) for name in names]
        self._rescued = f"{database}.rescued-{os.getpid()}-{wall_clock()}"

    def gone(self) -> str:
        """The first that does not bear its name any more; empty while all do."""
        for name, identity in self._known:
            if _identity(name) != identity:
                return name
        return ""

    def explain(self, gone: str) -> str:
        """What became of the file that bears its name no more, and of what is in it."""
        where = f": what it holds is written to {self._rescued}" if gone == self.database else ""
        return f"{gone} was deleted or replaced while the gateway had it open{where}"

    def rescue(self, db: apsw.Connection) -> None:
        """Give what only this process can still read a name. Raises apsw.Error, OSError."""
        # Empty and readable by nobody else, or SQLite would make it as the umask has it.
        os.close(os.open(self._rescued, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db.execute("VACUUM INTO ?", (self._rescued,)).fetchall()


def _identity(name: str) -> tuple[int, int]:
    try:
        status = os.stat(name)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def prepare(path: Path) -> None:
    """Make the directory and an empty file, readable by nobody else, and make the file's name durable. A file that is
    there already is only looked at."""
    if path.is_dir():
        raise StoreFailed(
            f"{path} is a folder: [store] path has to name a file in it, such as {path / 'smppbridge.db'}"
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _not_made(path.parent, error) from error
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _keep_to_ourselves(path)
        _check_log(path)
        # Before anything is opened for writing: that changes the header of some files, and folds the log of others.
        with closing(connect(path, cache=_A_LOOK)) as db:
            version(db, path)
        return
    except OSError as error:
        raise _not_made(path, error) from error
    os.close(descriptor)
    _check_log(path)
    sync(path.parent)


def _not_made(path: Path, error: OSError) -> StoreFailed:
    advice = f"; {path.parent} has to be writable for the gateway's user" if isinstance(error, PermissionError) else ""
    return StoreFailed(f"{path} cannot be made: {error.strerror}{advice}")


def _keep_to_ourselves(path: Path) -> None:
    """What is in it is for nobody else: a file that was copied back or unpacked may be for everybody. Raises
    StoreFailed for one that somebody else has put there."""
    place = path.resolve()
    for file in (path, *(place.with_name(place.name + ending) for ending in ("-wal", "-shm"))):
        try:
            found = file.stat()
            if found.st_uid not in (os.geteuid(), 0) and os.geteuid():
                raise StoreFailed(f"{file} belongs to another user: look who has put it there, or run chown")
            if found.st_mode & stat.S_IRWXO:
                file.chmod(stat.S_IMODE(found.st_mode) & ~stat.S_IRWXO)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreFailed(f"{file} can be read by others, and its mode not be changed: {error.strerror}") from error


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_log(path: Path) -> None:
    """SQLite passes over a log whose head it cannot read, and deletes one whose database is empty: what was stored
    last would be gone without a word."""
    # SQLite follows links, and keeps the log where they lead.
    place = path.resolve()
    log = place.with_name(place.name + "-wal")
    try:
        with log.open("rb") as file:
            head = file.read(_LOG_HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreFailed(f"{log} cannot be read: {error.strerror}") from error
    if not head:
        return
    if is_stand_in(log):
        raise StoreFailed(f"{path} is not whole: `smppbridge restore` was cut off in its last step, run it again")
    if not path.stat().st_size:
        raise StoreFailed(
            f"{path} is gone or empty, but its log {log} is not: put the file back; to begin anew, move the log away"
        )
    # Written at once or not at all: a power cut leaves the one before, or nothing.
    if any(head) and not _is_whole(head):
        raise StoreFailed(
            f"{log} is damaged, and what was stored last is in it: keep a copy of both files and restore a backup; "
            "to go on without it, move it away"
        )


def is_stand_in(log: Path) -> bool:
    """Whether it is no log but `RESTORING`. Raises OSError."""
    try:
        with log.open("rb") as file:
            return file.read(len(RESTORING)) == RESTORING
    except FileNotFoundError:
        return False


def _is_whole(head: bytes) -> bool:
    """Whether SQLite can read the head of a log (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)."""
    if len(head) < _LOG_HEAD:
        return False
    magic = int.from_bytes(head[:4], "big")
    if magic & ~1 != _LOG_MAGIC:
        return False
    words = struct.unpack(f"{'>' if magic & 1 else '<'}6I", head[:24])
    one = two = 0
    for at in range(0, 6, 2):
        one = (one + words[at] + two) & 0xFFFFFFFF
        two = (two + words[at + 1] + one) & 0xFFFFFFFF
    return struct.pack(">II", one, two) == head[24:]


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
        keep_log(db, True)
        db.close()
        raise
    return db


def keep_log(db: apsw.Connection, keep: bool) -> None:
    """Whether the log stays as it is when the last connection closes, or is copied into the database and deleted."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)


def migrate(db: apsw.Connection, path: Path) -> None:
    """Bring the schema to this program's, each step in a transaction of its own."""
    first = version(db, path)
    for number, sql in enumerate(migrations()[first:], first + 1):
        with db:
            db.execute(sql).fetchall()
            db.pragma("user_version", number)


def version(db: apsw.Connection, path: Path) -> int:
    """The schema that it has; 0 of an empty one. Raises StoreFailed for one that this program does not know."""
    known, found = len(migrations()), int(db.pragma("user_version"))
    if found > known:
        raise StoreFailed(
            f"{path} has schema {found}, this version of smppbridge knows schemas up to {known}: "
            "start the version that wrote it, or a newer one"
        )
    if found == 0 and db.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StoreFailed(f"{path} is a database of another program: choose another path")
    return found


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
