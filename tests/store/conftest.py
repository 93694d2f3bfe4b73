"""The engines that keep one contract, and the nouns that its tests are written with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from smppbridge.ids import IdGenerator
from smppbridge.model import Kind, Message, Notify, Part, Progress, Sms, Stage
from smppbridge.store.base import Store, Verdict
from smppbridge.store.memory import MemoryStore
from smppbridge.store.sqlite import SqliteStore

NOW = 1_750_000_000_000


class Engine:
    """Makes stores over the same ground, so that a test can close one and open the next."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._memory = MemoryStore()

    def __repr__(self) -> str:
        return self.name

    def make(self) -> Store:
        if self.name == "memory":
            return self._memory
        return SqliteStore(self.path / "new" / "smppbridge.db", clock=lambda: NOW)

    def walk(self, *roads: Callable[[Store], Awaitable[None]]) -> None:
        """Open, walk, close; each further road starts from what the one before left on disk."""

        async def main() -> None:
            for road in roads:
                store = self.make()
                await store.open()
                try:
                    await road(store)
                finally:
                    await store.close()

        asyncio.run(main())


@pytest.fixture(params=["memory", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return Engine(request.param, tmp_path)


class Nouns:
    """Messages and parts with ids that grow, and nothing to say but what a test is about."""

    now = NOW

    def __init__(self) -> None:
        self._ids = IdGenerator()

    def message(
        self, text: str = "", *, at: int = NOW, stage: Stage = Stage.READY, due: int = 0, **fields: Any
    ) -> Message:
        id = self._ids.next(at)
        given: dict[str, Any] = {
            "id": id,
            "account": "demo",
            "bind": 11,
            "sequence": 1,
            "kind": Kind.SMS,
            "command": Sms(text=text or f"message {id}"),
            "source": "bank",
            "source_ton": 5,
            "source_npi": 0,
            "destination": "380501234567",
            "destination_ton": 1,
            "destination_npi": 1,
            "priority": 0,
            "registered_delivery": 1,
            "notify": Notify.SMPP,
            "data_coding": 0,
            "pdu": b"\x00\x00\x00\x10pdu",
            "accepted_at": at,
            "expires": at + 86_400_000,
            "progress": Progress(stage=stage, due=due),
        }
        return Message(**given | fields)

    def part(self, number: int, total: int = 2, *, at: int = NOW, sequence: int = 1, **fields: Any) -> Part:
        header = b"\x00\x00\x00\x40\x00\x00\x00\x04\x00\x00\x00\x00" + sequence.to_bytes(4, "big")
        given: dict[str, Any] = {
            "id": self._ids.next(at),
            "account": "demo",
            "bind": 11,
            "source": "bank",
            "destination": "380501234567",
            "reference": 77,
            "total": total,
            "number": number,
            "registered_delivery": 1,
            "notify": Notify.SMPP,
            "alphabet": "gsm",
            "pdu": header + f"part {number}".encode(),
            "accepted_at": at,
            "expires": at + 3_600_000,
        }
        return Part(**given | fields)

    async def accept(self, store: Store, *messages: Message) -> list[Verdict]:
        """Their verdicts, once all are there."""
        verdicts: dict[int, Verdict] = {}
        done = asyncio.get_running_loop().create_future()

        def arrived(batch: Sequence[tuple[Message, Verdict]]) -> None:
            verdicts.update((id(message), verdict) for message, verdict in batch)
            if len(verdicts) == len(messages):
                done.set_result(None)

        for message in messages:
            store.accept(message, arrived)
        await done
        return [verdicts[id(message)] for message in messages]


@pytest.fixture
def nouns() -> Nouns:
    return Nouns()
