"""Which references a run cannot have: asked in memory, so that what nobody knows is looked for nowhere.

A state that overtakes the answer of its send carries a reference that is in no run, and looking for it in each of ten
took 80 to 180 µs. So each run has a Bloom filter (Bloom 1970): a reference sets three bits of sixteen million, and one
that finds any of its bits clear is not in the run. Of a million and a quarter references, the most that a run has, one
unknown in a hundred finds them set all the same, and then the run is looked at.

What sets the bits, and how many there are, is written down with them: a change needs a migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias
from zlib import crc32

Spots: TypeAlias = tuple[int, int, int, int, int, int]
"""Three bits: octet and mask of each."""

#: Octets of one sieve, and of what is written of it in one transaction.
OCTETS = 2_097_152
PIECE = 262_144

_2_32 = 1 << 32
#: Odd, and without a pattern in their bits: what they make of one hash has nothing in common.
_SECOND, _THIRD = 0x9E3779B1, 0x85EBCA6B


def spots(provider: str, refs: Iterable[str]) -> dict[str, Spots]:
    """Where references of one provider leave their marks."""
    seed, bits, found = crc32(provider.encode()), OCTETS * 8, {}
    for ref in refs:
        hash = crc32(ref.encode(), seed)
        # The upper bits of a product depend on all of its factors: a multiple of `bits` by a fraction below 1.
        a = hash * bits >> 32
        b = hash * _SECOND % _2_32 * bits >> 32
        c = hash * _THIRD % _2_32 * bits >> 32
        found[ref] = (a >> 3, 1 << (a & 7), b >> 3, 1 << (b & 7), c >> 3, 1 << (c & 7))
    return found


def pieces() -> int:
    return OCTETS // PIECE


class Sieve:
    """Of one run."""

    __slots__ = ("_bits",)

    def __init__(self, written: Iterable[tuple[int, bytes]] = ()) -> None:
        self._bits = bytearray(OCTETS)
        for number, piece in written:
            self._bits[number * PIECE : (number + 1) * PIECE] = piece

    def add(self, keys: Sequence[tuple[str, str]]) -> None:
        """Providers and references, those of one provider together."""
        bits = self._bits
        refs: dict[str, list[str]] = {}
        for provider, ref in keys:
            refs.setdefault(provider, []).append(ref)
        for provider, some in refs.items():
            for a, in_a, b, in_b, c, in_c in spots(provider, some).values():
                bits[a] |= in_a
                bits[b] |= in_b
                bits[c] |= in_c

    def sift(self, refs: Mapping[str, Spots]) -> list[str]:
        """Those of these that the run may have."""
        bits = self._bits
        return [
            ref
            for ref, (a, in_a, b, in_b, c, in_c) in refs.items()
            if bits[a] & in_a and bits[b] & in_b and bits[c] & in_c
        ]

    def piece(self, number: int) -> bytes:
        return bytes(self._bits[number * PIECE : (number + 1) * PIECE])
