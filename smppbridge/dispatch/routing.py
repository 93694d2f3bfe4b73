"""Which providers a message goes to: the first `[[routes]]` that fits decides. Pure.

What an operator meets: err 248 "no route" where no route fits, err 21 "service not supported" where one fits but none
of its providers carries that kind of message. Both are known before the message is accepted (`route_of`), so the client
is told in the response; a message that was accepted under other routes ends with the same words as REJECTED.

A route with a `cascade` leads over several legs (`cascade.py`). Those that a kind of message cannot take are left out;
`Decision.why` names the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..config import LegConfig, Patterns, ProviderConfig, Route
from ..model import Kind, Message, Onward
from ..providers.base import Provider
from .cascade import Leg, can_go_as

#: `err` of receipts, from the smsc list of error codes in statuses.
NOT_SUPPORTED = 21
NO_ROUTE = 248

#: Values of one condition that `Decision.why` names: it stands in every time-line.
_NAMED = 3


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Where a message may go, in this order, and why. Without providers: `err` says what the receipt tells."""

    #: Of the first leg, where there are legs.
    providers: tuple[str, ...]
    why: str
    err: int = 0
    legs: tuple[Leg, ...] = ()

    def leg(self, number: int) -> Leg | None:
        """The leg with this number, from 0; the last one where the route has become shorter. None: it has no legs."""
        return self.legs[min(number, len(self.legs) - 1)] if self.legs else None

    def goes_on(self, number: int) -> bool:
        """Whether there is another leg after this one."""
        return number + 1 < len(self.legs)


class _Rule(msgspec.Struct, frozen=True, gc=False):
    """What is left of a route once account and kind are known."""

    prefixes: tuple[str, ...]
    sources: Patterns
    decision: Decision

    def fits(self, destination: str, source: str) -> bool:
        if self.prefixes and not destination.lstrip("+").startswith(self.prefixes):
            return False
        return not self.sources or self.sources.fit(source)


def carries(
    config: Mapping[str, ProviderConfig], providers: Mapping[str, Provider[Any] | type[Provider[Any]]]
) -> dict[str, frozenset[Kind]]:
    """What each provider takes: what its adapter can, but for what the configuration takes away."""
    return {name: providers[name].kinds & (table.kinds or providers[name].kinds) for name, table in config.items()}


class Router:
    """The routes of the configuration, ready to be asked for every message.

    `carries` says which kinds each provider takes (the function of that name knows).
    """

    def __init__(self, routes: Sequence[Route], carries: Mapping[str, frozenset[Kind]]) -> None:
        for place, route in enumerate(routes, 1):
            for name in route.all_providers:
                if name not in carries:
                    raise ValueError(f"route {place} names the provider {name!r}, which is not configured")
        self._routes = tuple(routes)
        self._carries = dict(carries)
        self._known: dict[str, dict[str, tuple[tuple[_Rule, ...], Decision]]] = {}

    @property
    def providers(self) -> frozenset[str]:
        """Every provider that a route names."""
        return frozenset(name for route in self._routes for name in route.all_providers)

    def carried(self, provider: str) -> frozenset[Kind]:
        """The kinds that a provider takes."""
        return self._carries[provider]

    def route(self, message: Message) -> Decision:
        return self.route_of(message.account, message.kind, message.destination, message.source)

    def route_of(self, account: str, kind: Kind, destination: str, source: str) -> Decision:
        """What would be decided for such a message."""
        try:
            rules, otherwise = self._known[account][kind]
        except KeyError:
            rules, otherwise = self._read(account, kind)
        for rule in rules:
            if rule.fits(destination, source):
                return rule.decision
        return otherwise

    def _read(self, account: str, kind: Kind) -> tuple[tuple[_Rule, ...], Decision]:
        """The routes that are left for an account and a kind, up to the first that fits whatever the addresses are."""
        rules: list[_Rule] = []
        otherwise = Decision((), f"no route for {kind} of {account}", NO_ROUTE)
        for place, route in enumerate(self._routes, 1):
            if route.account not in ("", account) or (route.kinds and kind not in route.kinds):
                continue
            decision = self._decide(place, route, kind)
            if not route.destination and not route.source:
                otherwise = decision
                break
            rules.append(
                _Rule(
                    prefixes=tuple(prefix.lstrip("+") for prefix in route.destination),
                    sources=Patterns(route.source),
                    decision=decision,
                )
            )
        known = (tuple(rules), otherwise)
        self._known.setdefault(account, {})[kind] = known
        return known

    def _decide(self, place: int, route: Route, kind: Kind) -> Decision:
        said = f"route {place} ({_conditions(route)})"
        if route.cascade:
            legs = tuple(leg for one in route.cascade if (leg := self._leg(one, kind)) is not None)
            if not legs:
                return Decision((), f"{said}: {kind} can go on none of its legs", NOT_SUPPORTED)
            # Where only the first ones are left, the last of them has nothing to lead on to.
            legs = (*legs[:-1], msgspec.structs.replace(legs[-1], wait=0, onward=Onward.NO))
            return Decision(legs[0].providers, f"{said}: {', then '.join(map(_said, legs))}", legs=legs)
        able = tuple(name for name in route.all_providers if kind in self._carries[name])
        if not able:
            return Decision((), f"{said}: {', '.join(route.all_providers)} cannot carry {kind}", NOT_SUPPORTED)
        return Decision(able, f"{said} to {', then '.join(able)}")

    def _leg(self, leg: LegConfig, kind: Kind) -> Leg | None:
        """What a leg is for messages of this kind; None: they cannot take it."""
        goes_as = Kind(leg.kind) if leg.kind else kind
        able = tuple(name for name in leg.providers if goes_as in self._carries[name])
        if not able or not can_go_as(kind, goes_as):
            return None
        return Leg(
            providers=able,
            kind=goes_as,
            source=leg.source,
            wait=int(leg.wait * 1000),
            onward=Onward.ALWAYS if leg.unknown == "next" else Onward.IF_CERTAIN,
        )


def _conditions(route: Route) -> str:
    conditions = [f"account {route.account}"] if route.account else []
    for word, values in (("kinds", sorted(route.kinds)), ("to", route.destination), ("from", route.source)):
        if values:
            more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
            conditions.append(f"{word} {' '.join(values[:_NAMED])}{more}")
    return ", ".join(conditions) or "everything"


def _said(leg: Leg) -> str:
    return f"{leg.kind} by {' or '.join(leg.providers)}" + (f" for {leg.wait / 1000:g} s" if leg.wait else "")
