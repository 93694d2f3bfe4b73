"""When the write-ahead log goes back into the database, so that it neither grows for ever nor holds anybody up.

Measured at 55,000 to 75,000 messages a second (25 to 34 MB/s of log), commits usually 0.3 ms: SQLite's own automatic
checkpoint makes the commit that reaches 4 MiB of log wait 5 to 7 ms, which is one in 90 and so the p99; at 16 MiB it
is one in 350, waiting 20 ms. A checkpoint from another thread costs commits nothing but the disk's time, yet under
load it never catches up with the end of the log, and only a log that is copied whole begins anew. So both: another
thread copies and syncs whenever some has come, and once in 32 MiB the writer copies what is left then, which takes it
0.5 to 1 ms.

The thread's sync is ours: SQLite syncs the database only when it has reached the end of the log, so without it all
32 MiB would wait for the writer (10 to 13 ms). It copies a part at a time because commits share the disk with it: in
one piece, the slowest message in a thousand waits 16 ms, in four pieces 8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import apsw

#: Pages of 4 KiB in the log after which it is to begin anew: 32 MiB.
EVERY = 8192
#: What the thread copies at once: 8 MiB.
STEP = 2048
#: What the writer may copy itself: a millisecond's worth.
_LITTLE = 128
#: How often the thread may try to come that near to the end before the writer does it all the same.
_PASSES = 4


class Checkpoints:
    """`committed` is the writer's; the copying thread runs from the first time that there is something to copy."""

    def __init__(self, db: apsw.Connection, connect: Callable[[], apsw.Connection], sync: Callable[[], None]) -> None:
        self._db = db
        self._connect = connect
        self._sync = sync
        self._failure: Exception | None = None
        # In pages: the log's end, what of it is in the database, and where it is to begin anew.
        self._pages = 0
        self._copied = 0
        self._end = EVERY
        # The same of where the thread was told to copy last.
        self._ordered = 0
        self._passes = 0
        self._copying = False
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        db.set_wal_hook(self._grew)

    def _grew(self, db: apsw.Connection, name: str, pages: int) -> int:
        if pages < self._pages:
            self._copied, self._end, self._passes, self._ordered = 0, EVERY, 0, 0
        self._pages = pages
        return apsw.SQLITE_OK

    @property
    def pages(self) -> int:
        """In the log after the last commit."""
        return self._pages

    def committed(self) -> None:
        """After each commit. Raises what the disk said, here or in the other thread."""
        if self._copying:
            return
        if self._failure:
            failure, self._failure = self._failure, None
            raise failure
        # More copied than there is: told by the thread after the log had begun anew.
        left = self._pages - (self._copied if self._copied <= self._pages else 0)
        if self._pages < self._end:
            # While somebody reads an old state nothing can be copied, and trying costs the more the longer the log is.
            if left >= STEP and self._pages - self._ordered >= STEP:
                self._order()
        elif left > _LITTLE and self._passes < _PASSES:
            self._passes += 1
            self._order()
        else:
            _, self._copied = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            # Complete: the next commit begins the log anew, and `_grew` sees it. Not complete, because somebody reads
            # an old state: tried again when the log has grown by as much again.
            self._end, self._passes = self._pages + EVERY, 0

    def close(self) -> None:
        if self._thread.ident:
            self._orders.put(False)
            self._thread.join()

    def _order(self) -> None:
        self._copying = True
        self._ordered = self._pages
        if not self._thread.ident:
            self._thread.start()
        self._orders.put(True)

    def _run(self) -> None:
        db = None
        while self._orders.get():
            try:
                db = db or self._connect()
                _, self._copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._sync()
            except (apsw.FullError, apsw.BusyError):
                pass  # The writer meets it too, if it lasts, and then refuses what it cannot keep.
            except (apsw.Error, OSError) as error:
                self._failure = error
            self._copying = False
        if db:
            db.close()
