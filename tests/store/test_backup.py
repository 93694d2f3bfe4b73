"""Copies of the store: whole, of one moment, and nothing where that cannot be."""

from __future__ import annotations

import asyncio
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from smppbridge.lifecycle import Began, Handed
from smppbridge.model import Stage
from smppbridge.store import backup, database
from smppbridge.store.base import Store, StoreFailed

from .journey import quiet, walk

#: More than one step of the copy.
MANY = 5000


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def path(tmp_path: Path, nouns: Any) -> Path:
    """A store with one message of each sort; it does not run."""
    path = tmp_path / "var" / "smppbridge.db"

    async def fill(store: Store) -> None:
        waiting, sent = nouns.message(stage=Stage.WAITING), nouns.message()
        await nouns.accept(store, waiting, sent)
        await store.apply([Began(id=sent.id, provider="p"), Handed(id=sent.id, provider="p", ref="r", look_at=1)], 1)
        await store.hold(nouns.part(1))

    walk(path, fill)
    return path


def test_a_copy_has_everything_and_its_figures(path: Path, tmp_path: Path) -> None:
    shares: list[tuple[str, float]] = []
    target = tmp_path / "copy.db"
    contents, as_of = backup.copy(path, target, lambda *told: shares.append(told))
    assert (contents.messages, contents.unsent, contents.with_provider, contents.parts) == (2, 1, 1, 1)
    assert contents.schema == len(database.migrations())
    assert contents.octets == target.stat().st_size
    assert as_of > 1_700_000_000_000
    assert shares[0] == ("copying", 1)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert names(tmp_path) == {"var", "copy.db"}

    async def road(store: Store) -> None:
        assert (await store.stats()).waiting == 1

    walk(target, road)


def test_a_copy_is_of_the_moment_that_it_began(path: Path, tmp_path: Path, nouns: Any) -> None:
    """What is committed while it is made is not in it, whole or in part, and is not held up by it."""

    async def road(store: Store) -> None:
        await nouns.accept(store, *(nouns.message(stage=Stage.WAITING, pdu=bytes(2000)) for _ in range(MANY)))
        steps: list[float] = []

        def meanwhile(what: str, share: float) -> None:
            if what == "copying":
                steps.append(share)
                more = apsw.Connection(str(path))
                more.execute("UPDATE message SET comment = 'later'")
                more.close()

        contents, _ = await asyncio.to_thread(backup.copy, path, tmp_path / "copy.db", meanwhile)
        assert len(steps) > 1
        assert contents.messages == MANY + 2

    walk(path, road)
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    assert copy.execute("SELECT count(*) FROM message WHERE comment = 'later'").get == 0
    copy.close()


def test_what_a_crash_left_in_the_log_is_copied(path: Path, tmp_path: Path) -> None:
    program = """
import apsw, os, sys
db = apsw.Connection(sys.argv[1])
db.execute("UPDATE message SET comment = 'in the log'")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program, path], check=False)
    assert path.with_name("smppbridge.db-wal").stat().st_size
    backup.copy(path, tmp_path / "copy.db", quiet)
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    assert copy.execute("SELECT DISTINCT comment FROM message").get == "in the log"
    copy.close()


def test_a_copy_can_be_read_where_nothing_can_be_written(path: Path, tmp_path: Path) -> None:
    backup.copy(path, tmp_path / "copy.db", quiet)
    assert (tmp_path / "copy.db").read_bytes()[18:20] == b"\x01\x01", "not in WAL mode"


@pytest.mark.parametrize("moment", ["copying", "checking"])
def test_who_has_enough_leaves_nothing_behind(
    path: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_LOOK", 10)

    def enough(what: str, share: float) -> None:
        if what == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.copy(path, tmp_path / "copy.db", enough)
    assert names(tmp_path) == {"var"}


def test_nothing_is_written_over(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(StoreFailed, match="is there already"):
        backup.copy(path, target, quiet)
    target.unlink()

    def meanwhile(what: str, share: float) -> None:
        target.write_text("mine")

    with pytest.raises(StoreFailed, match="is there already"):
        backup.copy(path, target, meanwhile)
    assert target.read_text() == "mine"
    assert names(tmp_path) == {"var", "copy.db"}


def test_a_disk_that_becomes_full_is_told_and_leaves_no_half_copy(path: Path, tmp_path: Path) -> None:
    def full(what: str, share: float) -> None:
        raise apsw.FullError("database or disk is full")

    with pytest.raises(StoreFailed, match=r"no room left on the disk for .*copy\.db"):
        backup.copy(path, tmp_path / "copy.db", full)
    assert names(tmp_path) == {"var"}


def test_a_disk_without_room_is_not_filled_up(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "_SPARE", 2**60)
    with pytest.raises(StoreFailed, match=r"no room left on the disk for .*: it takes \d+ MiB, and \d+ MiB are free"):
        backup.copy(path, tmp_path / "copy.db", quiet)
    assert names(tmp_path) == {"var"}


def test_a_write_that_fails_leaves_no_half_copy(path: Path, tmp_path: Path) -> None:
    """A limit on the size of files: the kernel fails the write, as a broken disk does."""
    program = f"""
import pathlib, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from smppbridge.store import backup
try:
    backup.copy(pathlib.Path({str(path)!r}), pathlib.Path({str(tmp_path / "copy.db")!r}), lambda *told: None)
except Exception as error:
    print(type(error).__name__)
"""
    limit = 65536
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert ended.stdout == "StoreFailed\n", ended.stderr
    assert names(tmp_path) == {"var"}


def test_a_store_of_a_newer_version_is_refused(path: Path, tmp_path: Path) -> None:
    db = apsw.Connection(str(path))
    db.pragma("user_version", 999)
    db.close()
    with pytest.raises(StoreFailed, match="has schema 999"):
        backup.copy(path, tmp_path / "copy.db", quiet)
    assert names(tmp_path) == {"var"}


def test_a_store_of_an_older_version_is_copied_as_it_is(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    db = apsw.Connection(str(old))
    db.execute(database.migrations()[0]).fetchall()
    db.pragma("user_version", 1)
    db.close()
    contents, _ = backup.copy(old, tmp_path / "copy.db", quiet)
    assert contents.schema == 1


def test_a_damaged_store_is_told(path: Path, tmp_path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        await nouns.accept(store, *(nouns.message(stage=Stage.WAITING, pdu=bytes(200)) for _ in range(200)))

    walk(path, road)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 20000)
    with pytest.raises(StoreFailed, match=rf"^{path} is damaged"):
        backup.copy(path, tmp_path / "copy.db", quiet)
    assert names(tmp_path) == {"var"}


@pytest.mark.parametrize("content", [b"", b"my notes\n" * 1000])
def test_what_is_no_store_is_told(tmp_path: Path, content: bytes) -> None:
    notes = tmp_path / "notes"
    notes.write_bytes(content)
    with pytest.raises(StoreFailed, match=r"is empty|is not a database"):
        backup.copy(notes, tmp_path / "copy.db", quiet)
    assert names(tmp_path) == {"notes"}
