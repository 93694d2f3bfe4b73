"""The real `smppbridge` where things go wrong: `python -m tests.prove.ground.host SWITCHES serve --config …`.

The program is not touched. What it stands on is: the wall clock runs ahead or behind by `switches.clock`. And links
are as old as they are in a year: their sequence_numbers begin behind `switches.sequence`. The store is on a
`disk.Disk`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from .disk import Disk
from .switches import Switches


def shift_clock(switches: Switches) -> None:
    true, true_ns = time.time, time.time_ns
    time.time = lambda: true() + switches.clock / 1000
    time.time_ns = lambda: true_ns() + switches.clock * 1_000_000


def begin_late(switches: Switches) -> None:
    from smppbridge.smpp.window import Window

    defaults = Window.__init__.__kwdefaults__
    assert defaults
    defaults["last"] = switches.sequence


def main() -> None:
    switches = Switches(Path(sys.argv.pop(1)))
    shift_clock(switches)
    begin_late(switches)
    disk = Disk(switches)
    sys.argv[0] = "smppbridge"

    from smppbridge.cli import main as smppbridge

    try:
        smppbridge()
    finally:
        disk.unregister()


if __name__ == "__main__":
    main()
