"""How a vendor misbehaves when it is told to: for the next so many requests, or until it is told to stop.

    500        HTTP 500                               not processed
    429        HTTP 429 with Retry-After              not processed
    reset      the connection is reset                processed
    timeout    never answered                         processed
    slow       answered after `seconds`               processed
    garbled    a page that is neither XML nor JSON    processed
    empty      HTTP 200 without a body                processed
    partial    every second message is refused        the others are processed
    wrong      the answer to the request before       processed

`processed` turns the last column around for those where it makes sense, so that a time-out can be one before the
message was read: nobody who waits for the answer can tell the two apart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Fault(StrEnum):
    ERROR = "500"
    BUSY = "429"
    RESET = "reset"
    TIMEOUT = "timeout"
    SLOW = "slow"
    GARBLED = "garbled"
    EMPTY = "empty"
    PARTIAL = "partial"
    WRONG = "wrong"


_UNPROCESSED = frozenset({Fault.ERROR, Fault.BUSY})


class Misbehaviour(BaseModel):
    """One order to misbehave, as `PUT /misbehave/{vendor}` takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: None: behave.
    fault: Fault | None
    #: Requests that it hits; None: all from now on.
    times: int | None = Field(default=None, ge=1)
    #: Which requests.
    requests: Literal["send", "ask", "all"] = "send"
    #: Whether the request is processed all the same; None: as the head of the module says.
    processed: bool | None = None
    #: Of a slow answer, and what Retry-After says.
    seconds: float = Field(default=10, ge=0, le=3600)

    @property
    def processes(self) -> bool:
        return self.processed if self.processed is not None else self.fault not in _UNPROCESSED

    @classmethod
    def read(cls, text: str) -> Misbehaviour:
        """ "timeout" or "timeout:3", as the command line takes it. Raises ValueError."""
        fault, colon, times = text.partition(":")
        return cls(fault=Fault(fault), times=int(times) if colon else None)


class Mischief:
    """What one vendor was ordered last, and how much of it is left."""

    def __init__(self) -> None:
        self.order = Misbehaviour(fault=None)
        self.left: int | None = None

    def set(self, order: Misbehaviour) -> None:
        self.order = order
        self.left = order.times

    def next(self, purpose: str) -> Misbehaviour | None:
        """The order, if it holds for this request; counts it."""
        if self.order.fault is None or self.left == 0 or self.order.requests not in (purpose, "all"):
            return None
        if self.left is not None:
            self.left -= 1
        return self.order

    def __str__(self) -> str:
        if self.order.fault is None or self.left == 0:
            return "behaves"
        often = "from now on" if self.left is None else f"{self.left} more"
        return f"{self.order.fault.value} ({self.order.requests}, {often})"
