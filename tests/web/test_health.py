"""`/readyz` where the disk hangs: an answer all the same, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from smppbridge import app
from smppbridge.config import Config
from smppbridge.model import Entry
from smppbridge.store.memory import MemoryStore

CONFIG = {
    "store": {"engine": "memory"},
    "accounts": {"demo": {"password": "demo", "allowed_networks": ["127.0.0.0/8"]}},
    "providers": {"sandbox": {"adapter": "sandbox"}},
    "routes": [{"providers": ["sandbox"]}],
}


class Hanging(MemoryStore):
    async def note(self, entries: Sequence[Entry]) -> None:
        await asyncio.Event().wait()


def test_a_store_that_does_not_answer_is_told_within_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_ANSWER", 0.01)

    async def road() -> None:
        gateway = app.Gateway(Config.model_validate(CONFIG))
        await gateway.store.open()
        assert (await gateway.check())["store"] == ""
        gateway.store = Hanging()
        await gateway.store.open()
        async with asyncio.timeout(10):
            assert "the store does not answer" in (await gateway.check())["store"]

    asyncio.run(road())
