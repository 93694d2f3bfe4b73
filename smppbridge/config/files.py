"""Files that the configuration names: regular ones, of a size that belongs there.

To open a pipe is to wait for somebody who writes into it, and a device may have no end: `check-config` and a reload
would never come to theirs.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

#: Octets of certificates, keys and lists of numbers.
LARGEST = 16 << 20


class NoFile(OSError):
    """It is there, and is not what may stand there. `strerror` says so behind its name."""


def read(path: Path, most: int = LARGEST) -> bytes:
    """All of a file. Raises OSError; `NoFile` for what is no regular file or has more than `most` octets."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NoFile(errno.EINVAL, "is a pipe or a device: expected a regular file")
        octets = file.read(most + 1)
    if len(octets) > most:
        raise NoFile(errno.EFBIG, f"has more than {most} octets")
    return octets


def why(error: OSError) -> str:
    """Why it was not read, as the end of a sentence that begins with its name."""
    return str(error.strerror) if isinstance(error, NoFile) else f"cannot be read: {error.strerror}"
