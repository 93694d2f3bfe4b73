"""What a proof is: a sentence of docs/guarantees.md, something that is done to the gateway, and counts with bounds.

A subject is a module of `subjects`; what it proves is declared there:

    @proof("What was acknowledged is kept over kill -9, once.")
    async def kill(ground: Ground) -> Evidence:
        evidence = Evidence()
        ...
        evidence.count("messages acknowledged", 12_345)
        evidence.must("lost", 0, exactly=0)
        return evidence

A proof that cannot run on this host (no root, no other tool) raises `Unprovable` with the reason; the report says so,
and it counts neither as held nor as broken.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

Number: TypeAlias = int | float
T = TypeVar("T")


class Unprovable(Exception):
    """Something that the proof needs is not here; the text says what."""


@dataclass(frozen=True)
class Row:
    """One figure of a proof. `bound` is empty where it is only told."""

    name: str
    value: Number | str
    bound: str = ""
    holds: bool = True


@dataclass
class Evidence:
    """What a proof has found."""

    rows: list[Row] = field(default_factory=list)
    #: What a reader has to know to understand the figures.
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)

    def count(self, name: str, value: Number | str) -> None:
        """A figure that is only told."""
        self.rows.append(Row(name, value))

    def must(
        self, name: str, value: Number, *, exactly: Number | None = None, least: Number | None = None,
        most: Number | None = None,
    ) -> None:  # fmt: skip
        """A figure that the promise stands on."""
        bounds, holds = [], True
        for word, bound, kept in (
            ("", exactly, value == exactly),
            ("at least ", least, least is None or value >= least),
            ("at most ", most, most is None or value <= most),
        ):
            if bound is not None:
                bounds.append(f"{word}{shown(bound)}")
                holds = holds and kept
        self.rows.append(Row(name, value, ", ".join(bounds), holds))

    def note(self, text: str) -> None:
        self.notes.append(text)


class Ground:
    """Where a proof takes place."""

    def __init__(self, name: str, folder: Path, *, long: bool, seed: int) -> None:
        self.name = name
        #: Empty, its own, on the disk of the project.
        self.folder = folder
        #: The full counts are wanted, or what can be shown in minutes.
        self.long = long
        self.random = random.Random(seed)
        #: Ends what a proof has started, however it goes.
        self.stack = AsyncExitStack()
        self._began = time.monotonic()

    def choose(self, short: T, long: T) -> T:
        return long if self.long else short

    def place(self, name: str) -> Path:
        """A folder in it."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def tell(self, what: str) -> None:
        """Progress, on standard error: long work is to be seen going on."""
        print(f"  {time.monotonic() - self._began:7.1f} s  {self.name}: {what}", file=sys.stderr, flush=True)


Run: TypeAlias = Callable[[Ground], Awaitable[Evidence]]


@dataclass(frozen=True)
class Proof:
    subject: str
    name: str
    #: As docs/guarantees.md says it.
    sentence: str
    run: Run
    #: Only among the full counts: it takes too long otherwise.
    long_only: bool = False


#: All that is declared, in order; filled by importing the subjects.
PROOFS: list[Proof] = []


def proof(sentence: str, *, long_only: bool = False) -> Callable[[Run], Run]:
    def declare(run: Run) -> Run:
        subject = run.__module__.rpartition(".")[2]
        PROOFS.append(Proof(subject, run.__name__, sentence, run, long_only))
        return run

    return declare


def shown(value: Number | str) -> str:
    """A figure as a reader likes it."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return value
