"""Which addresses are meant: the one place that compares an address with the patterns of the configuration.

A pattern is a whole address, or its beginning with a `*` at the end. The plus of a number counts on neither side,
because clients, providers and people write it or not.
"""

from __future__ import annotations

from collections.abc import Iterable


class Patterns:
    """Patterns, ready to be asked for every message. False where there are none."""

    __slots__ = ("_beginnings", "_whole")

    def __init__(self, written: Iterable[str]) -> None:
        bare = [one.removeprefix("+") for one in written]
        self._whole = frozenset(one for one in bare if not one.endswith("*"))
        self._beginnings = tuple(one[:-1] for one in bare if one.endswith("*"))

    def __bool__(self) -> bool:
        return bool(self._whole or self._beginnings)

    def fit(self, address: str) -> bool:
        """Whether one of them means this address."""
        bare = address.removeprefix("+")
        return bare in self._whole or bare.startswith(self._beginnings)
