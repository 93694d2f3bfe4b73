"""Which providers a message goes to: the first `[[routes]]` that fits decides. Pure.

What an operator meets: err 248 "no route" where no route fits, err 21 "service not supported" where one fits but none
of its providers carries that kind of message. Both are known before the message is accepted (`route_of`), so the client
is told in the response; a message that was accepted under other routes ends with the same words as REJECTED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..config import ProviderConfig, Route
from ..model import Kind, Message
from ..providers.base import Provider

#: `err` of receipts, from the smsc list of error codes in statuses.
NOT_SUPPORTED = 21
NO_ROUTE = 248


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Where a message may go, in this order, and why. Without providers: `err` says what the receipt tells."""

    providers: tuple[str, ...]
    why: str
    err: int = 0


class _Rule(msgspec.Struct, frozen=True, gc=False):
    """What is left of a route once account and kind are known."""

    prefixes: tuple[str, ...]
    sources: frozenset[str]
    source_prefixes: tuple[str, ...]
    decision: Decision

    def fits(self, destination: str, source: str) -> bool:
        if self.prefixes and not destination.lstrip("+").startswith(self.prefixes):
            return False
        if not self.sources and not self.source_prefixes:
            return True
        return source in self.sources or source.startswith(self.source_prefixes)


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
            for name in route.providers:
                if name not in carries:
                    raise ValueError(f"route {place} names the provider {name!r}, which is not configured")
        self._routes = tuple(routes)
        self._carries = dict(carries)
        self._known: dict[str, dict[str, tuple[tuple[_Rule, ...], Decision]]] = {}

    @property
    def providers(self) -> frozenset[str]:
        """Every provider that a route names."""
        return frozenset(name for route in self._routes for name in route.providers)

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
                    sources=frozenset(source for source in route.source if not source.endswith("*")),
                    source_prefixes=tuple(source[:-1] for source in route.source if source.endswith("*")),
                    decision=decision,
                )
            )
        known = (tuple(rules), otherwise)
        self._known.setdefault(account, {})[kind] = known
        return known

    def _decide(self, place: int, route: Route, kind: Kind) -> Decision:
        able = tuple(name for name in route.providers if kind in self._carries[name])
        conditions = [f"account {route.account}"] if route.account else []
        for word, values in (("kinds", sorted(route.kinds)), ("to", route.destination), ("from", route.source)):
            if values:
                conditions.append(f"{word} {' '.join(values)}")
        said = f"route {place} ({', '.join(conditions) or 'everything'})"
        if not able:
            return Decision((), f"{said}: {', '.join(route.providers)} cannot carry {kind}", NOT_SUPPORTED)
        return Decision(able, f"{said} to {', then '.join(able)}")
