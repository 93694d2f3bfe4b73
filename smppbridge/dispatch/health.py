"""Whether a provider is worth a request: a circuit breaker, and what it asks for itself. Pure: time is an argument.

```
            `failures` in a row, or trip()                 the pause is over
   CLOSED ─────────────────────────────────► OPEN ─────────────────────────────► HALF_OPEN
      ▲                                        ▲                                     │ one probe at a time
      │                                        └──────────── failed() ───────────────┤
      └─────────────────────────────────────── succeeded() ──────────────────────────┘
```
"""

from __future__ import annotations

from enum import StrEnum

from ..model import Millis


class Health(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts the failures in a row of one provider."""

    __slots__ = ("_failures", "_limit", "_open", "_pause", "_probing", "_reopens")

    def __init__(self, failures: int, pause: Millis) -> None:
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._open = False
        self._probing = False
        self._reopens: Millis = 0

    def __repr__(self) -> str:
        return f"<Breaker {'open' if self._open else 'closed'} failures={self._failures} reopens={self._reopens}>"

    def health(self, now: Millis) -> Health:
        if not self._open:
            return Health.CLOSED
        return Health.OPEN if now < self.reopens(now) else Health.HALF_OPEN

    def reopens(self, now: Millis) -> Millis:
        """While open: when a probe may go."""
        # A clock that was put back must not keep it open for longer than the pause.
        self._reopens = min(self._reopens, now + self._pause)
        return self._reopens

    def allows(self, now: Millis) -> bool:
        """Whether a request may go now."""
        health = self.health(now)
        return health is Health.CLOSED or (health is Health.HALF_OPEN and not self._probing)

    def probe(self) -> None:
        """The request that goes now is the probe; no other goes before it has an end."""
        self._probing = True

    def forget_probe(self) -> None:
        """The probe never went out, or told nothing."""
        self._probing = False

    def succeeded(self) -> None:
        self._failures = 0
        self._open = self._probing = False

    def failed(self, now: Millis) -> bool:
        """Count a failure. True: this one opened it (again)."""
        health = self.health(now)
        self._failures += 1
        if health is Health.OPEN and not self._probing:
            # One that was under way when it opened; the pause stays as it is. Where a probe is under way, the clock was
            # put back since it went, and nobody else would see it end.
            return False
        if health is Health.CLOSED and self._failures < self._limit:
            return False
        self._set_open(now)
        return True

    def trip(self, now: Millis) -> bool:
        """Open at once: the provider refuses everything. True: this opened it."""
        if self.health(now) is Health.OPEN and not self._probing:
            return False
        self._set_open(now)
        return True

    def _set_open(self, now: Millis) -> None:
        self._open = True
        self._probing = False
        self._reopens = now + self._pause


class Hold:
    """A provider that is there, and asks to be left alone for a while."""

    __slots__ = ("_for", "_until")

    def __init__(self) -> None:
        self._for: Millis = 0
        self._until: Millis = 0

    def ask(self, pause: Millis, now: Millis) -> None:
        self._for = pause
        self._until = now + pause

    def until(self, now: Millis) -> Millis:
        """When it may be asked again; in the past if it may be now."""
        # A clock that was put back must not make it wait for longer than was asked.
        self._until = min(self._until, now + self._for)
        return self._until
