"""What only the embedded engine can get wrong: the disk, the file, a crash, and how much work a question is."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw
import pytest

from pdu import MessageState
from smppbridge.lifecycle import Began, Settled
from smppbridge.model import Message, Stage
from smppbridge.store import checkpoint, ledger
from smppbridge.store.base import Duplicate, Filter, Store, StoreFailed, Verdict
from smppbridge.store.sqlite import SqliteStore

from .journey import walk

NOW = 1_750_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "smppbridge.db"


def refused(verdict: Verdict, says: str, *, temporary: bool) -> None:
    assert isinstance(verdict, StoreFailed)
    assert says in str(verdict)
    assert verdict.temporary is temporary


# The disk ------------------------------------------------------------------------------------------------------------


class Faults(apsw.VFS):
    """A disk that fails where it is told to: method, part of the file's name, and what SQLite is told."""

    name = "faulty"

    def __init__(self) -> None:
        self.fault: tuple[str, str, type[apsw.Error]] | None = None
        self.calls: list[str] = []
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self, name, flags)

    def check(self, method: str, file: str) -> None:
        self.calls.append(f"{method} {Path(file).name}")
        if self.fault and self.fault[0] == method and file.endswith(self.fault[1]):
            raise self.fault[2]("told to fail")


class FaultyFile(apsw.VFSFile):
    def __init__(self, faults: Faults, name: Any, flags: list[int]) -> None:
        self._faults = faults
        self._file = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._faults.check("read", self._file)
        return super().xRead(amount, offset)

    def xSync(self, flags: int) -> None:
        self._faults.check("sync", self._file)
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._faults.check("write", self._file)
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Faults]:
    faults = Faults()
    yield faults
    faults.unregister()


def test_nothing_is_acknowledged_before_it_is_synced(path: Path, nouns: Any, disk: Faults) -> None:
    async def road(store: Store) -> None:
        disk.calls.clear()
        assert await nouns.accept(store, nouns.message()) == [None]
        assert disk.calls[-1] == "sync smppbridge.db-wal"

    walk(SqliteStore(path, vfs=Faults.name), road)


@pytest.mark.parametrize("fault", ["sync", "write"])
def test_after_the_disk_failed_nothing_is_acknowledged_until_it_is_opened_anew(
    path: Path, nouns: Any, disk: Faults, fault: str
) -> None:
    before, lost, after = nouns.message(), nouns.message(), nouns.message()

    async def road(store: Store) -> None:
        assert await nouns.accept(store, before) == [None]
        disk.fault = (fault, "-wal", apsw.IOError)
        told: list[StoreFailed] = []
        store.when_failed(told.append)
        [verdict] = await nouns.accept(store, lost)
        refused(verdict, "look at the disk, then restart", temporary=False)
        # Whoever has to end the process hears of it first, and once.
        assert told == [verdict]
        assert told[0].uncertain
        disk.fault = None
        [verdict] = await nouns.accept(store, after)
        refused(verdict, "look at the disk", temporary=False)
        with pytest.raises(StoreFailed):
            await store.apply([Began(id=before.id, provider="smsc")], NOW)
        assert await store.find(before.id)
        assert await store.find(lost.id) is None
        assert len(told) == 1

    async def later(store: Store) -> None:
        # What the log has of the commit that failed counts: its last page was written before the sync.
        kept = {before.id} | ({lost.id} if fault == "sync" else set())
        assert {message.id for message in await store.list(Filter())} == kept
        assert (await store.stats()).waiting == len(kept)
        assert await store.last_id() == max(kept)
        assert await nouns.accept(store, after) == [None]

    walk(SqliteStore(path, vfs=Faults.name), road)
    walk(SqliteStore(path), later)


def test_a_full_disk_refuses_and_the_next_batch_tries_again(path: Path, nouns: Any, disk: Faults) -> None:
    lost, kept = nouns.message("same", duplicate_window=60_000), nouns.message("same", duplicate_window=60_000)

    async def road(store: Store) -> None:
        disk.fault = ("write", "-wal", apsw.FullError)
        verdicts = await nouns.accept(store, lost, nouns.message())
        for verdict in verdicts:
            refused(verdict, "no room left", temporary=True)
        with pytest.raises(StoreFailed, match="no room left"):
            await store.hold(nouns.part(1))
        disk.fault = None
        # What was refused is not the first of anything.
        assert await nouns.accept(store, kept) == [None]
        assert await store.last_id() == kept.id
        assert await store.find(lost.id) is None

    walk(SqliteStore(path, vfs=Faults.name), road)


def test_another_program_that_holds_the_lock_is_only_in_the_way_for_a_while(path: Path, nouns: Any) -> None:
    async def road(store: Store) -> None:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        [verdict] = await nouns.accept(store, nouns.message())
        refused(verdict, "locked by another program", temporary=True)
        other.execute("ROLLBACK")
        other.close()
        assert await nouns.accept(store, nouns.message()) == [None]

    walk(SqliteStore(path), road)


def test_changes_that_the_disk_refused_have_not_happened(path: Path, nouns: Any, disk: Faults) -> None:
    message = nouns.message()
    settle = Settled(id=message.id, state=MessageState.DELIVERED, reason="test")

    async def road(store: Store) -> None:
        await nouns.accept(store, message)
        disk.fault = ("write", "-wal", apsw.FullError)
        with pytest.raises(StoreFailed):
            await store.apply([Began(id=message.id, provider="smsc")], NOW)
        with pytest.raises(StoreFailed):
            await store.apply([settle], NOW)
        disk.fault = None
        assert (await store.stats()).outbox == {}
        [applied] = await store.apply([settle], NOW)
        assert applied.ended
        assert applied.message is not None
        assert applied.message.progress.attempts == 0
        assert [receipt.message.id for receipt in await store.receipts("demo", 0, 10)] == [message.id]

    walk(SqliteStore(path, vfs=Faults.name), road)


def take_away(file: Path, replaced: bool) -> None:
    before = file.read_bytes()
    file.unlink()
    if replaced:
        file.write_bytes(before)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_acknowledged_that_goes_into_a_file_without_a_name(
    path: Path, nouns: Any, suffix: str, replaced: bool
) -> None:
    file = Path(f"{path}{suffix}")

    async def road(store: Store) -> None:
        told: list[StoreFailed] = []
        store.when_failed(told.append)
        assert await nouns.accept(store, nouns.message()) == [None]
        await asyncio.to_thread(take_away, file, replaced)
        [verdict] = await nouns.accept(store, nouns.message())
        refused(verdict, f"{file} was deleted or replaced", temporary=False)
        assert told == [verdict]
        assert told[0].uncertain

    walk(SqliteStore(path), road)


def test_a_checkpoint_that_fails_ends_the_store_too(
    path: Path, nouns: Any, disk: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 4)
    monkeypatch.setattr(checkpoint, "STEP", 2)

    async def road(store: Store) -> None:
        told: list[StoreFailed] = []
        store.when_failed(told.append)
        disk.fault = ("sync", ".db", apsw.IOError)
        for _ in range(1000):
            [verdict] = await nouns.accept(store, nouns.message())
            if verdict:
                break
        refused(verdict, "look at the disk", temporary=False)
        # What was committed by then is in the log.
        assert told == [verdict]
        assert not told[0].uncertain

    walk(SqliteStore(path, vfs=Faults.name), road)


def test_what_the_gateway_works_from_and_cannot_read_ends_the_store(path: Path, nouns: Any, disk: Faults) -> None:
    message = nouns.message(stage=Stage.WAITING)

    async def road(store: Store) -> None:
        told: list[StoreFailed] = []
        store.when_failed(told.append)
        assert await nouns.accept(store, message) == [None]
        disk.fault = ("read", "", apsw.IOError)
        # Whoever asks for one message is answered so, and everything else goes on.
        with pytest.raises(StoreFailed, match="look at the disk"):
            await store.find_all(message.id)
        assert told == []
        with pytest.raises(StoreFailed, match="look at the disk") as failed:
            await store.claim(NOW, {"demo": 1})
        disk.fault = None
        [verdict] = await nouns.accept(store, nouns.message())
        assert told == [failed.value] == [verdict]
        assert not told[0].uncertain

    async def later(store: Store) -> None:
        assert [one.id for one in await store.claim(NOW, {"demo": 1})] == [message.id]

    walk(SqliteStore(path, vfs=Faults.name), road)
    walk(SqliteStore(path), later)


# Mistakes of ours ----------------------------------------------------------------------------------------------------


def test_a_mistake_in_one_piece_of_work_fails_that_piece_alone(path: Path, nouns: Any) -> None:
    first, twice, last = nouns.message(), nouns.message(), nouns.message()
    unwritable = nouns.message(source="\ud800")

    async def road(store: Store) -> None:
        verdicts = await nouns.accept(store, first, twice, unwritable, nouns.message(id=twice.id), last)
        assert [verdict is None for verdict in verdicts] == [True, True, False, False, True]
        refused(verdicts[2], "a mistake of the program", temporary=False)
        refused(verdicts[3], "a mistake of the program", temporary=False)
        assert len(await store.list(Filter())) == 3

    walk(SqliteStore(path), road)


def test_one_who_stops_listening_does_not_stop_the_others(path: Path, nouns: Any) -> None:
    def broken(batch: Sequence[tuple[Message, Verdict]]) -> None:
        raise RuntimeError("a mistake in a session")

    async def road(store: Store) -> None:
        seen: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        asked = asyncio.ensure_future(store.claim(NOW, {"demo": 1}))
        store.accept(nouns.message(), broken)
        await asyncio.sleep(0)
        asked.cancel()
        assert await nouns.accept(store, nouns.message()) == [None]
        assert [str(context["exception"]) for context in seen] == ["a mistake in a session"]

    walk(SqliteStore(path), road)


# Turns ---------------------------------------------------------------------------------------------------------------


def test_work_of_every_sort_is_done_in_the_order_of_the_calls(path: Path, nouns: Any) -> None:
    """In whichever turns it is done, and wherever: what is at hand in the loop, `purge` in the thread."""
    done: list[str] = []

    def arrived(name: str) -> Callable[[Sequence[tuple[Message, Verdict]]], None]:
        return lambda batch: done.extend([name] * len(batch))

    async def say(name: str, work: Any) -> None:
        await work
        done.append(name)

    async def road(store: Store) -> None:
        asked = []
        for name in "abc":
            for _ in range(300):
                store.accept(nouns.message(), arrived(name))
            asked.append(asyncio.ensure_future(say(f"purge {name}", store.purge(NOW, 1))))
            await asyncio.sleep(0)
        store.accept(nouns.message(), arrived("last"))
        await asyncio.gather(*asked)
        await nouns.accept(store, nouns.message())
        assert [name for name, _ in groupby(done)] == ["a", "purge a", "b", "purge b", "c", "purge c", "last"]

    walk(SqliteStore(path), road)


@pytest.mark.parametrize(("count", "in_the_loop"), [(512, True), (513, False)])
def test_more_than_a_batch_at_once_does_not_hold_up_the_loop(
    path: Path, nouns: Any, monkeypatch: pytest.MonkeyPatch, count: int, in_the_loop: bool
) -> None:
    accept, threads = ledger.Ledger.accept, list[threading.Thread]()

    def watched(self: ledger.Ledger, messages: Sequence[Message]) -> list[Duplicate | None]:
        threads.append(threading.current_thread())
        return accept(self, messages)

    monkeypatch.setattr(ledger.Ledger, "accept", watched)

    async def road(store: Store) -> None:
        messages = [nouns.message() for _ in range(count)]
        assert list(await store.accept_many(messages, nouns.message().id)) == [None] * count
        assert [thread is threading.current_thread() for thread in threads] == [in_the_loop]

    walk(SqliteStore(path), road)


# A crash -------------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, pathlib, sys
from smppbridge.ids import IdGenerator
from smppbridge.model import Kind, Message, Notify, Progress, Sms, Stage
from smppbridge.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(pathlib.Path(sys.argv[1]))
    await store.open()
    ids = IdGenerator(last=await store.last_id())
    def submit():
        id = ids.next()
        store.accept(Message(
            id=id, account="demo", bind=1, sequence=1, kind=Kind.SMS, command=Sms(text=str(id)), source="s",
            source_ton=0, source_npi=0, destination="1", destination_ton=0, destination_npi=0, priority=0,
            registered_delivery=1, notify=Notify.SMPP, data_coding=0, pdu=b"pdu", accepted_at=1, expires=2), arrived)
    def arrived(batch):
        print(*(message.id for message, verdict in batch if verdict is None), flush=True)
        for _ in batch:
            submit()
    for _ in range(50):
        submit()
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill_exactly_once(path: Path) -> None:
    acknowledged: list[int] = []
    for cycle in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        # Killed in the middle of whatever it does after so many lines.
        lines = [child.stdout.readline() for _ in range(20 + 15 * cycle)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().split("\n")[:-1]
        child.wait()
        child.stdout.close()
        acknowledged += [int(id) for line in lines for id in line.split()]

        async def road(store: Store) -> list[int]:
            return [message.id for message in await store.list(Filter(limit=1_000_000))]

        stored = walk(SqliteStore(path), road)
        assert len(stored) == len(set(stored))
        assert len(acknowledged) == len(set(acknowledged))
        assert set(acknowledged) <= set(stored)


# How much work a question is -----------------------------------------------------------------------------------------


def test_counts_and_memory_of_messages_under_way_stay_bounded(path: Path, nouns: Any) -> None:
    messages = [nouns.message() for _ in range(300)]

    async def road(store: Store) -> None:
        await nouns.accept(store, *messages)
        # Changed from memory, and after it has let go of them from the disk: with the same outcome.
        for message in messages:
            [applied] = await store.apply([Began(id=message.id, provider="smsc")], NOW)
            assert applied.message is not None
            assert applied.message.progress.attempts == 1
        assert (await store.stats()).in_flight == 300

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "_LIVE", 10)
        walk(SqliteStore(path), road)
