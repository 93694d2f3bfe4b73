"""A store that is opened, worked with and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smppbridge.store.base import Store
from smppbridge.store.sqlite import SqliteStore


def quiet(what: str, share: float) -> None:
    pass


def walk(store: Path | SqliteStore, road: Callable[[Store], Any]) -> Any:
    """What came of the road, by a store or by the plain one of a path."""
    opened = SqliteStore(store) if isinstance(store, Path) else store

    async def main() -> Any:
        await opened.open()
        try:
            return await road(opened)
        finally:
            await opened.close()

    return asyncio.run(main())
