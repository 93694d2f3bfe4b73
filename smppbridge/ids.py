"""Message ids: decimal digits that grow with time and are never given twice.

Clients read them by `id:(\\d+)`, providers take them as idempotency keys, stores use them as keys, so an id is one
integer of 63 bits:

    41 bits  milliseconds since 2020-01-01 UTC (until 2089)
    14 bits  sequence within the millisecond
     8 bits  node: gateways that share clients differ in it

An id is always higher than the one before: when the clock stands still, goes back, or a millisecond has used up its
16,384 numbers, ids run ahead of the clock until it has caught up. Over a restart the same holds, because the highest
id that the store knows is where the generator goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .model import Millis

#: 2020-01-01T00:00:00Z.
EPOCH: Millis = 1_577_836_800_000

_NODE_BITS = 8
_TIME_SHIFT = 22
_STEP = 1 << _NODE_BITS


def wall_clock() -> Millis:
    return time.time_ns() // 1_000_000


class IdGenerator:
    """Gives the ids of one gateway. `last` is the highest id ever given (`Store.last_id`)."""

    def __init__(self, node: int = 0, last: int = 0, clock: Callable[[], Millis] = wall_clock) -> None:
        if not 0 <= node < _STEP:
            raise ValueError(f"a node is a number from 0 to {_STEP - 1}, not {node}")
        self._node = node
        self._clock = clock
        # `last` may carry another node's number; the step that `next` makes leads beyond it in any case.
        self._last = (last & -_STEP) | node

    def __repr__(self) -> str:
        return f"<IdGenerator node={self._node} last={self._last}>"

    def next(self, now: Millis = 0) -> int:
        """The next id; `now` saves asking the clock where the caller has just done so."""
        new = ((now or self._clock()) - EPOCH) << _TIME_SHIFT | self._node
        last = self._last
        if new <= last:
            new = last + _STEP
        self._last = new
        return new


def accepted_at(id: int) -> Millis:
    """When an id was given, to the millisecond, unless ids ran ahead of the clock."""
    return (id >> _TIME_SHIFT) + EPOCH
