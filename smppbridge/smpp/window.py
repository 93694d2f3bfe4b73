"""The requests of ours that a client has not answered yet, by sequence_number. Pure: the time is an argument.

Deliveries (DELIVER_SM, DATA_SM) are bounded by the size of the window. ENQUIRE_LINK and UNBIND always find a place,
because a full window must not keep us from asking whether the client is still there.
"""

from __future__ import annotations

from typing import NamedTuple

from pdu import CommandId

from .states import DELIVERIES, RESPONSE
from .timers import NEVER

#: SMPP 3.4 §5.1.4: 0x00000001 to 0x7FFFFFFF, then from the beginning.
LAST_SEQUENCE = 0x7FFFFFFF


class Request(NamedTuple):
    """One request that waits for its response."""

    command_id: CommandId
    #: What the application knows a delivery by.
    token: object
    #: When it counts as not answered.
    deadline: int


class Window:
    """What is outstanding on one link, oldest first."""

    __slots__ = ("_delivering", "_last", "_open", "size", "timeout")

    def __init__(self, size: int, timeout: int, *, last: int = 0) -> None:
        """At most `size` deliveries, each `timeout` milliseconds (0: as long as it takes); `last` was used before."""
        self.size = size
        self.timeout = timeout
        self._last = last
        self._open: dict[int, Request] = {}
        self._delivering = 0

    def __repr__(self) -> str:
        return f"<Window {self._delivering} of {self.size}>"

    def __len__(self) -> int:
        return len(self._open)

    @property
    def room(self) -> int:
        """How many more deliveries may go out."""
        return self.size - self._delivering

    @property
    def delivering(self) -> int:
        """How many deliveries are outstanding."""
        return self._delivering

    def number(self) -> int:
        """The next sequence_number, one that no outstanding request has."""
        sequence = self._last
        while True:
            sequence = sequence + 1 if sequence < LAST_SEQUENCE else 1
            if sequence not in self._open:
                self._last = sequence
                return sequence

    def gave(self, sequence: int) -> bool:
        """Whether a request has had this sequence_number since they last began again."""
        return 0 < sequence <= self._last

    def put(self, command_id: CommandId, token: object, now: int) -> int:
        """Note a request that goes out now and return its sequence_number."""
        sequence = self.number()
        self._open[sequence] = Request(command_id, token, now + self.timeout if self.timeout else NEVER)
        if command_id in DELIVERIES:
            self._delivering += 1
        return sequence

    def take(self, sequence: int, command_id: int) -> Request | None:
        """Return the request that this response answers and forget it; None if nobody asked for the response.

        GENERIC_NACK answers whatever has its sequence_number (SMPP 3.4 §4.3.1).
        """
        request = self._open.get(sequence)
        if request is None or command_id not in (request.command_id | RESPONSE, CommandId.GENERIC_NACK):
            return None
        self._forget(sequence, request)
        return request

    def renew(self, now: int) -> None:
        """Let all that is open have the whole time from now."""
        if self.timeout:
            deadline = now + self.timeout
            self._open = {sequence: one._replace(deadline=deadline) for sequence, one in self._open.items()}

    def expired(self, now: int) -> list[Request]:
        """Forget and return what was not answered in time."""
        late = []
        while self._open:
            sequence, request = next(iter(self._open.items()))
            if request.deadline > now:
                break
            self._forget(sequence, request)
            late.append(request)
        return late

    def next(self) -> int:
        """When `expired` will have something to return, if nothing is answered until then."""
        oldest = next(iter(self._open.values()), None)
        return NEVER if oldest is None else oldest.deadline

    def clear(self) -> list[Request]:
        """Forget and return everything, oldest first: the link is gone."""
        rest = list(self._open.values())
        self._open.clear()
        self._delivering = 0
        return rest

    def _forget(self, sequence: int, request: Request) -> None:
        del self._open[sequence]
        if request.command_id in DELIVERIES:
            self._delivering -= 1
