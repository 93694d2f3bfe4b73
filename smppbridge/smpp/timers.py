"""When a session asks, and when it gives up (SMPP 3.4 §7.2). Pure: the time is an argument, in milliseconds.

What an operator sees in the log of a link that ends here: "not bound in time" (session_init_timeout), "silent for too
long" (inactivity_timeout), "did not answer our UNBIND" and "unbound before everything was answered" (response_timeout).
"""

from __future__ import annotations

from enum import Enum

import msgspec

from ..config import SmppConfig

#: Later than every time: nothing is due.
NEVER = 1 << 62


class Limits(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The times of [smpp] in milliseconds; 0 switches one off. One object for all links."""

    session_init: int
    enquire_link_after: int
    inactivity: int
    response: int

    @classmethod
    def of(cls, config: SmppConfig) -> Limits:
        """Read them from the settings."""
        return cls(
            session_init=int(config.session_init_timeout * 1000),
            enquire_link_after=int(config.enquire_link_after * 1000),
            inactivity=int(config.inactivity_timeout * 1000),
            response=int(config.response_timeout * 1000),
        )


class Due(Enum):
    """What has to be done. The value of an ending is its reason."""

    ENQUIRE = "ask whether the client is there"
    SESSION_INIT = "not bound in time"
    INACTIVE = "silent for too long"
    UNBIND_UNANSWERED = "did not answer our UNBIND"
    ANSWERS_LATE = "unbound before everything was answered"


class Timers:
    """The clocks of one session. They are set by plain assignment, because `heard` is set with every read."""

    __slots__ = ("asked", "bound", "heard", "leaving", "limits", "opened", "unbind_sent")

    def __init__(self, limits: Limits, now: int) -> None:
        self.limits = limits
        self.opened = now
        #: When the client last sent a whole PDU, of whatever kind. Octets alone do not count: half a PDU that drips in
        #: octet by octet would keep a dead session for ever.
        self.heard = now
        #: When we last asked with ENQUIRE_LINK. One that is not answered ends nothing, for there are clients that
        #: never answer and only speak themselves: silence ends the session, and nothing else does.
        self.asked = now
        #: When we sent UNBIND; 0 is not.
        self.unbind_sent = 0
        #: Since when the client only waits for the answers it is still owed; 0 is not.
        self.leaving = 0
        self.bound = False

    def __repr__(self) -> str:
        return f"<Timers heard={self.heard} asked={self.asked} {'bound' if self.bound else 'not bound'}>"

    def due(self, now: int) -> Due | None:
        """Tell the one thing that is due; an ending comes first. Asking is counted as done."""
        times = self._times()
        for action in (Due.ANSWERS_LATE, Due.UNBIND_UNANSWERED, Due.SESSION_INIT, Due.INACTIVE):
            if times.get(action, NEVER) <= now:
                return action
        if times.get(Due.ENQUIRE, NEVER) <= now:
            self.asked = now
            return Due.ENQUIRE
        return None

    def next(self) -> int:
        """When `due` will have something to say, if nothing happens until then."""
        return min(self._times().values(), default=NEVER)

    def _times(self) -> dict[Due, int]:
        limits = self.limits
        times = {}
        if not self.bound and limits.session_init:
            times[Due.SESSION_INIT] = self.opened + limits.session_init
        if limits.inactivity:
            times[Due.INACTIVE] = self.heard + limits.inactivity
        if self.leaving:
            times[Due.ANSWERS_LATE] = self.leaving + (limits.response or NEVER)
        elif self.unbind_sent:
            times[Due.UNBIND_UNANSWERED] = self.unbind_sent + (limits.response or NEVER)
        elif self.bound and limits.enquire_link_after:
            times[Due.ENQUIRE] = max(self.heard, self.asked) + limits.enquire_link_after
        return times
