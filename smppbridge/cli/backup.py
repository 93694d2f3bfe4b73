"""`smppbridge backup` and `restore`: a copy of the store while the gateway runs or not, and a copy in its place.

What is SQLite's is done in `store.backup` and `store.restore`.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from pdu import MessageState

from ..dispatch.judge import NO_STATUS
from ..ids import wall_clock
from ..lifecycle import Settled
from ..store import backup as store_backup
from ..store import restore as store_restore
from ..store.backup import Contents
from ..store.base import StoreFailed
from .console import ConfigOption, Trouble, examples, existing_store, out, print_json, store_path

EXAMPLES = examples(
    "smppbridge backup /backup/smppbridge-$(date +%F).db",
    "smppbridge backup /backup/smppbridge-$(date +%F).db --config /etc/smppbridge/smppbridge.toml --json",
)

RESTORE_EXAMPLES = examples("smppbridge restore /backup/smppbridge-2026-11-22.db --unsent end")

#: Seconds after which the progress is shown anew.
_SHOW = 0.2


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet; its folder is.")],
    json: Annotated[bool, typer.Option("--json", help="What is in it as a JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Copy the store to FILE, whole and of one moment, while the gateway runs or not.

    Everything that was acknowledged before the copy began is in it. It is checked before it gets its name, is one file
    that only its owner may read, and is never written over. The gateway is not held up.
    """
    store = existing_store(config)
    began = time.monotonic()
    with _in_words(), _Progress() as progress:
        contents, as_of = store_backup.copy(store, file, progress.tell)
    seconds = time.monotonic() - began
    if json:
        print_json({"file": str(file), "as_of": as_of, "seconds": round(seconds, 3)} | msgspec.structs.asdict(contents))
        return
    moment = datetime.fromtimestamp(as_of / 1000, UTC)
    _print_lines(
        f"{file}: {contents.octets / 1_000_000:,.1f} MB in {seconds:.1f} s, checked, as of {moment:%F %T} UTC",
        _contents(contents),
    )


class Unsent(StrEnum):
    """What becomes of messages that no provider had for certain when the backup was made."""

    END = "end"
    SEND = "send"


#: They may have been sent since, and nobody knows.
_ENDED = Settled(
    state=MessageState.UNKNOWN,
    err=NO_STATUS,
    reason="a backup was restored in which it was not sent yet: it may have been sent since and must not be sent twice",
)


def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `smppbridge backup` has made.")],
    unsent: Annotated[
        Unsent,
        typer.Option(
            help="What was not sent yet when the backup was made. end: it ends as UNKNOWN, with its receipt, for it "
            "may have been sent since. send: it is sent, and paid for twice if it was."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Put a backup in the place of the store. The gateway must not run, and is not started.

    The store that was there is kept under another name. What was accepted after the backup is not in it: look for that
    in the old one, with `smppbridge messages` and a configuration that names it.
    """
    store = store_path(config)
    end = _ENDED if unsent is Unsent.END else None
    with _in_words(), _Progress() as progress:
        done = store_restore.restore(backup, store, end=end, now=wall_clock(), tell=progress.tell)
    _print_lines(
        f"{store} is {backup} now: {_contents(done.contents)}",
        f"{done.ended:,} messages ended as UNKNOWN" if end else "what is not sent yet is sent at the next start",
        f"what was there before is {done.aside}" if done.aside else "there was nothing before",
    )


def _contents(contents: Contents) -> str:
    """What is in a store."""
    return (
        f"{contents.messages:,} messages; {contents.unsent:,} not sent yet, {contents.with_provider:,} with providers; "
        f"{contents.outbox:,} receipts and messages wait for clients; {contents.parts:,} parts wait for the rest"
    )


def _print_lines(*lines: str) -> None:
    for line in lines:
        out().print(Text(line), soft_wrap=True)


class _Progress:
    """What is going on, on standard error if that is a terminal."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = 0.0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def tell(self, what: str, share: float) -> None:
        now = time.monotonic()
        if self._live and now - self._shown >= _SHOW:
            self._shown = now
            done = f" {share:.0%}" if share else ""
            sys.stderr.write(f"\r{what}{done} (Ctrl-C ends it) \x1b[K")
            sys.stderr.flush()


@contextmanager
def _in_words() -> Iterator[None]:
    """What ends the work becomes a sentence, a signal as much as a failure: both leave nothing behind."""
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in ends]
    try:
        yield
    except StoreFailed as failed:
        raise Trouble(str(failed)) from None
    except KeyboardInterrupt:
        raise Trouble("ended before it was done: nothing was changed, and nothing was left behind") from None
    finally:
        for number, handler in before:
            signal.signal(number, handler)
