"""A store that is opened, worked with and closed, for the tests of copies of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smppbridge.store.base import Store
from smppbridge.store.sqlite import SqliteStore


def quiet(what: str, share: float) -> None:
    pass


def walk(path: Path, road: Callable[[Store], Any]) -> Any:
    async def main() -> Any:
        store = SqliteStore(path)
        await store.open()
        try:
            return await road(store)
        finally:
            await store.close()

    return asyncio.run(main())
