"""`make bench`: everything that is claimed about speed and memory, one table a subject. `--quick` for a first look.

`python -m bench http store` measures those two subjects.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from typing import Any

from . import accept, binds, codec, dispatch, endtoend, fuzz, http, memory, session, store


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter queues")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="which; all of them if none is named")
    chosen = parser.parse_args()
    quick = chosen.quick
    subjects: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
        ("codec", "Codec: SUBMIT_SM with 100 octets of text and 2 TLVs", codec.run),
        ("session", "Sessions and links, nothing stored", session.run),
        ("store", "The store alone", store.run),
        ("dispatch", "Dispatch, the store subtracted", dispatch.run),
        ("accept", "Accepting: 10 binds, window 10, fsynced", lambda: accept.run(1 if quick else 3)),
        ("binds", "2,000 binds, traffic on 20 of them", lambda: binds.run(rounds=1 if quick else 3)),
        ("endtoend", "End to end through the sandbox", lambda: endtoend.run(20_000 if quick else 100_000)),
        ("http", "End to end over HTTP", lambda: http.run(10_000 if quick else 50_000, 1 if quick else 3)),
        ("fuzz", "Broken PDUs", lambda: fuzz.run(20_000 if quick else 1_000_000)),
        ("memory", "Memory", lambda: memory.run(200 if quick else 1000, 100_000 if quick else 1_000_000)),
    ]
    if unknown := set(chosen.subjects) - {name for name, _, _ in subjects}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(name for name, _, _ in subjects)}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    for subject, title, run in subjects:
        if chosen.subjects and subject not in chosen.subjects:
            continue
        print(f"\n{title}", flush=True)
        for name, value in run().items():
            print(
                f"  {name:55} {value:14,.2f}" if isinstance(value, int | float) else f"  {name:55} {value}", flush=True
            )


if __name__ == "__main__":
    main()
