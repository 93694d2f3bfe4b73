"""A disk that fails, hangs, lies, or forgets what was not synced, between SQLite and the true one.

A VFS that is registered as the default one before the program opens anything (`host`), and os.fsync and os.fdatasync
of the same files. It is driven by `Switches`: `disk` says what it refuses (`Fault`), `medium` what it keeps
(`Medium`).

What is written to a database or its log lies in memory until the sync, one `Image` for each file, whoever of the
process has it open; kill -9 then loses what a power cut would lose. A sync that fails is meant as Linux has it: what
was to be written may be on the disk or not, and is not written again by the next sync. Sectors of 512 octets are whole
or not there, which is what SQLite expects of a disk. The memory of the write-ahead log (`-shm`) and temporary files
are not touched: no promise rests on them.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial
from typing import Any

import apsw

from .switches import Switches

_SECTOR = 512
#: The VFS below: the default one is ours.
_TRUE = "unix"


class Fault(IntEnum):
    """What the disk does with what is asked of it now."""

    NONE = 0
    #: No room: each write is refused.
    FULL = 1
    #: EIO on each write.
    WRITE = 2
    #: EIO on each sync of the log, or on the next one only.
    SYNC_LOG = 3
    SYNC_LOG_ONCE = 4
    #: EIO on each sync of the database, whoever asks for it; or on the next one only.
    SYNC_DATABASE = 5
    SYNC_DATABASE_ONCE = 6
    #: EIO on each read.
    READ = 7
    #: Each sync waits until the fault is over.
    HANG = 8


class Medium(IntEnum):
    """What is still there after kill -9."""

    #: Whatever was written, as the kernel keeps it.
    TRUE = 0
    #: What was synced.
    SYNCED = 1
    #: What was synced, and of the rest the sectors that chance has written already.
    TORN = 2
    #: The sectors that chance has written: a sync does nothing and says that all is well.
    LYING = 3
    #: Nothing that was written since: a sync does nothing and says that all is well.
    FORGETTING = 4


class Image:
    """One file: what lies in memory on top of what is on the disk."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._disk = disk
        # Never closed: closing any descriptor of a database takes SQLite's locks on it away.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self.size = os.fstat(self._descriptor).st_size
        #: What is on the disk beyond this was cut off, and reads as nothing.
        self._below = self.size
        self._sectors: dict[int, bytes] = {}
        self._unsynced: set[int] = set()

    def read(self, amount: int, offset: int) -> bytes:
        with self._lock:
            return self._read(max(0, min(amount, self.size - offset)), offset)

    def write(self, data: bytes, offset: int) -> None:
        with self._lock:
            end = offset + len(data)
            for sector in range(offset // _SECTOR, -(-end // _SECTOR)):
                start = sector * _SECTOR
                inside, until = max(offset, start), min(end, start + _SECTOR)
                piece = data[inside - offset : until - offset]
                if len(piece) < _SECTOR:
                    old = bytearray(self._read(_SECTOR, start).ljust(_SECTOR, b"\0"))
                    old[inside - start : until - start] = piece
                    piece = bytes(old)
                self._sectors[sector] = bytes(piece)
                self._unsynced.add(sector)
            self.size = max(self.size, end)
            self._by_chance(range(offset // _SECTOR, -(-end // _SECTOR)))

    def truncate(self, size: int) -> None:
        with self._lock:
            self.size, self._below = size, min(self._below, size)
            for sector in [sector for sector in self._sectors if sector * _SECTOR >= size]:
                del self._sectors[sector]
                self._unsynced.discard(sector)
            if (last := size // _SECTOR) in self._sectors:
                self._sectors[last] = self._sectors[last][: size % _SECTOR].ljust(_SECTOR, b"\0")

    def sync(self) -> None:
        with self._lock:
            if self._disk.medium in (Medium.LYING, Medium.FORGETTING):
                return
            os.ftruncate(self._descriptor, self._below)
            self._settle(self._unsynced)
            os.ftruncate(self._descriptor, self.size)
            self._below = self.size
            # What lies on the disk need not lie in memory. What a failed sync has left out stays.
            for sector in self._unsynced:
                del self._sectors[sector]
            self._unsynced.clear()

    def fail(self) -> None:
        """A sync that failed: chance says what of it is on the disk, and nobody writes the rest again."""
        with self._lock:
            there = self._disk.chance.choice((0.0, 0.5, 1.0))
            self._settle(sector for sector in sorted(self._unsynced) if self._disk.chance.random() < there)
            self._unsynced.clear()

    def _read(self, amount: int, offset: int) -> bytes:
        found = bytearray(os.pread(self._descriptor, max(0, min(amount, self._below - offset)), offset))
        found += bytes(amount - len(found))
        if self._sectors:
            for sector in range(offset // _SECTOR, -(-(offset + amount) // _SECTOR)):
                if (piece := self._sectors.get(sector)) is not None:
                    start = sector * _SECTOR
                    inside, until = max(offset, start), min(offset + amount, start + _SECTOR)
                    found[inside - offset : until - offset] = piece[inside - start : until - start]
        return bytes(found)

    def _by_chance(self, sectors: range) -> None:
        """What the kernel writes of its own accord, in whatever order."""
        if self._disk.medium in (Medium.TORN, Medium.LYING):
            chance = self._disk.chance
            if (share := chance.choice((0.0, 0.0, 0.5, 0.9, 1.0))) > 0:
                self._settle(sector for sector in sectors if chance.random() < share)

    def _settle(self, sectors: Iterable[int]) -> None:
        for sector in sectors:
            start = sector * _SECTOR
            os.pwrite(self._descriptor, self._sectors[sector][: self.size - start], start)


class Disk(apsw.VFS):
    """All databases and logs that this process opens."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.chance = random.Random()
        #: Inode → whether it is a log.
        self._files: dict[tuple[int, int], bool] = {}
        self._images: dict[tuple[int, int], Image] = {}
        self._opening = threading.Lock()
        super().__init__("proof", _TRUE, makedefault=True)
        os.fsync, os.fdatasync = self._by_descriptor(os.fsync), self._by_descriptor(os.fdatasync)  # type: ignore[assignment]

    @property
    def medium(self) -> int:
        return self._switches.medium

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if not flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL):
            return apsw.VFSFile(_TRUE, name, flags)
        return File(self, name, flags)

    def known(self, path: str, *, log: bool) -> Image | None:
        """A file that is open now. None: it is kept as the kernel keeps it."""
        key = _key(os.stat(path))
        with self._opening:
            self._files[key] = log
            if self.medium == Medium.TRUE:
                return None
            if key not in self._images:
                self._images[key] = Image(path, self)
            return self._images[key]

    # What is asked of it ---------------------------------------------------------------------------------------------

    def before_write(self) -> None:
        self._switches.writes += 1
        if self._switches.disk == Fault.FULL:
            raise apsw.FullError("told to be full")
        if self._switches.disk == Fault.WRITE:
            raise apsw.IOError("told to fail")

    def before_read(self) -> None:
        if self._switches.disk == Fault.READ:
            raise apsw.IOError("told to fail")

    def sync(self, image: Image | None, true: Callable[[], None], *, log: bool) -> bool:
        """False where it fails. A disk that hangs does it here."""
        switches = self._switches
        switches.syncs += 1
        while switches.disk == Fault.HANG:
            time.sleep(0.01)
        once = Fault.SYNC_LOG_ONCE if log else Fault.SYNC_DATABASE_ONCE
        if switches.disk in (once, Fault.SYNC_LOG if log else Fault.SYNC_DATABASE):
            if switches.disk == once:
                switches.disk = Fault.NONE
            if image:
                image.fail()
            return False
        # What is in the file outlives kill -9, so an image needs no true sync.
        if image:
            image.sync()
        else:
            true()
        return True

    def _by_descriptor(self, true: Callable[[Any], None]) -> Callable[[Any], None]:
        """os.fsync and os.fdatasync."""

        def sync(descriptor: Any) -> None:
            key = _key(os.fstat(descriptor))
            if key not in self._files:
                true(descriptor)
            elif not self.sync(self._images.get(key), partial(true, descriptor), log=self._files[key]):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        return sync


class File(apsw.VFSFile):
    """One opening of a file. Locks and shared memory are SQLite's own."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__(_TRUE, name, flags)
        self._read_only = bool(flags[0] & apsw.SQLITE_OPEN_READONLY)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._image = disk.known(path, log=self._log)

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError:
            if not self._read_only:
                raise
            # SQLite asks for a lock that such a file cannot have, to see whether it is the last one, and takes any no
            # for an answer. apsw would raise it at whoever closes the connection, but for this one.
            raise apsw.BusyError("opened for reading") from None

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.before_read()
        return self._image.read(amount, offset) if self._image else super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.before_write()
        if self._image:
            self._image.write(data, offset)
        else:
            super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        if self._image:
            self._image.truncate(size)
        else:
            super().xTruncate(size)

    def xFileSize(self) -> int:
        return self._image.size if self._image else super().xFileSize()

    def xSync(self, flags: int) -> None:
        if not self._disk.sync(self._image, partial(super().xSync, flags), log=self._log):
            raise apsw.IOError("told to fail")


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
