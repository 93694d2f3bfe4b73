"""The one-minute rule's memory: which messages were accepted lately, in few octets and without a pause.

A message is known by a fingerprint (64 bits, a hash of what makes two messages identical). What is found with the same
fingerprint are ids; the store reads those messages and compares them whole, so a collision, or an entry whose
transaction was rolled back, never refuses anybody.

An entry takes 20 octets in one of 32,768 buckets, each a bytearray that grows at its end and shrinks at its front: a
million messages within the window cost some 35 MiB, where a dict of integers would cost over 100, and no message ever
waits for a table to be rebuilt. Finding is one `bytearray.find`, which searches the few hundred octets of a bucket
faster than Python looks at two integers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..model import Millis

_BUCKETS = 1 << 15
_MASK = _BUCKETS - 1

# The second in which it is forgotten, the fingerprint, the id. Big-endian and the time first, so that "is the oldest
# entry of this bucket over" is one comparison of octets.
_pack = struct.Struct(">Iqq").pack
_id = struct.Struct(">q").unpack_from
_SIZE = 20
_KEY = slice(4, 12)


class Recent:
    """Fingerprint → ids of the messages accepted with it whose window still reaches until now."""

    def __init__(self) -> None:
        # One table for each length of window, so that the entries of a bucket expire in their order. Accounts seldom
        # differ in it, so there are one or two.
        self._tables: dict[Millis, _Table] = {}
        self._second = 0

    def tick(self, now: Millis) -> None:
        """It is `now`, until told otherwise. What is over goes as new entries come; where all is over, at once."""
        self._second = now // 1000
        for window, table in list(self._tables.items()):
            if table.newest <= self._second:
                del self._tables[window]
            else:
                table.tick(self._second, window)

    def meet(self, fingerprint: int, id: int, window: Millis) -> Sequence[int]:
        """The ids remembered with this fingerprint, oldest first; if there are none, `id` is remembered now."""
        table = self._tables.get(window)
        if table is None or len(self._tables) > 1:
            return self._meet_in_all(fingerprint, id, window)
        entry = _pack(table.until, fingerprint, id)
        bucket = table.buckets[fingerprint & _MASK]
        if bucket is None:
            table.buckets[fingerprint & _MASK] = bytearray(entry)
        elif bucket.find(entry[_KEY]) >= 0:
            return self._meet_in_all(fingerprint, id, window)
        else:
            if bucket <= table.now:
                table.forget(bucket)
            bucket += entry
        table.newest = table.until
        return ()

    def _meet_in_all(self, fingerprint: int, id: int, window: Millis) -> Sequence[int]:
        found = [id for table in self._tables.values() for id in table.find(fingerprint)]
        if not found:
            self.add(fingerprint, id, window)
        return found

    def add(self, fingerprint: int, id: int, window: Millis) -> None:
        """Remember `id`, whoever else has the fingerprint."""
        table = self._tables.get(window)
        if table is None:
            table = self._tables[window] = _Table()
            table.tick(self._second, window)
        bucket = table.buckets[fingerprint & _MASK]
        if bucket is None:
            bucket = table.buckets[fingerprint & _MASK] = bytearray()
        table.forget(bucket)
        bucket += _pack(table.until, fingerprint, id)
        table.newest = table.until

    def __len__(self) -> int:
        """Entries held, expired ones among them."""
        return sum(len(bucket) // _SIZE for table in self._tables.values() for bucket in table.buckets if bucket)


class _Table:
    __slots__ = ("buckets", "newest", "now", "until")

    def __init__(self) -> None:
        self.buckets: list[bytearray | None] = [None] * _BUCKETS
        #: When an entry that is made now is forgotten, in seconds …
        self.until = 0
        #: … and when the last one is.
        self.newest = 0
        #: Below every entry that is not over.
        self.now = b""

    def tick(self, second: int, window: Millis) -> None:
        # A window may end within a second, and begin within one: the entry outlives both.
        self.until = second + -(-window // 1000) + 1
        self.now = (second + 1).to_bytes(4, "big")

    def forget(self, bucket: bytearray) -> None:
        while bucket and bucket <= self.now:
            del bucket[:_SIZE]

    def find(self, fingerprint: int) -> Sequence[int]:
        bucket = self.buckets[fingerprint & _MASK]
        if bucket is None:
            return ()
        key = _pack(0, fingerprint, 0)[_KEY]
        found = []
        at = bucket.find(key)
        while at >= 0:
            if at % _SIZE == 4:  # otherwise the octets of two fields together happen to look like it
                found.append(_id(bucket, at + 8)[0])
            at = bucket.find(key, at + 1)
        return found
