"""When the write-ahead log goes back into the database, so that it neither grows for ever nor holds anybody up.

Measured at 55,000 messages a second (25 MB/s of log), 50 a commit, commits usually 0.3 ms: SQLite's own automatic
checkpoint makes the commit that reaches 4 MiB of log wait 5 to 7 ms, which is one in 90 and so the p99; at 16 MiB it
is one in 350, waiting 20 ms. A checkpoint from another thread costs commits nothing but the disk's time, yet under
load it never catches up with the end of the log, and only a log that is copied whole begins anew. So both: another
thread copies what there is and syncs the database, again while much has come meanwhile, and then the writer copies the
little rest itself. With 32 MiB between two of them that is one commit in a thousand, and it waits 0.5 to 1 ms.

The sync in between is ours: SQLite syncs the database only when it has reached the end of the log, so without it the
whole 32 MiB would wait for the writer (10 to 13 ms were measured).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import apsw

#: Pages of 4 KiB in the log that call for a checkpoint: 32 MiB.
EVERY = 8192
#: What the writer may copy itself: a millisecond's worth.
_LITTLE = 128
_PASSES = 4


class Checkpoints:
    """`committed` is the writer's; the copying thread runs only while there is something to copy."""

    def __init__(self, db: apsw.Connection, connect: Callable[[], apsw.Connection], sync: Callable[[], None]) -> None:
        self._db = db
        self._connect = connect
        self._sync = sync
        self._pages = 0
        self._at = EVERY
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        db.set_wal_hook(self._grew)

    def _grew(self, db: apsw.Connection, name: str, pages: int) -> int:
        if pages < self._pages:
            self._at = EVERY
        self._pages = pages
        return apsw.SQLITE_OK

    @property
    def pages(self) -> int:
        """In the log after the last commit."""
        return self._pages

    def committed(self) -> None:
        """After each commit. Raises what the disk said, here or in the other thread."""
        if self._pages < self._at:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._copy, name="checkpoint", daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            self._thread = None
            if self._failure:
                failure, self._failure = self._failure, None
                raise failure
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            # Complete: the next commit begins the log anew, and `_grew` sees it. Not complete, because somebody reads
            # an old state: tried again when the log has grown by as much again.
            self._at = self._pages + EVERY

    def close(self) -> None:
        if self._thread:
            self._thread.join()

    def _copy(self) -> None:
        try:
            db = self._connect()
            try:
                for _ in range(_PASSES):
                    _, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                    self._sync()
                    if self._pages - copied < _LITTLE:
                        break
            finally:
                db.close()
        except (apsw.FullError, apsw.BusyError):
            pass  # The writer meets it too, if it lasts, and then refuses what it cannot keep.
        except (apsw.Error, OSError) as error:
            self._failure = error
