"""The file of the embedded store: whose it is, and what is said about one that cannot be taken."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from smppbridge.model import Stage
from smppbridge.store import database
from smppbridge.store.base import Store, StoreFailed
from smppbridge.store.sqlite import SqliteStore

from .journey import walk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "smppbridge.db"


async def nothing(store: Store) -> None:
    pass


def test_nobody_else_may_read_what_is_stored(path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        await nouns.accept(store, nouns.message())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        names = ("smppbridge.db", "smppbridge.db-shm", "smppbridge.db-wal", "smppbridge.db.lock")
        assert modes == dict.fromkeys(names, 0o600)

    walk(SqliteStore(path), road)


def test_a_second_process_is_refused(path: Path) -> None:
    program = f"""
import asyncio, pathlib
from smppbridge.store.sqlite import SqliteStore
try:
    asyncio.run(SqliteStore(pathlib.Path({str(path)!r})).open())
except Exception as error:
    print(type(error).__name__, error)
"""

    async def road(store: Store) -> None:
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
        said, _ = await other.communicate()
        assert said.decode() == f"StoreFailed {path} is in use by process {os.getpid()}; stop it first\n"
        with pytest.raises(StoreFailed, match="in use by process"):
            await SqliteStore(path).open()

    walk(SqliteStore(path), road)
    walk(SqliteStore(path), nothing)


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("these are my notes, do not overwrite them\n" * 100)
    with pytest.raises(StoreFailed, match="is not a database: choose another path"):
        walk(SqliteStore(path), nothing)
    assert path.read_text().startswith("these are my notes")


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="a database of another program"):
        walk(SqliteStore(path), nothing)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(path: Path) -> None:
    walk(SqliteStore(path), nothing)
    db = apsw.Connection(str(path))
    db.pragma("user_version", 999)
    db.close()
    with pytest.raises(StoreFailed, match="has schema 999, this version of smppbridge knows schemas up to"):
        walk(SqliteStore(path), nothing)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_nothing_of_a_newer_database_is_touched(path: Path, nouns: Any, mode: str) -> None:
    """Neither its header nor what its program has left in the log: that one may know better."""
    walk(SqliteStore(path), lambda store: nouns.accept(store, nouns.message()))
    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.pragma("user_version", 999)
    db.pragma("journal_mode", mode)
    db.close()
    names = (path, path.with_name(path.name + "-wal"))
    before = [file.read_bytes() if file.exists() else b"" for file in names]
    assert bool(before[1]) is (mode == "wal")
    with pytest.raises(StoreFailed, match="has schema 999"):
        walk(SqliteStore(path), nothing)
    assert [file.read_bytes() if file.exists() else b"" for file in names] == before


def crashed(path: Path, nouns: Any) -> Path:
    """A database as a crash leaves it; its log, in which everything is."""

    async def road(store: Store) -> None:
        await nouns.accept(store, nouns.message())
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.copy")

    walk(SqliteStore(path), road)
    for suffix in ("", "-wal"):
        Path(f"{path}{suffix}.copy").rename(f"{path}{suffix}")
    return Path(f"{path}-wal")


def test_a_log_that_sqlite_would_pass_over_is_refused(path: Path, nouns: Any) -> None:
    log = crashed(path, nouns)
    before = log.read_bytes()
    log.write_bytes(b"\xff" * 32 + before[32:])
    with pytest.raises(StoreFailed, match=r"smppbridge\.db-wal is damaged.*restore a backup"):
        walk(SqliteStore(path), nothing)
    # What a power cut leaves of one that was just begun, and what it leaves of any other.
    for whole in (bytes(32) + before[32:], before):
        log.write_bytes(whole)
        walk(SqliteStore(path), nothing)


def test_the_log_of_a_database_that_is_gone_is_not_deleted(path: Path, nouns: Any) -> None:
    log = crashed(path, nouns)
    before = log.read_bytes()
    path.rename(path.with_name("elsewhere"))
    for _ in range(2):
        with pytest.raises(StoreFailed, match="put the file back"):
            walk(SqliteStore(path), nothing)
    assert log.read_bytes() == before
    path.with_name("elsewhere").rename(path)

    async def road(store: Store) -> None:
        assert (await store.stats()).waiting == 1

    walk(SqliteStore(path), road)


def test_what_was_in_a_file_that_is_gone_is_rescued(path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        assert await nouns.accept(store, nouns.message()) == [None]
        os.unlink(path)
        assert await nouns.accept(store, nouns.message()) != [None]

    walk(SqliteStore(path), road)
    [rescued] = path.parent.glob("*.rescued-*")
    assert rescued.stat().st_mode & 0o777 == 0o600

    async def later(store: Store) -> None:
        assert (await store.stats()).waiting >= 1

    walk(SqliteStore(rescued), later)


def test_a_log_that_was_deleted_is_copied_into_the_database_first(path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        assert await nouns.accept(store, nouns.message()) == [None]
        os.unlink(f"{path}-wal")
        assert await nouns.accept(store, nouns.message()) != [None]

    walk(SqliteStore(path), road)

    async def later(store: Store) -> None:
        assert (await store.stats()).waiting >= 1

    walk(SqliteStore(path), later)


@pytest.fixture
def link(path: Path) -> Path:
    """Another name of the store, as an operator makes it who has moved the file to a larger disk."""
    walk(SqliteStore(path), nothing)
    link = path.parent.with_name("link.db")
    link.symlink_to(path)
    return link


def test_a_log_that_was_deleted_is_noticed_by_whoever_came_over_a_link(path: Path, link: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        assert await nouns.accept(store, nouns.message()) == [None]
        os.unlink(f"{path}-wal")
        assert await nouns.accept(store, nouns.message()) != [None]

    walk(SqliteStore(link), road)

    async def later(store: Store) -> None:
        assert (await store.stats()).waiting >= 1

    walk(SqliteStore(path), later)


def test_a_link_that_is_changed_meanwhile_is_noticed(path: Path, link: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        os.unlink(link)
        os.symlink(f"{path}.moved", link)
        assert await nouns.accept(store, nouns.message()) != [None]

    walk(SqliteStore(link), road)


def test_by_whatever_name_there_is_one_lock(path: Path, link: Path) -> None:
    async def road(store: Store) -> None:
        for name in (path, link):
            with pytest.raises(StoreFailed, match=f"is in use by process {os.getpid()}"):
                await SqliteStore(name).open()

    walk(SqliteStore(link), road)
    walk(SqliteStore(path), road)


def test_a_damaged_database_says_what_to_do(path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        await nouns.accept(store, *(nouns.message(stage=Stage.WAITING, pdu=bytes(200)) for _ in range(200)))

    walk(SqliteStore(path), road)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreFailed, match=r"is damaged .*restore a backup"):
        walk(SqliteStore(path), nothing)
    # The lock is given back, so that the repaired file can be opened.
    path.unlink()
    walk(SqliteStore(path), nothing)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="cannot be made"):
        walk(SqliteStore(tmp_path / "file" / "var" / "smppbridge.db"), nothing)


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match=r"is a folder: \[store\] path has to name a file in it"):
        walk(SqliteStore(tmp_path), nothing)


def test_migrations_are_numbered_without_a_gap() -> None:
    folder = Path(database.__file__).parent / "migrations"
    numbers = [int(file.name[:4]) for file in sorted(folder.glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(database.migrations()) == len(numbers)


def test_each_migration_is_applied_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(SqliteStore(path), nothing)
    known = database.migrations()
    monkeypatch.setattr(database, "migrations", lambda: [*known, "CREATE TABLE later (x)"])
    walk(SqliteStore(path), nothing)
    walk(SqliteStore(path), nothing)
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == len(known) + 1
    db.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(SqliteStore(path), nothing)
    known = database.migrations()
    monkeypatch.setattr(database, "migrations", lambda: [*known, "CREATE TABLE later (x); SELECT nonsense"])
    with pytest.raises(StoreFailed, match="a mistake of the program"):
        walk(SqliteStore(path), nothing)
    monkeypatch.undo()
    walk(SqliteStore(path), nothing)
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == len(known)
    assert not db.table_exists(None, "later")
    db.close()


def test_every_commit_is_synced(path: Path) -> None:
    database.prepare(path)
    db = database.connect(path, cache=1000, write=True)
    assert (db.pragma("journal_mode"), db.pragma("synchronous")) == ("wal", 2)
    db.close()


#: A message as schema 2 kept it.
OF_SCHEMA_2 = """
INSERT INTO message (id, account, stage, bind, sequence, kind, command, source, source_ton, source_npi, destination,
    destination_ton, destination_npi, priority, registered_delivery, notify, data_coding, pdu, accepted_at, expires,
    duplicate_window, state, due)
VALUES (?, ?, ?, 1, 1, 'sms', '{"kind":"sms","text":"t"}', 'a', 1, 1, 'b', 1, 1, 0, 1, 1, 0, x'00', 1, 9, 0, 1, 1)
"""


def test_a_database_of_the_version_before_goes_on_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = database.migrations()
    database.prepare(path)
    old = database.connect(path, cache=256, write=True)
    with monkeypatch.context() as before:
        before.setattr(database, "migrations", lambda: known[:2])
        database.migrate(old, path)
    for id, account, stage in ((1, "demo", 0), (2, "demo", 1), (3, "other", 2), (4, "demo", 5)):
        old.execute(OF_SCHEMA_2, (id, account, stage))
    old.close()

    async def main() -> None:
        store = SqliteStore(path, clock=lambda: 2)
        await store.open()
        assert (await store.stats()).unsent == {"demo": 2, "other": 1}
        assert [message.id for message in await store.find_all(4)] == [4]
        assert list(await store.reachable(["b"], 2)) == []
        await store.close()

    asyncio.run(main())
