"""A backup in the place of the store: nothing of it is sent again, and nothing of what was there is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from pdu import MessageState
from smppbridge.lifecycle import Began, Doubted, Handed, Settled
from smppbridge.model import Message, Onward, Stage
from smppbridge.store import backup, database
from smppbridge.store.base import FIRST, Filter, Store, StoreFailed
from smppbridge.store.restore import Restored, restore

from .journey import quiet, walk

NOW = 1_790_000_000_000
END = Settled(state=MessageState.UNKNOWN, err=245, reason="a backup was restored")


def put_back(path: Path, *, end: Settled | None = END, now: int = NOW) -> Restored:
    return restore(path.with_name("copy.db"), path, end=end, now=now, tell=quiet)


def write_into_the_log(path: Path) -> None:
    """Something that stands in the log alone."""
    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("UPDATE message SET comment = 'in the log'")
    db.close()


@pytest.fixture
def path(tmp_path: Path, nouns: Any) -> Path:
    """A store, and a backup of it with a message in every stage, a cascade and held parts."""
    path = tmp_path / "store.db"

    async def fill(store: Store) -> None:
        waiting = nouns.message("waiting", stage=Stage.WAITING)
        ready, sending, doubt, sent, cascade = (
            nouns.message(text) for text in ("ready", "sending", "doubt", "sent", "cascade")
        )
        await nouns.accept(store, waiting, ready, sending, doubt, sent, cascade)
        await store.apply([Began(id=one.id, provider="p") for one in (sending, doubt, sent)], NOW)
        more: dict[str, Any] = {"leg_ends": NOW + 1000, "onward": Onward.ALWAYS, "channel": "viber"}
        await store.apply([Began(id=cascade.id, provider="p", **more)], NOW)
        await store.apply(
            [
                Doubted(id=doubt.id, provider="p", reason="cut off", look_at=NOW),
                Handed(id=sent.id, provider="p", ref="r1", look_at=NOW),
                Handed(id=cascade.id, provider="p", ref="r2", look_at=NOW),
            ],
            NOW,
        )
        await store.hold(nouns.part(1))
        for number in (1, 2):
            await store.hold(nouns.part(number, reference=78))

    walk(path, fill)
    backup.copy(path, tmp_path / "copy.db", quiet)
    return path


def by_text(messages: list[Message]) -> dict[str, Message]:
    return {message.command.text: message for message in messages}  # type: ignore[union-attr]


def test_what_no_provider_had_for_certain_ends_with_a_receipt(path: Path) -> None:
    done = put_back(path)
    assert done.ended == 4
    assert (done.contents.unsent, done.contents.with_provider, done.contents.outbox) == (0, 2, 4)

    async def road(store: Store) -> None:
        found = by_text(list(await store.list(Filter())))
        for text in ("waiting", "ready", "sending", "doubt"):
            progress = found[text].progress
            assert (progress.stage, progress.state, progress.err) == (Stage.FINAL, MessageState.UNKNOWN, 245)
            assert (await store.timeline(found[text].id))[-1].detail == "a backup was restored"
        assert found["sent"].progress.stage is Stage.SENT
        assert len(await store.receipts("demo", 0, 10)) == 4
        assert await store.to_be_asked(NOW * 2, FIRST, 10) != []
        assert await store.in_doubt(10) == []

    walk(path, road)


def test_no_further_leg_follows(path: Path) -> None:
    put_back(path)

    async def road(store: Store) -> None:
        message = by_text(list(await store.list(Filter())))["cascade"]
        assert (message.progress.stage, message.progress.onward) == (Stage.SENT, Onward.NO)
        [applied] = await store.apply([Settled(id=message.id, state=MessageState.UNDELIVERABLE, reason="no")], NOW)
        assert applied.ended

    walk(path, road)


def test_held_parts_never_become_a_message(path: Path, nouns: Any) -> None:
    put_back(path)

    async def road(store: Store) -> None:
        sets = await store.held_parts(NOW * 2, 10)
        assert sorted(len(parts) for parts in sets) == [1, 2]
        assert all(len(parts) < parts[0].total for parts in sets)
        assert {parts[0].announced for parts in sets} == {2}
        # Nor with what comes afterwards.
        assert not (await store.hold(nouns.part(2))).parts

    walk(path, road)


def test_a_whole_set_beside_one_that_is_longer_does_not_stop_it(tmp_path: Path, nouns: Any) -> None:
    path = tmp_path / "store.db"

    async def fill(store: Store) -> None:
        for number in (1, 2):
            await store.hold(nouns.part(number, reference=78))
        await store.hold(nouns.part(1, reference=78, total=3))

    walk(path, fill)
    backup.copy(path, tmp_path / "copy.db", quiet)
    put_back(path)

    async def road(store: Store) -> None:
        assert sorted(len(parts) for parts in await store.held_parts(NOW * 2, 10)) == [1, 2]

    walk(path, road)


def test_all_of_it_is_sent_where_that_is_wanted(path: Path) -> None:
    assert put_back(path, end=None).ended == 0

    async def road(store: Store) -> None:
        assert (await store.stats()).waiting == 2
        assert len(await store.in_doubt(10)) == 1
        assert [len(parts) for parts in await store.held_parts(1, 10)] == [2]

    walk(path, road)


def test_what_was_there_is_kept_with_its_log(path: Path, nouns: Any) -> None:
    later = nouns.message("later", stage=Stage.WAITING)
    walk(path, lambda store: nouns.accept(store, later))
    write_into_the_log(path)
    aside = put_back(path).aside
    assert aside is not None
    assert aside.name == "store.db.before-restore-20260921T141320Z"
    assert not path.with_name("store.db-wal").exists()
    db = apsw.Connection(str(aside))
    assert db.execute("SELECT count(*) FROM message WHERE comment = 'in the log'").get == 7
    db.close()
    # Nothing of that log has come into the new one, and no id is given again.
    db = apsw.Connection(str(path))
    assert db.execute("SELECT count(*), total(comment IS NOT NULL) FROM message").get == (6, 0)
    db.close()

    async def road(store: Store) -> None:
        assert await store.last_id() >= later.id

    walk(path, road)


#: Ends itself by SIGKILL before the so many-th time that a name changes, in the last step.
KILLED = """
import os, pathlib, signal, sys
from smppbridge.store import restore
left = int(sys.argv[2])
def look(event, values):
    global left
    if event in ("os.link", "os.rename", "os.remove"):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
path = pathlib.Path(sys.argv[1])
put_in_place = restore._put_in_place
def watched(*values):
    sys.addaudithook(look)
    return put_in_place(*values)
restore._put_in_place = watched
restore.restore(path.with_name("copy.db"), path, end=None, now=1_790_000_000_000, tell=lambda *told: None)
print("done")
"""


@pytest.mark.parametrize(("logged", "linked"), [(True, False), (False, False), (True, True)])
def test_a_crash_at_any_moment_leaves_the_old_store_or_the_new_or_what_is_refused(
    path: Path, logged: bool, linked: bool
) -> None:
    """Never the old one without its log, nor the new one with it."""
    if linked:
        (path.parent / "elsewhere").mkdir()
        place = path.parent / "elsewhere" / "real.db"
        path.rename(place)
        path.symlink_to(place)
    place = path.resolve()
    log = place.with_name(f"{place.name}-wal")
    write_into_the_log(place)
    if not logged:
        walk(path, lambda store: store.stats())
    assert log.exists() is logged
    before = {file: file.read_bytes() for file in (place, log) if file.exists()}
    ends: list[str] = []
    for moment in range(20):
        for file in [*place.parent.glob("*.before-restore-*"), *place.parent.glob(f"{place.name}-*")]:
            file.unlink()
        for file, octets in before.items():
            file.unlink(missing_ok=True)
            file.write_bytes(octets)
        said = subprocess.run(
            [sys.executable, "-c", KILLED, path, str(moment)], check=False, capture_output=True, text=True, timeout=60
        )
        if said.stdout == "done\n":
            break
        assert said.returncode == -signal.SIGKILL, said.stderr
        ends.append(_found(path))
    assert set(ends) >= ({"old", "refused", "new"} if logged else {"old", "new"})
    assert ends == sorted(ends, key=["old", "refused", "new"].index)


def _found(path: Path) -> str:
    """What a start takes up after a crash; what is refused is restored once more."""

    def taken_up() -> str:
        walk(path, lambda store: store.stats())
        db = apsw.Connection(str(path))
        [(messages, old)] = db.execute("SELECT count(*), total(comment = 'in the log') FROM message").fetchall()
        db.close()
        assert messages == 6
        assert old in (0, 6)
        return "old" if old else "new"

    place = path.resolve()
    if not database.is_stand_in(place.with_name(f"{place.name}-wal")):
        return taken_up()
    with pytest.raises(StoreFailed, match="run it again"):
        taken_up()
    aside = put_back(path, end=None, now=NOW + 1000).aside
    assert taken_up() == "new"
    # What was there is one store, under one name, with all that was in its log.
    assert aside is not None
    assert [one.name for one in place.parent.glob("*.before-restore-*Z")] == [aside.name]
    db = apsw.Connection(str(aside))
    assert db.execute("SELECT total(comment = 'in the log') FROM message").get == 6
    db.close()
    return "refused"


def test_what_fails_in_the_last_step_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is mounted in its place, as containers do, cannot be replaced."""
    write_into_the_log(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}
    rename = Path.rename

    def mounted(self: Path, target: Path) -> Path:
        if target == path:
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", mounted)
    with pytest.raises(StoreFailed, match="cannot be replaced, and stays as it was: Device or resource busy"):
        put_back(path)
    assert before == {file.name: file.read_bytes() for file in path.parent.iterdir() if file.name in before}
    assert {file.name for file in path.parent.iterdir()} - {"copy.db-wal", "copy.db-shm", "store.db-shm"} == {*before}


@pytest.mark.parametrize("there", [None, b"", b"broken" * 1000])
def test_a_store_that_is_gone_or_broken_does_not_matter(path: Path, there: bytes | None) -> None:
    path.unlink()
    if there is not None:
        path.write_bytes(there)
    done = put_back(path)
    assert done.ended == 4
    assert (done.aside.read_bytes() if done.aside else None) == there


def test_a_backup_of_an_older_version_is_brought_up_to_date(path: Path) -> None:
    copy = path.with_name("copy.db")
    copy.unlink()
    db = apsw.Connection(str(copy))
    db.execute(database.migrations()[0]).fetchall()
    db.pragma("user_version", 1)
    db.close()
    assert put_back(path).contents.schema == len(database.migrations())


def test_a_gateway_that_runs_is_not_disturbed(path: Path) -> None:
    async def road(store: Store) -> None:
        with pytest.raises(StoreFailed, match="is in use by process"):
            put_back(path)
        assert (await store.stats()).waiting == 2

    walk(path, road)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("damaged", "is damaged"),
        ("newer", "has schema 999"),
        ("missing", "there is no backup"),
        ("itself", "is the store itself"),
        ("enough", "^$"),
    ],
)
def test_what_cannot_be_restored_changes_nothing(path: Path, what: str, said: str) -> None:
    copy, tell = path.with_name("copy.db"), quiet
    match what:
        case "damaged":
            with copy.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * 20000)
        case "newer":
            db = apsw.Connection(str(copy))
            db.pragma("user_version", 999)
            db.close()
        case "missing":
            copy.unlink()
        case "itself":
            copy.unlink()
            copy.hardlink_to(path)
        case "enough":

            def tell(told: str, share: float) -> None:
                if told.startswith("ending"):
                    raise KeyboardInterrupt

    before, names = path.read_bytes(), {file.name for file in path.parent.iterdir()}
    with pytest.raises((StoreFailed, KeyboardInterrupt), match=said):
        restore(copy, path, end=END, now=NOW, tell=tell)
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} - {"copy.db-wal", "copy.db-shm"} == names
    walk(path, lambda store: store.stats())
