from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from smppbridge.store import checkpoint, database
from smppbridge.store.checkpoint import Checkpoints

EVERY = 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "smppbridge.db"
    database.prepare(path)
    return path


@pytest.fixture
def db(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[apsw.Connection]:
    monkeypatch.setattr(checkpoint, "EVERY", EVERY)
    monkeypatch.setattr(checkpoint, "STEP", EVERY // 4)
    monkeypatch.setattr(checkpoint, "_LITTLE", 2)
    db = database.connect(path, cache=1000, write=True)
    db.execute("CREATE TABLE t (x)")
    yield db
    db.close()


def commit_page(db: apsw.Connection) -> None:
    db.execute("INSERT INTO t VALUES (zeroblob(4096))")


def copying(path: Path) -> apsw.Connection:
    return database.connect(path, cache=100, write=True)


def nothing() -> None:
    pass


def test_the_log_begins_anew_while_there_is_always_more(db: apsw.Connection, path: Path) -> None:
    checkpoints = Checkpoints(db, lambda: copying(path), nothing)
    seen = []
    for _ in range(2000):
        commit_page(db)
        checkpoints.committed()
        seen.append(checkpoints.pages)
    checkpoints.close()
    starts = [pages for before, pages in pairwise(seen) if pages < before]
    assert len(starts) > 3
    assert db.execute("SELECT count(*) FROM t").get == 2000


def test_somebody_who_reads_an_old_state_only_delays_it(db: apsw.Connection, path: Path) -> None:
    checkpoints = Checkpoints(db, lambda: copying(path), nothing)
    reader = database.connect(path, cache=100)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").get == 0
    for _ in range(EVERY * 5):
        commit_page(db)
        checkpoints.committed()
    assert checkpoints.pages > EVERY * 5
    reader.execute("COMMIT")
    reader.close()
    for _ in range(EVERY * 20):
        commit_page(db)
        checkpoints.committed()
    checkpoints.close()
    assert checkpoints.pages < EVERY * 20


def test_a_log_that_cannot_be_copied_is_not_tried_with_every_commit(db: apsw.Connection, path: Path) -> None:
    synced: list[None] = []
    checkpoints = Checkpoints(db, lambda: copying(path), lambda: synced.append(None))
    reader = database.connect(path, cache=100)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").get == 0
    for _ in range(EVERY * 5):
        commit_page(db)
        checkpoints.committed()
    reader.close()
    checkpoints.close()
    # Once in STEP pages, and a few times more each time that the log ought to begin anew; not once a commit.
    assert 10 < len(synced) < EVERY * 2


def test_what_the_disk_says_to_the_copying_thread_reaches_the_writer(db: apsw.Connection) -> None:
    def broken() -> apsw.Connection:
        raise apsw.IOError("told to fail")

    checkpoints = Checkpoints(db, broken, nothing)

    def work() -> None:
        while True:
            commit_page(db)
            checkpoints.committed()

    with pytest.raises(apsw.IOError, match="told to fail"):
        work()
    checkpoints.close()


def test_a_sync_that_fails_reaches_the_writer_too(db: apsw.Connection, path: Path) -> None:
    def failing() -> None:
        raise OSError(5, "Input/output error")

    checkpoints = Checkpoints(db, lambda: copying(path), failing)

    def work() -> None:
        while True:
            commit_page(db)
            checkpoints.committed()

    with pytest.raises(OSError, match="Input/output error"):
        work()
    checkpoints.close()


def test_a_full_disk_is_left_for_the_writer_to_meet(db: apsw.Connection) -> None:
    def full() -> apsw.Connection:
        raise apsw.FullError("told to fail")

    checkpoints = Checkpoints(db, full, nothing)
    for _ in range(EVERY * 3):
        commit_page(db)
        checkpoints.committed()
    checkpoints.close()
