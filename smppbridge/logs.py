"""One line an event on standard error: JSON for machines, columns for a person at a terminal.

`structlog.get_logger("station").info("event", id=…, account=…)` is all that a station writes; what becomes of it is
decided here, once, by `set_up`:

* Under systemd, into a file or a pipe: one JSON object a line, `time level station event` first. The journal gets the
  level of each line as its priority, so that `journalctl -p warning` works.
* A value whose key is secret by its name (`config.secrets.is_secret`) reads `***`. A traceback never shows variables,
  and known secrets are cut out of it.
* Texts of messages (`TEXTS`) are shown as their length, unless `log.texts` is on.
* What others wrote does nothing in a terminal: control characters and their like are told by number (`visible`). And it
  makes no line: an event is one, and what a traceback adds for a person to read is set in.
* What libraries write through `logging` comes out the same way, from warnings on.

What can go wrong: a reader of standard error that does not read blocks the process, as it would block any other.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Set
from functools import cache
from typing import Any, BinaryIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import EventDict, Processor, WrappedLogger

from .config import MASK, LogConfig, is_secret, mask
from .visible import as_json, visible

#: Keys that hold what people write to each other.
TEXTS = frozenset({"text", "texts", "comment", "subject", "body", "short_message", "message_payload", "pdu", "frame"})

#: sd-daemon(3): the journal takes a number in angle brackets at the head of a line as its priority.
_PRIORITIES = {"debug": b"<7>", "info": b"<6>", "warning": b"<4>", "error": b"<3>", "critical": b"<2>"}


def set_up(
    config: LogConfig,
    *,
    secrets: Iterable[str] = (),
    stream: BinaryIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Decide for the whole process what becomes of its log lines. `secrets` are cut out of tracebacks and reasons."""
    stream = stream or sys.stderr.buffer
    journal = _is_journal(stream, environ)
    _known.clear()
    hide_also(secrets)
    as_json = config.format == "json" or (config.format == "auto" and (journal or not stream.isatty()))
    level = getattr(logging, config.level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_station,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _Hide(frozenset() if config.texts else TEXTS, _known),
            _Json(journal) if as_json else _columns(colors=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Output(stream),
        cache_logger_on_first_use=True,
    )
    _route_libraries(level)


def hide_also(secrets: Iterable[str]) -> None:
    """Cut out these too: those of settings that were read anew."""
    _known.update(secrets)


#: Every station keeps the logger that it was given first, and all of them look here.
_known: set[str] = set()


def _is_journal(stream: BinaryIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream goes to the journal: systemd tells the device and inode of the one it set up."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def _route_libraries(level: int) -> None:
    """What uvicorn, httpx or asyncio have to say: from warnings on, for below that httpx shows URLs with passwords."""
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        # uvicorn brings handlers of its own, which would write the same line a second time and in another form.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)


class _Bridge(logging.Handler):
    """From `logging` to our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "critical" if record.levelno >= logging.CRITICAL else record.levelname.lower()
        logger = structlog.get_logger(record.name)
        # The words of a library are a reason like any other: known secrets are cut out of them.
        getattr(logger, level, logger.warning)("library", reason=record.getMessage().rstrip(), exc_info=record.exc_info)


# Processors ----------------------------------------------------------------------------------------------------------


def _add_station(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    event["station"] = logger.station
    return event


class _Hide:
    """Secrets by the names of their keys, texts of messages, and known secrets in what an exception says."""

    def __init__(self, texts: frozenset[str], secrets: Set[str]) -> None:
        self._texts = texts
        self._secrets = secrets

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        self._hide(event)
        if self._secrets:
            for key in _FREE_WORDS:
                if isinstance(value := event.get(key), str):
                    event[key] = mask(value, self._secrets)
        return event

    def _hide(self, values: MutableMapping[str, Any]) -> None:
        for key, value in values.items():
            if _secret(key):
                values[key] = MASK
            elif key in self._texts and value:
                values[key] = _length(value)
            elif isinstance(value, dict):
                values[key] = inner = dict(value)
                self._hide(inner)


#: Keys whose words are not ours.
_FREE_WORDS = ("exception", "error", "reason")

_secret = cache(is_secret)


def _length(value: object) -> str:
    match value:
        case bytes():
            return f"{len(value)} octets"
        case str():
            return f"{len(value)} characters"
    return "hidden"


class _Json:
    """What a machine reads: the same keys first on every line."""

    def __init__(self, journal: bool) -> None:
        self._prefixes = _PRIORITIES if journal else {}

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> bytes:
        level = event.pop("level")
        line = {
            "time": event.pop("time"),
            "level": level,
            "station": event.pop("station"),
            "event": event.pop("event"),
            **event,
        }
        return self._prefixes.get(level, b"") + as_json(line)


def _columns(*, colors: bool) -> Processor:
    """What a person reads. structlog's richer tracebacks show variables, and so secrets: plain ones do not."""
    render = ConsoleRenderer(
        colors=colors, exception_formatter=plain_traceback, timestamp_key="time", pad_event_to=24, sort_keys=False
    )

    def columns(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        event["event"] = f"{event.pop('station')}: {event['event']}"
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = visible(value, keep="\n\t" if key == "exception" else "")
        # What an exception says may have lines too, that read like ours: none of them begins where a line does.
        return render(logger, method, event).replace("\n", "\n  ").encode("utf-8", "backslashreplace")

    return columns


# Output --------------------------------------------------------------------------------------------------------------


class _Output:
    """Makes the end of each station's lines: all write to one stream, a whole line at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *station: Any) -> _Lines:
        return _Lines(_station(str(station[0])) if station else "gateway", self._write)

    def _write(self, line: bytes) -> None:
        with self._lock:
            self._stream.write(line + b"\n")
            self._stream.flush()


def _station(name: str) -> str:
    """ "smppbridge.smpp.server" → "smpp": the log speaks of stations, not of modules."""
    return name.split(".")[1] if name.startswith("smppbridge.") else name


class _Lines:
    """The end of one station's lines; structlog calls it by the name of the level."""

    def __init__(self, station: str, write: Callable[[bytes], None]) -> None:
        self.station = station
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = write
