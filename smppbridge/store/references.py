"""What providers call messages: which message a reference means, at the same cost however many are kept.

Many providers draw their references by lot. In one tree of ten million each that comes would read a page of its own,
write it to the log and write it to the database: 12 KiB and half as much processor time again for every message, and
the same when it is forgotten. So a reference goes to the end of a list (`reference_new`), which stands in memory as
well. When the list is long it is put in order and written into a tree (`reference_sorted`) a little at a time, where
neighbours share their pages; and a tree that has become large is left alone, and the next one begun (a run). It goes
as a whole when none of its messages is kept any more.

What is looked for is mostly new. What is not in memory is looked for in the runs, newest first, and at last where older
versions of this program kept all of them (`reference`). A reference that is given again belongs to the later message,
because it is found first. Which runs need not be looked at is known in memory too (`sieve`), or what nobody knows would
cost the more the more is kept: every state that overtakes the answer of its send.

A reference leaves the list only when the run has it, and its sieve the marks of it. So after a crash in between all of
the list is put in order once more, perhaps into the next run; what the older one has of it already is never needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, TypeAlias

import apsw

from . import sieve
from .sieve import Sieve
from .statements import Bulk, ask, texts

Key: TypeAlias = tuple[str, str]
"""Provider and reference."""

_INSERT = Bulk("insert_references", 4)
_SORT = Bulk("sort_references", 4)

#: References in memory that are put in order together: some 250 octets each.
LIST = 65_536
#: References in one run, or a few more. The larger a run, the fewer references share a page that is written; the
#: smaller, the more of them there are to look at.
RUN = 1_048_576
#: References that are written in one transaction, of a list that is not longer than `LIST`: some milliseconds. Putting
#: as many in order takes one.
STEP = 1024
#: Of the list, so many are taken away in the time of one that is written. As each step comes after a commit, which adds
#: to the list, they have to be few.
TAKE_AWAY = 4


@dataclass
class Run:
    run: int
    size: int = 0
    lowest: int = 0
    highest: int = 0
    #: None: what it has is not known without looking.
    sieve: Sieve | None = None


class References:
    """The writer's side. Within a transaction nothing that is in memory changes; `settle` lets it follow."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        #: The list; and what of it is being put in order: those that are not yet, those that are among a few others,
        #: and those that are, as far as they are written or about to be.
        self._new: dict[Key, int] = {}
        self._moving: dict[Key, int] = {}
        self._mixed: list[Key] = []
        self._strands: list[list[Key]] = []
        self._merged: Iterator[Key] = iter(())
        self._sorted: list[Key] = []
        #: What is written: of those, then pieces of the sieve, and at last that the list has none of them any more.
        self._at = self._next_at = 0
        #: Steps of `sort` since it began anew, how many references are to come for each, and how many each takes.
        self._steps = 0
        self._apart = 0.0
        self._step = STEP
        #: The last of the list that is durable, that was given a place, and that is being put in order.
        self._durable = self._last = self._moved = 0
        #: Newest first.
        self._runs: list[Run] = []
        self._next_runs: list[Run] = []
        self._added: dict[Key, int] = {}
        #: Which run is looked at next for whether it can go.
        self._turn = 0
        self._older = False

    def load(self) -> None:
        for n, provider, ref, message in ask(self._db, "new_references"):
            if not self._durable:
                self._moved = n - 1
            self._new[provider, ref] = message
            self._durable = self._last = n
        self._runs = self._next_runs = [Run(*row) for row in ask(self._db, "runs")]
        for run in self._runs:
            if written := ask(self._db, "sieve", (run.run,)):
                run.sieve = Sieve(written)
        [(self._older,)] = ask(self._db, "any_older_references")

    # The transaction

    def add(self, references: dict[Key, int]) -> None:
        values: list[Any] = []
        for (provider, ref), id in references.items():
            self._last += 1
            values += (self._last, provider, ref, id)
        _INSERT.run(self._db, values)
        self._added.update(references)

    def settle(self) -> None:
        self._new.update(self._added)
        self._durable = self._last
        self._at = self._next_at
        self._runs = self._next_runs
        if self._at > self._pieces_end:
            self._moving, self._strands, self._merged, self._sorted = {}, [], iter(()), []
            self._at = 0
        self._forget()

    def rollback(self) -> None:
        self._last = self._durable
        self._forget()

    def _forget(self) -> None:
        self._added = {}
        self._next_at = self._at
        self._next_runs = self._runs

    # Looking

    def find(self, keys: Iterable[Key]) -> dict[Key, int]:
        """The messages that these mean, as far as they mean one."""
        found: dict[Key, int] = {}
        rest: dict[str, list[str]] = {}
        for key in keys:
            id = self._added.get(key) or self._new.get(key) or self._moving.get(key)
            if id:
                found[key] = id
            else:
                rest.setdefault(key[0], []).append(key[1])
        for provider, refs in rest.items():
            for ref, id in older(self._db, provider, refs, self._runs, self._older):
                found[provider, ref] = id
        return found

    def newly(self, key: Key) -> int:
        """The message that this means as far as that is in memory and durable, or 0. May be asked from another thread:
        what leaves the list is in a run before."""
        return self._new.get(key) or self._moving.get(key) or 0

    # Putting in order

    @property
    def unsorted(self) -> bool:
        """There is something for `sort`, now or later."""
        return bool(self._moving) or self._is_long

    @property
    def behind(self) -> bool:
        """`sort` is to do a step now. The steps are spread over half of the next list: one upon the other they would
        halve the rate for a second, and make that second's messages pay for all."""
        if not self._moving:
            return self._is_long
        return self._durable - self._moved >= self._steps * self._apart

    @property
    def _is_long(self) -> bool:
        # Not as many as it has in memory: there, one that is given over and over stands once.
        return self._durable - self._moved >= LIST

    @property
    def _pieces_end(self) -> int:
        return len(self._moving) + sieve.pieces()

    def sort(self) -> None:
        """Put a little of the list in order, in a transaction of its own."""
        if not self._moving:
            if not self._is_long:
                return
            # In this order: `newly` is asked meanwhile.
            self._moving = self._new
            self._new = {}
            self._moved = self._durable
            self._mixed = list(self._moving)
            # A list that has become longer takes longer steps, not more of them: there is at most one a commit, and
            # while many come in one commit, the next list would be longer again.
            count = len(self._moving)
            self._step = STEP * -(-count // LIST)
            self._steps = 0
            self._apart = LIST / 2 / (2 * count / self._step + sieve.pieces() + count / (TAKE_AWAY * self._step) + 1)
        self._steps += 1
        if self._mixed:
            # Sorting all at once would hold everybody up for a tenth of a second.
            some = self._mixed[-self._step :]
            del self._mixed[-self._step :]
            self._strands.append(sorted(some))
            self._merged = merge(*self._strands)
        elif self._at < len(self._moving):
            self._write()
        elif self._at < self._pieces_end:
            self._write_sieve(self._at - len(self._moving))
        elif not ask(self._db, "delete_new_references", (self._moved, TAKE_AWAY * self._step)):
            # The last step: nothing is left of what was moved.
            self._next_at = self._at + 1

    def _write(self) -> None:
        """The next of them into the newest run, or into the next one."""
        runs = self._next_runs
        if not self._at:
            # One without a sieve was left so by a crash, and would be looked at for all that nobody knows.
            grows = bool(runs) and runs[0].size < RUN and runs[0].sieve is not None
            run = runs[0] if grows else Run(runs[0].run + 1 if runs else 1, sieve=Sieve())
            ids = self._moving.values()
            lowest, highest = min(ids), max(ids)
            grown = Run(
                run.run,
                run.size + len(self._moving),
                min(run.lowest or lowest, lowest),
                max(run.highest, highest),
                run.sieve,
            )
            ask(self._db, "keep_run", (grown.run, grown.size, grown.lowest, grown.highest))
            self._next_runs = runs = [grown, *(one for one in runs if one.run != grown.run)]
        end = self._at + self._step
        self._sorted += islice(self._merged, max(0, end - len(self._sorted)))
        some = self._sorted[self._at : end]
        if runs[0].sieve:
            # Marks of what is not there in the end do no harm.
            runs[0].sieve.add(some)
        _SORT.run(self._db, [field for key in some for field in (runs[0].run, *key, self._moving[key])])
        self._next_at = self._at + len(some)

    def _write_sieve(self, piece: int) -> None:
        run = self._next_runs[0]
        if run.sieve:
            ask(self._db, "keep_sieve", (run.run, piece, run.sieve.piece(piece)))
        self._next_at = self._at + 1

    # Forgetting

    def purge(self, messages: Any, limit: int) -> None:
        """These messages go: take away what is theirs where older versions kept it; and a little of a run of which
        nothing is kept."""
        if self._older:
            ask(self._db, "forget_references", (messages,))
        # Never the first one, which grows.
        full = self._next_runs[1:]
        if not full:
            return
        run = full[-1 - self._turn % len(full)]
        [(kept,)] = ask(self._db, "any_message_between", (run.lowest, run.highest))
        if kept:
            self._turn += 1
        elif not ask(self._db, "forget_sorted", (run.run, limit)):
            for name in ("forget_sieve", "forget_run"):
                ask(self._db, name, (run.run,))
            self._next_runs = [one for one in self._next_runs if one.run != run.run]


def older(
    db: apsw.Connection, provider: str, refs: Iterable[str], runs: Sequence[Run], first: bool
) -> list[tuple[str, int]]:
    """What is in no list any more: from the runs, newest first, then from where older versions kept it."""
    found: list[tuple[str, int]] = []
    unknown = sieve.spots(provider, refs)
    for run in runs:
        maybe = run.sieve.sift(unknown) if run.sieve else list(unknown)
        if maybe:
            here = ask(db, "sorted_references", (run.run, provider, texts(maybe)))
            for ref, _ in here:
                unknown.pop(ref, None)
            found += here
        if not unknown:
            return found
    if first:
        found += ask(db, "referred", (provider, texts(unknown)))
    return found
