"""Tests of whether a subscriber is reachable."""

from __future__ import annotations

from ..model import Ping
from .convention import Convention


class PingText(Convention):
    """An invisible message; its receipt tells whether the subscriber is reachable. Takes no text."""

    prefix = "__PING__"
    example = "__PING__"

    def parse(self, text: str, destination: str) -> Ping:
        return Ping(comment=self.open_bare(text))
