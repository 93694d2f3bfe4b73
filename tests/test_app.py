"""What the gateway does from time to time goes on whatever happens in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smppbridge import app
from smppbridge.app import Gateway
from smppbridge.config import load
from smppbridge.delivery.alerts import Watch
from smppbridge.delivery.outbox import Outbox

from .conftest import CONFIG


@pytest.mark.parametrize(("work", "name"), [("_every_second", "every second"), ("_keep", "purge")])
def test_a_mistake_does_not_end_what_is_done_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, name: str
) -> None:
    monkeypatch.setattr(app, "_PURGE_EVERY", 0)
    path = tmp_path / "smppbridge.toml"
    path.write_text(CONFIG.replace('path = "state.db"', 'engine = "memory"'))
    path.chmod(0o600)

    async def whole() -> None:
        times, again = 0, asyncio.Event()

        def clock() -> int:
            nonlocal times
            times += 1
            if times == 1:
                raise ValueError("a mistake of the program")
            again.set()
            return 1

        gateway = Gateway(load(path), clock=clock)
        gateway.watch = Watch({}, gateway.store.any_absent)
        gateway.outbox = Outbox(
            accounts={}, store=gateway.store, bound=gateway.bound, clock=clock, journal=gateway.journal
        )
        await gateway.store.open()
        task = asyncio.create_task(getattr(gateway, work)())
        async with asyncio.timeout(10):
            await again.wait()
        task.cancel()
        await asyncio.wait([task])
        await gateway.store.close()

    with capture_logs() as lines:
        asyncio.run(whole())
    assert [line["task"] for line in lines if line["event"] == "a task failed"] == [name]
