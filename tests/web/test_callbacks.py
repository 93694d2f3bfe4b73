"""The door for providers: what it says in the log. What it lets through is walked by tests/journeys/test_web.py."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from pydantic import SecretStr
from starlette.requests import Request

from smppbridge.providers.base import Callback
from smppbridge.providers.smsc import Smsc, SmscSettings
from smppbridge.store.base import StoreFailed
from smppbridge.web.callbacks import Callbacks


def request(name: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
        "path_params": {"name": name, "token": "guess"},
    }
    return Request(scope)


def test_whoever_knocks_all_day_fills_no_log() -> None:
    now = 1_000_000

    async def nobody(*_: Any) -> None:
        raise AssertionError("nothing gets through")

    door = Callbacks(providers={}, config={}, report=nobody, receive=nobody, clock=lambda: now, max_body=1000)

    async def knock(times: int) -> None:
        for _ in range(times):
            assert (await door.answer(request("nobody"))).status_code == 404

    with structlog.testing.capture_logs() as lines:
        asyncio.run(knock(500))
        assert len(lines) == 60
        now += 1000
        asyncio.run(knock(2))
    assert len(lines) == 61
    assert lines[0] == {
        "event": "callback refused",
        "log_level": "warning",
        "provider": "nobody",
        "peer": "192.0.2.1",
        "reason": "no such provider",
        "times": 1,
    }
    assert lines[-1]["times"] == 441
    assert door.refused == 502


def test_a_disk_that_is_full_does_not_fill_with_lines_about_it() -> None:
    now = 1_000_000

    async def full(*_: Any) -> None:
        raise StoreFailed("no room left on the disk")

    smsc = Smsc("smsc", SmscSettings(login="a", password=SecretStr("b"), callback_unsigned=True))
    door = Callbacks(providers={}, config={}, report=full, receive=full, clock=lambda: now, max_body=1000)
    callback = Callback(method="POST", path="", query=b"", headers={}, body=b"id=1&phone=1&status=1", peer="192.0.2.1")

    async def knock(times: int) -> None:
        for _ in range(times):
            assert (await door.take(smsc, callback)).status_code == 503

    with structlog.testing.capture_logs() as lines:
        asyncio.run(knock(500))
        assert len(lines) == 60
        now += 1000
        asyncio.run(knock(1))
    assert [line["event"] for line in lines] == ["callback not kept"] * 61
    assert lines[-1]["times"] == 441
