"""One log line for each event of a message, as far as a log can take them.

An operator who looks at fifty messages a second wants every line; at fifteen thousand a second the lines would cost
more than the messages. So there are at most `lines` of them a second (`[log] message_lines`), and once a second one
line says how many were left out. What happened to a message is never lost with its line: the time-line has it.

The events: accepted, refused, sent (or why not), final, receipt. Each carries id, account and kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from .model import Message


class Journal:
    """Asked once a batch whether there is room, so that it costs nothing where there is none."""

    __slots__ = ("_clock", "_left", "_lines", "_log", "_second", "_silent")

    def __init__(self, lines: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._second = 0
        self._left = lines
        self._silent = 0
        self._log = structlog.get_logger("message")

    def open(self, count: int) -> bool:
        """Whether `count` lines may be written now; if not, they are counted as left out."""
        if not self._lines:
            return False
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._left = self._lines
            if self._silent:
                silent, self._silent = self._silent, 0
                self._log.info("message events not shown", count=silent, message_lines=self._lines)
        if self._left < count:
            self._silent += count
            return False
        self._left -= count
        return True

    def say(self, event: str, message: Message | None = None, **about: object) -> None:
        """One line, after `open` said yes; without a message for what never became one."""
        context = message.log_context() if message is not None else {}
        self._log.info(event, **context, **about)
