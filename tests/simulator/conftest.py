"""Vendors to ask, at times of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from smppbridge.simulator.vendor import Answer, Asked, Settings, Vendor

#: When every test begins.
NOON = 1_795_348_800.0

Ask = Callable[..., Answer]


def asked(method: str, path: str, *, at: float = 0, **rest: Any) -> Asked:
    return Asked(method=method, path=path, now=NOON + at, **rest)


def get(path: str, *, at: float = 0, **query: str) -> Asked:
    return asked("GET", path, at=at, query=urlencode(query).encode())


def form(path: str, *, at: float = 0, **fields: str) -> Asked:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return asked("POST", path, at=at, body=urlencode(fields).encode(), headers=headers)


@pytest.fixture
def settings() -> Settings:
    return Settings(delay=10, minute=60)


def words(vendor: Vendor, request: Asked) -> str:
    return vendor.answer(request).body.decode()
