"""What goes wrong in a gateway right now: memory shared by a proof and the process that it has started (`host`)."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

_FIELDS = ("clock", "disk", "syncs", "writes", "sequence", "medium")
_LAYOUT = struct.Struct("=" + "q" * len(_FIELDS))


class Switches:
    """Numbers that both sides see at once.

    clock   milliseconds that the wall clock is ahead of the true one
    disk    what the disk does (`disk.Fault`)
    medium  what it keeps (`disk.Medium`); to be said before the start
    syncs   fsyncs done so far, told by the gateway
    writes  writes done so far
    sequence  the sequence_number behind which requests of ours begin on every link; read at the start
    """

    clock: int
    disk: int
    syncs: int
    writes: int
    medium: int
    sequence: int

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), _LAYOUT.size)
        object.__setattr__(self, "_cells", memoryview(memory).cast("q"))

    def __getattr__(self, name: str) -> int:
        return int(self.__dict__["_cells"][_FIELDS.index(name)])

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_cells"][_FIELDS.index(name)] = value
