"""Cuts a stream of octets into frames: one PDU each, header and all (SMPP 3.4 §3.2).

The frames and the final error do not depend on how the stream was cut into reads: a broken command_length is only
reported when the four header fields are there, and only after every frame before it was handed out.
"""

from __future__ import annotations

from struct import Struct

from .errors import FramingError

HEADER_LENGTH = 16

_unpack_integer = Struct(">L").unpack_from


class Framer:
    """Feed it what the socket gives, take frames until there is none.

    Octets are copied once into their frame, and once more only where a frame is spread over several reads: those are
    collected in a list until the frame is complete, so a client that sends octet by octet costs no quadratic copying.
    """

    __slots__ = ("_at", "_data", "_error", "_later", "_needed", "_size", "max_length")

    def __init__(self, max_length: int) -> None:
        #: The longest command_length believed; what claims more is taken for a lost boundary.
        self.max_length = max_length
        #: Octets at hand, of which those before `_at` are handed out already.
        self._data = b""
        self._at = 0
        #: Reads that came after `_data` and are not needed yet.
        self._later: list[bytes] = []
        #: Octets not handed out yet, in `_data` and `_later`.
        self._size = 0
        #: Octets without which the next frame, or its header, is not complete.
        self._needed = HEADER_LENGTH
        self._error: FramingError | None = None

    def __repr__(self) -> str:
        return f"<Framer {self._size} octets waiting, {self._needed} needed>"

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._later.append(data)
        self._size += len(data)

    def next(self) -> bytes | None:
        """Return the next frame, or None until more is fed; raise FramingError where the boundaries are lost."""
        if self._size < self._needed:
            if self._size == 0:
                self._data = b""  # an idle link keeps no read in memory
                self._at = 0
            return None
        if self._later:
            self._gather()
        data, at = self._data, self._at
        (length,) = _unpack_integer(data, at)
        if not HEADER_LENGTH <= length <= self.max_length:
            raise self._lost(length)
        if self._size < length:
            self._needed = length
            return None
        self._needed = HEADER_LENGTH
        self._size -= length
        self._at = at + length
        return data[at : at + length]

    @property
    def rest(self) -> bytes:
        """What was fed and is not handed out."""
        return b"".join((self._data[self._at :], *self._later))

    def _gather(self) -> None:
        if self._at == len(self._data) and len(self._later) == 1:
            self._data = self._later[0]
        else:
            self._data = b"".join((self._data[self._at :], *self._later))
        self._at = 0
        self._later.clear()

    def _lost(self, length: int) -> FramingError:
        if self._error is None:
            (sequence_number,) = _unpack_integer(self._data, self._at + 12)
            wrong = "is less than a header" if length < HEADER_LENGTH else f"is more than the {self.max_length} allowed"
            self._error = FramingError(sequence_number, f"command_length {length} {wrong}")
        return self._error
