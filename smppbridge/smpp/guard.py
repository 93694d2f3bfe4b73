"""Who comes too often, and who says too much: what one address may open, how long its binds wait, and how long nothing
is read from it. Pure: times are arguments, in milliseconds.

Everything is counted by address, because before a bind there is nothing else to know somebody by. The addresses of one
IPv6 /64 count as one: that is what a single customer is given, and he may use another one for every connection.

Who has not bound takes a place, and places are few (`max_unbound`). Somebody from outside of everybody's networks, who
could not bind anyway, gets none once half of them are taken: whoever wants to fill them has to come from within.

Guessing passwords is slowed down and never forbidden. After `bind_failures` failed binds of an address, each further
bind from there waits before it is looked at: 1, 2, 4 … up to `bind_delay_max` seconds.

* It waits whether it is right or wrong, and before its password is hashed. So the time tells nothing, whoever hangs up
  early has learnt nothing, and a waiting bind costs us its connection and a timer.
* Waiting binds do not queue: a colleague behind the same address waits as long as everybody there, once, and is never
  locked out. What is left to a guesser is `max_unbound_per_address` guesses in each `bind_delay_max`.
* A bind whose password is right forgives what failed under its own system_id. It does not forgive the rest: who has an
  account of his own could otherwise guess at another one for ever. Each minute without a failure forgives one, so that
  a client that gives up sooner than we answer (smpplib: 5 seconds) gets in some minutes after it was put right.

What is sent too fast, or should not be sent at all, is paid for with time afterwards (`pay`): the link that brought it
is not read from for a while. So nothing is refused, nobody is closed, and the others of the same address go on.

What leads to nothing (what is refused, ENQUIRE_LINKs) costs us as much as what does, and nothing that is counted
elsewhere limits it: a client that goes on sending beyond its `throughput` would have its refusals as fast as we can
write them, and all others what is left of the processor. So it has a rate of its own, by account as soon as there is
one (`pay_vain`): a client that is refused more often is read from as much more slowly, and waits in its own socket.

What can go wrong: with a bind_delay_max near session_init_timeout a waiting bind is closed before it is answered
(`check-config` says so). Somebody with tens of thousands of addresses is not slowed down by what is counted for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

import msgspec

from ..config import SmppConfig
from .throttle import Throttle

Address: TypeAlias = IPv4Address | IPv6Address

_MINUTE = 60_000
#: Addresses without a connection that are remembered for what they did; some 500 octets each.
_REMEMBERED = 10_000
#: What an address did not use of its max_pdu_rate counts for so long.
_CREDIT = 1_000
#: A PDU that led to nothing counts once more for so many octets: to read and refuse a text of 60,000 characters takes
#: as long as eight short ones.
_HEAVY = 8_192
#: system_ids told apart at one address, and shown in the log; what fails under further ones is counted together.
_NAMES = 5


class Full(StrEnum):
    """Why a connection is not taken: the key of [smpp] that says so."""

    CONNECTIONS = "max_connections"
    ADDRESS = "max_connections_per_address"
    UNBOUND = "max_unbound"
    UNBOUND_ADDRESS = "max_unbound_per_address"


class Slow(StrEnum):
    """Why a client is not read from for a while: the key of [smpp] that says so."""

    RATE = "max_pdu_rate"
    BAD = "max_bad_pdus"
    VAIN = "max_refused_rate"


class Rules(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What [smpp] says about addresses; 0 connections is unlimited. Milliseconds."""

    max_connections: int
    max_connections_per_address: int
    max_unbound: int
    max_unbound_per_address: int
    bind_failures: int
    bind_delay_max: int
    #: PDUs a second, and bad ones a minute; 0 is unlimited.
    max_pdu_rate: float
    max_bad_pdus: int
    max_refused_rate: float

    @classmethod
    def of(cls, config: SmppConfig) -> Rules:
        """Read them from the settings."""
        return cls(
            max_connections=config.max_connections,
            max_connections_per_address=config.max_connections_per_address,
            max_unbound=config.max_unbound,
            max_unbound_per_address=config.max_unbound_per_address,
            bind_failures=config.bind_failures,
            bind_delay_max=int(config.bind_delay_max * 1000),
            max_pdu_rate=config.max_pdu_rate,
            max_bad_pdus=config.max_bad_pdus,
            max_refused_rate=config.max_refused_rate,
        )

    def delay(self, failures: int) -> int:
        """How long a bind waits after so many failures, in milliseconds."""
        if failures < self.bind_failures:
            return 0
        return int(min(self.bind_delay_max, 1000 * 2 ** min(failures - self.bind_failures, 32)))

    @property
    def most_failures(self) -> int:
        """More make no difference, and are not counted."""
        return self.bind_failures + math.ceil(math.log2(max(self.bind_delay_max / 1000, 1)))


class Visitor:
    """One address: what it has open and what it did. There is one object for all of its connections, while they last
    and some minutes longer."""

    __slots__ = (
        "address",
        "bad",
        "bad_since",
        "connections",
        "failed_at",
        "failures",
        "paid_until",
        "said",
        "system_ids",
        "unbound",
        "vain_until",
    )

    def __init__(self, address: str) -> None:
        #: As `place_of` says it: for the log.
        self.address = address
        self.connections = 0
        #: Those among them that have not bound.
        self.unbound = 0
        #: system_id → failed binds that are not forgotten, `Rules.most_failures` at most in all; the oldest name first.
        self.failures: dict[str, int] = {}
        #: When the last one failed, or one was forgotten.
        self.failed_at = 0
        #: What was tried last, for the log.
        self.system_ids: list[str] = []
        #: Bad PDUs in the minute that began with the first of them.
        self.bad = 0
        self.bad_since = 0
        #: How far its PDUs reach, at the rate that is allowed.
        self.paid_until = 0.0
        #: The same of what led to nothing, over connections that have not bound.
        self.vain_until = 0.0
        #: Event → when its last line was written, and what happened since.
        self.said: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        failed = f" failures={sum(self.failures.values())}" if self.failures else ""
        return f"<Visitor {self.address} connections={self.connections} unbound={self.unbound}{failed}>"

    def forget(self, now: int) -> None:
        """Forget one failure for each minute without one, and what else was long ago."""
        forgotten = (now - self.failed_at) // _MINUTE if self.failures else 0
        self.failed_at += forgotten * _MINUTE
        while forgotten > 0 and self.failures:
            name, count = next(iter(self.failures.items()))
            if count > forgotten:
                self.failures[name] = count - forgotten
            else:
                del self.failures[name]
            forgotten -= count
        if now - self.bad_since >= _MINUTE:
            self.bad = 0
        if self.paid_until <= now - _CREDIT:
            self.paid_until = 0.0
        if self.vain_until <= now - _CREDIT:
            self.vain_until = 0.0
        self.said = {event: line for event, line in self.said.items() if now - line[0] < 2 * _MINUTE}

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.connections or self.failures or self.said or self.bad or self.paid_until or self.vain_until)


class Guard:
    """All addresses of a server. See the head of the module."""

    def __init__(self, rules: Rules, neighbour: Callable[[Address], bool] = lambda address: True) -> None:
        """`neighbour` tells whether an address is in anybody's networks; asked only when many have not bound."""
        #: Replaced when the settings are read again.
        self.rules = rules
        self._neighbour = neighbour
        #: Of all addresses, from when they are accepted.
        self.connections = 0
        self.unbound = 0
        self.visitors: dict[str, Visitor] = {}
        #: Account → how far what it asked in vain reaches, at the rate that is allowed.
        self._vain_until: dict[str, float] = {}
        #: Those without a connection, in the order in which they left.
        self._gone: dict[str, Visitor] = {}
        #: Over all addresses, so that many of them do not fill the log either.
        self._lines = Throttle(1, 60)

    def __repr__(self) -> str:
        return f"<Guard {self.connections} connections, {self.unbound} unbound, {len(self.visitors)} addresses>"

    # Connections -----------------------------------------------------------------------------------------------------

    def enter(self, address: Address | None, now: int, *, balancer: bool = False) -> tuple[Visitor, Full | None]:
        """Somebody connects. Counts the connection as unbound, unless the second value says why it is not taken.

        A balancer has no limits of its own: what it opens is soon somebody else's (`rename`).
        """
        visitor, rules = self._visitor(place_of(address), now), self.rules
        full = None
        if self.connections >= rules.max_connections:
            full = Full.CONNECTIONS
        elif rules.max_unbound and self.unbound >= rules.max_unbound:
            full = Full.UNBOUND
        elif not balancer:
            full = self._full(visitor, address)
        if full is None:
            self.connections += 1
            self.unbound += 1
            self._add(visitor)
        return visitor, full

    def rename(self, balancer: Visitor, address: Address | None, now: int) -> tuple[Visitor, Full | None]:
        """A balancer says whose a connection is, which is counted as his from now on, if the second value is None."""
        visitor = self._visitor(place_of(address), now)
        full = self._full(visitor, address)
        if full is None:
            self._add(visitor)
            self._remove(balancer, now, bound=False)
        return visitor, full

    def bound(self, visitor: Visitor) -> None:
        """One of its connections is bound now."""
        self.unbound -= 1
        visitor.unbound -= 1

    def leave(self, visitor: Visitor, now: int, *, bound: bool) -> None:
        """One of its connections is gone; `bound` as told before."""
        self.connections -= 1
        self.unbound -= not bound
        self._remove(visitor, now, bound=bound)

    # Binds -----------------------------------------------------------------------------------------------------------

    def delay(self, visitor: Visitor, now: int) -> int:
        """How long a bind that comes now waits before it is looked at, in milliseconds."""
        visitor.forget(now)
        return self.rules.delay(sum(visitor.failures.values()))

    def failed(self, visitor: Visitor, system_id: str, now: int) -> bool:
        """A bind failed that did not prove who it is. Tells whether the address is taken for a guesser by now."""
        visitor.forget(now)
        visitor.failed_at = now
        failures, count = visitor.failures, sum(visitor.failures.values())
        name = system_id if system_id in failures or len(failures) < _NAMES else ""
        if count < self.rules.most_failures:
            failures[name] = failures.get(name, 0) + 1
        visitor.system_ids = [*(old for old in visitor.system_ids if old != system_id), system_id][-_NAMES:]
        return count >= self.rules.bind_failures

    def proved(self, visitor: Visitor, system_id: str) -> None:
        """A bind had the right password: what failed under the same system_id was a mistake."""
        visitor.failures.pop(system_id, None)

    # What is said ----------------------------------------------------------------------------------------------------

    def pay(self, visitor: Visitor, pdus: int, bad: int, now: int) -> tuple[int, Slow | None]:
        """An address sent so many PDUs over one link, `bad` ones among them. For how many milliseconds nothing is read
        from that link, and why.

        A second's worth of max_pdu_rate may come at once. Bad PDUs are counted from the first one on for a minute; each
        one beyond max_bad_pdus costs a second.
        """
        wait, why, rules = 0, None, self.rules
        if rules.max_pdu_rate:
            visitor.paid_until = _reach(visitor.paid_until, pdus, rules.max_pdu_rate, now)
            if visitor.paid_until > now:
                wait, why = math.ceil(visitor.paid_until - now), Slow.RATE
        if bad and rules.max_bad_pdus:
            if not visitor.bad or now - visitor.bad_since >= _MINUTE:
                visitor.bad, visitor.bad_since = 0, now
            before = max(visitor.bad, rules.max_bad_pdus)
            visitor.bad += bad
            if visitor.bad > before:
                wait, why = max(wait, 1000 * (visitor.bad - before)), Slow.BAD
        return wait, why

    def pay_vain(self, who: str | Visitor, pdus: int, octets: int, links: int, now: int) -> int:
        """Somebody (an account, or an address that has not bound) sent so many PDUs over one of its `links` that led to
        nothing, with others perhaps that were `octets` long together. For how many milliseconds nothing is read from
        that link.

        What all links have sent counts together, but none waits longer than for its own part at an equal share of the
        rate: an ENQUIRE_LINK of one does not pay for the flood of another.
        """
        rate = self.rules.max_refused_rate
        if not rate:
            return 0
        count = pdus + octets // _HEAVY
        if isinstance(who, Visitor):
            until = who.vain_until = _reach(who.vain_until, count, rate, now)
        else:
            until = self._vain_until[who] = _reach(self._vain_until.get(who, 0.0), count, rate, now)
        return math.ceil(max(0.0, min(until - now, links * count * 1000 / rate)))

    # Lines in the log ------------------------------------------------------------------------------------------------

    def tell(self, visitor: Visitor, event: str, now: int) -> int:
        """Something happened that is worth a line a minute: how often since the last line, or 0 for no line now."""
        when, count = visitor.said.get(event, (now - _MINUTE, 0))
        tells = now - when >= _MINUTE and self._lines.take(now)
        visitor.said[event] = (now, 0) if tells else (when, count + 1)
        if not visitor.connections:
            self._keep(visitor, now)
        return count + 1 if tells else 0

    # Inside ----------------------------------------------------------------------------------------------------------

    def _full(self, visitor: Visitor, address: Address | None) -> Full | None:
        rules = self.rules
        crowded = rules.max_unbound and 2 * self.unbound >= rules.max_unbound
        if crowded and (address is None or not self._neighbour(address)):
            return Full.UNBOUND
        if rules.max_connections_per_address and visitor.connections >= rules.max_connections_per_address:
            return Full.ADDRESS
        if rules.max_unbound_per_address and visitor.unbound >= rules.max_unbound_per_address:
            return Full.UNBOUND_ADDRESS
        return None

    def _add(self, visitor: Visitor) -> None:
        self._gone.pop(visitor.address, None)
        self.visitors[visitor.address] = visitor
        visitor.connections += 1
        visitor.unbound += 1

    def _remove(self, visitor: Visitor, now: int, *, bound: bool) -> None:
        visitor.connections -= 1
        visitor.unbound -= not bound
        if not visitor.connections:
            self._keep(visitor, now)

    def _visitor(self, address: str, now: int) -> Visitor:
        visitor = self.visitors.get(address)
        if visitor is None:
            visitor = Visitor(address)
            self._keep(visitor, now)
        return visitor

    def _keep(self, visitor: Visitor, now: int) -> None:
        """Remember an address that has no connection for what it did, while there is room; sweep the oldest out."""
        gone = self._gone
        gone.pop(visitor.address, None)
        while gone:
            oldest = next(iter(gone.values()))
            oldest.forget(now)
            if not oldest.idle and len(gone) < _REMEMBERED:
                break
            del gone[oldest.address], self.visitors[oldest.address]
        gone[visitor.address] = self.visitors[visitor.address] = visitor


def _reach(until: float, count: int, rate: float, now: int) -> float:
    """How far what somebody sent reaches, with `count` more; a second's worth may come at once."""
    return max(until, now - _CREDIT) + count * 1000 / rate


def place_of(address: Address | None) -> str:
    """What counts as one address: "203.0.113.7", or the network "2001:db8::/64". "unknown" for what has none."""
    if address is None:
        return "unknown"
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))
