"""What the embedded store does alone, without sessions and providers: `python -m bench.store`.

Accepting is measured closed-loop (so many messages are under way at any time, each answer makes the next one), with the
rate, the time from call to durable verdict, and how many shared a commit. Work is a message's whole life in groups of
twenty. Then the same once more on top of many waiting messages, because the cost of a message must not depend on how
many wait.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from pdu import MessageState
from smppbridge.ids import IdGenerator, wall_clock
from smppbridge.lifecycle import Began, Handed, Reported
from smppbridge.model import Kind, Message, Millis, Notify, Progress, Sms, Stage, StatusReport
from smppbridge.store.base import Store, Verdict
from smppbridge.store.sqlite import SqliteStore

from .servers import STATE

#: Messages under way at once.
WINDOWS = (1, 10, 100, 1000)
_GROUP = 20
_HOUR = 3_600_000


class Source:
    """Messages that differ, as they come from `smppbridge.submission`."""

    def __init__(self, last: int = 0) -> None:
        self._ids = IdGenerator(last=last)
        self.made = 0

    def message(self, stage: Stage = Stage.READY, due: Millis = 0) -> Message:
        self.made += 1
        now = wall_clock()
        return Message(
            id=self._ids.next(now),
            account="demo",
            bind=1,
            sequence=self.made,
            kind=Kind.SMS,
            command=Sms(text=f"The quick brown fox jumps over the lazy dog, for the {self.made}th time"),
            source="bank",
            source_ton=5,
            source_npi=0,
            destination="380501234567",
            destination_ton=1,
            destination_npi=1,
            priority=0,
            registered_delivery=1,
            notify=Notify.SMPP,
            data_coding=0,
            pdu=bytes(180),
            accepted_at=now,
            expires=now + 24 * _HOUR,
            duplicate_window=60_000,
            progress=Progress(stage=stage, due=due),
        )


class Flow:
    """A number of messages under way at any time until all are accepted."""

    def __init__(self, store: Store, source: Source, messages: int, window: int, stage: Stage, due: Millis) -> None:
        self._store, self._source, self._stage, self._due = store, source, stage, due
        self._window = window
        self._left = messages
        self._called: dict[int, float] = {}
        self.times: list[float] = []
        self.commits = 0
        #: Messages a second.
        self.rate = 0.0

    async def run(self) -> None:
        self._done = asyncio.get_running_loop().create_future()
        messages, start = self._left, perf_counter()
        for _ in range(min(self._window, messages)):
            self._submit()
        await self._done
        self.rate = messages / (perf_counter() - start)

    def percentile(self, percent: float) -> float:
        """Milliseconds from the call to the verdict."""
        times = sorted(self.times)
        return times[min(len(times) - 1, int(len(times) * percent / 100))] * 1000

    def _submit(self) -> None:
        self._left -= 1
        message = self._source.message(self._stage, self._due)
        self._called[message.id] = perf_counter()
        self._store.accept(message, self._arrived)

    def _arrived(self, batch: Sequence[tuple[Message, Verdict]]) -> None:
        now = perf_counter()
        self.commits += 1
        for message, verdict in batch:
            if verdict is not None:
                raise RuntimeError(f"not accepted: {verdict}")
            self.times.append(now - self._called.pop(message.id))
            if self._left:
                self._submit()
        if not self._called and not self._done.done():
            self._done.set_result(None)


async def accept(
    store: Store, source: Source, messages: int, window: int, stage: Stage = Stage.READY, due: Millis = 0
) -> Flow:
    flow = Flow(store, source, messages, window, stage, due)
    await flow.run()
    return flow


async def live(store: Store, source: Source, messages: int) -> float:
    """Whole lives a second: accepted, request begun, handed over, delivered, receipt acknowledged."""
    finished = asyncio.get_running_loop().create_future()
    left = [messages, messages]
    tasks: set[asyncio.Task[None]] = set()

    def arrived(batch: Sequence[tuple[Message, Verdict]]) -> None:
        accepted = [message for message, _ in batch]
        for at in range(0, len(accepted), _GROUP):
            task = asyncio.ensure_future(dispatch(accepted[at : at + _GROUP]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def dispatch(group: Sequence[Message]) -> None:
        now = wall_clock()
        await store.apply([Began(id=message.id, provider="sandbox") for message in group], now)
        look_at = now + 60_000
        handed = [Handed(id=one.id, provider="sandbox", ref=str(one.id), look_at=look_at) for one in group]
        await store.apply(handed, now)
        told = [StatusReport(state=MessageState.DELIVERED, ref=str(message.id)) for message in group]
        results = await store.apply([Reported(provider="sandbox", report=report) for report in told], now)
        await store.delivered([one.receipt for one in results if one.receipt], now)
        left[1] -= len(group)
        if left[1] == 0:
            finished.set_result(None)
        submit(len(group))

    def submit(count: int) -> None:
        for _ in range(min(count, left[0])):
            left[0] -= 1
            store.accept(source.message(), arrived)

    start = perf_counter()
    submit(1000)
    await finished
    return messages / (perf_counter() - start)


async def drain(store: Store, messages: int) -> float:
    """Messages claimed a second."""
    start, claimed = perf_counter(), 0
    while claimed < messages:
        claimed += len(await store.claim(wall_clock(), {"demo": 500}))
    return claimed / (perf_counter() - start)


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def measure(folder: Path, messages: int, waiting: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    source = Source()
    store = SqliteStore(folder / "smppbridge.db")
    await store.open()

    def tell(name: str, flow: Flow) -> None:
        found[f"{name}, messages/s"] = flow.rate
        found[f"{name}, messages a commit"] = len(flow.times) / flow.commits
        for percent in (50, 99, 99.9):
            found[f"{name}, p{percent} ms"] = flow.percentile(percent)

    for window in WINDOWS:
        count = min(messages, window * 2000)
        tell(f"accept {window} at once", await accept(store, source, count, window))
    found["whole lives/s"] = await live(store, source, messages // 4)
    await store.close()

    store = SqliteStore(folder / "smppbridge.db")
    await store.open()
    before = resident()
    queued = await accept(store, source, waiting, 1000, Stage.WAITING, wall_clock())
    found[f"accept {waiting} to wait, messages/s"] = queued.rate
    del queued
    found[f"{waiting} waiting, MiB more"] = resident() - before
    tell(f"accept 100 at once, {waiting} waiting", await accept(store, source, messages, 100))
    found[f"whole lives/s, {waiting} waiting"] = await live(store, source, messages // 4)
    start = perf_counter()
    await store.stats()
    found[f"stats, {waiting} waiting, ms"] = (perf_counter() - start) * 1000
    found[f"claimed/s, {waiting} waiting"] = await drain(store, min(waiting, 50_000))
    await store.close()

    store = SqliteStore(folder / "smppbridge.db")
    start = perf_counter()
    await store.open()
    found[f"open with {waiting} waiting and 50,000 in memory before, s"] = perf_counter() - start
    await store.close()
    return found


def run(messages: int = 100_000, waiting: int = 1_000_000) -> dict[str, Any]:
    # What the gateway sets: how long a thread that wants the interpreter waits for one that has it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10e-6)
    try:
        STATE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE) as folder:
            return uvloop.run(measure(Path(folder), messages, waiting))
    finally:
        sys.setswitchinterval(interval)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    for name, value in run(*((20_000, 50_000) if quick else ())).items():
        print(f"{name:60} {value:12,.2f}")
