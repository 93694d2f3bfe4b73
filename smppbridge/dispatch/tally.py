"""What a lane has done since the start, in plain numbers."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from ..providers.base import InDoubt, Refused, Sent, Temporary, Unable

#: Upper bounds of the latency histogram, in seconds; one more bucket takes the rest.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: What outcomes are called in counts and logs.
WORDS: dict[type[Any], str] = {
    Sent: "sent",
    Refused: "refused",
    Unable: "unable",
    Temporary: "temporary",
    InDoubt: "in_doubt",
}


class Tally:
    __slots__ = ("asked", "asks_failed", "latency", "outcomes", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.asked = 0
        self.asks_failed = 0
        self.outcomes = dict.fromkeys(WORDS.values(), 0)
        #: Requests by how long they took: see BUCKETS.
        self.latency = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def answered(self, seconds: float) -> None:
        self.requests += 1
        self.seconds += seconds
        self.latency[bisect_left(BUCKETS, seconds)] += 1
