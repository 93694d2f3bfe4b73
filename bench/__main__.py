"""`make bench`: everything that is claimed about speed and memory, one table a subject. `--quick` for a first look."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from typing import Any

from . import accept, codec, dispatch, endtoend, memory, session, store


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter queues")
    quick = parser.parse_args().quick
    subjects: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("Codec: SUBMIT_SM with 100 octets of text and 2 TLVs", codec.run),
        ("Sessions and links, nothing stored", session.run),
        ("The store alone", store.run),
        ("Dispatch, the store subtracted", dispatch.run),
        ("Accepting: 10 binds, window 10, fsynced", lambda: accept.run(1 if quick else 3)),
        ("End to end through the sandbox", lambda: endtoend.run(20_000 if quick else 100_000)),
        ("Memory", lambda: memory.run(200 if quick else 1000, 100_000 if quick else 1_000_000)),
    ]
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    for title, run in subjects:
        print(f"\n{title}", flush=True)
        for name, value in run().items():
            print(
                f"  {name:55} {value:14,.2f}" if isinstance(value, int | float) else f"  {name:55} {value}", flush=True
            )


if __name__ == "__main__":
    main()
