"""What the stations have counted, under the names that `web/metrics.py` declares."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pdu import CommandId

from .web.metrics import Reading, Value

if TYPE_CHECKING:
    from .app import Gateway


async def reading(gateway: Gateway) -> Reading:
    """One look at everything. Raises StoreFailed where the store cannot be asked."""
    stored = await gateway.store.stats()
    now = gateway.clock()
    smpp, accounts = gateway.smpp, gateway.submission.accounts
    binds: Counter[tuple[str, ...]] = Counter((link.account, link.bind_type) for link in gateway.bound.links.values())
    found: dict[str, dict[tuple[str, ...], Value]] = {
        "smppbridge_connections": {(): smpp.guard.connections},
        "smppbridge_connections_unbound": {(): smpp.guard.unbound},
        "smppbridge_connections_opened": {(): smpp.stats.opened},
        "smppbridge_connections_refused": {(reason,): count for reason, count in smpp.stats.refused.items()},
        "smppbridge_binds": dict(binds),
        "smppbridge_binds_refused": {(status,): count for status, count in smpp.stats.binds_refused.items()},
        "smppbridge_binds_replaced": {(): smpp.stats.binds_replaced},
        "smppbridge_alerts": {(): gateway.outbox.alerted},
        "smppbridge_binds_delayed": {(): smpp.stats.binds_delayed},
        "smppbridge_pdus": _pdus("in", smpp.stats.pdus.received) | _pdus("out", smpp.stats.pdus.sent),
        "smppbridge_bad_pdus": {(): smpp.stats.pdus.bad},
        "smppbridge_reading_paused": {
            ("submit_window",): smpp.stats.pdus.full,
            **{(reason,): count for reason, count in smpp.stats.paused.items()},
        },
        "smppbridge_messages_accepted": {(name,): state.accepted for name, state in accounts.items()},
        "smppbridge_messages_resent": {(name,): state.resent for name, state in accounts.items()},
        "smppbridge_messages_pending": {(name,): state.pending for name, state in accounts.items()},
        "smppbridge_messages_refused": {
            (name, status): count for name, state in accounts.items() for status, count in state.refused.items()
        },
        "smppbridge_messages_limited": {
            (name, limit): count for name, state in accounts.items() for limit, count in state.limited.items()
        },
        "smppbridge_messages_waiting": {(): stored.waiting},
        "smppbridge_messages_in_flight": {(): stored.in_flight},
        "smppbridge_oldest_waiting_seconds": {(): _age(stored.oldest_waiting, now)},
        "smppbridge_receipts_waiting": {(name,): count for name, count in stored.outbox.items()},
        "smppbridge_oldest_receipt_seconds": {(): _age(stored.oldest_receipt, now)},
        "smppbridge_incoming_messages": dict(gateway.incoming.items()),
        "smppbridge_incoming_delivered": {(): gateway.outbox.arrived},
        "smppbridge_receipts_delivered": {
            ("smpp",): gateway.outbox.delivered,
            ("http",): gateway.handlers.delivered,
        },
        "smppbridge_receipts_refused": {("smpp",): gateway.outbox.errors, ("http",): gateway.handlers.errors},
        "smppbridge_callbacks": {
            ("taken",): gateway.callbacks.taken,
            ("refused",): gateway.callbacks.refused,
        },
    }
    if (door := gateway.http_door) is not None:
        found["smppbridge_http_connections"] = {(): len(door.connections)}
        found["smppbridge_http_connections_cut"] = {(reason,): count for reason, count in door.refused.items()}
    dispatched = gateway.dispatcher.stats
    for name, counted in _DISPATCHED.items():
        found[name] = {(): dispatched[counted]}
    return found | _of_providers(dispatched["providers"])


#: Counters of the dispatcher.
_DISPATCHED = {
    "smppbridge_messages_claimed": "claimed",
    "smppbridge_messages_put_back": "put_back",
    "smppbridge_messages_expired": "expired",
    "smppbridge_messages_without_route": "no_route",
    "smppbridge_store_failures": "store_failures",
}


def _pdus(direction: str, counts: dict[int, int]) -> dict[tuple[str, ...], Value]:
    """Only commands that were seen: thirty zeros twice help nobody."""
    return {
        (direction, CommandId(command).name.lower() if command else "unknown"): count
        for command, count in counts.items()
        if count
    }


def _of_providers(providers: dict[str, dict[str, Any]]) -> dict[str, dict[tuple[str, ...], Value]]:
    found: dict[str, dict[tuple[str, ...], Value]] = {
        "smppbridge_provider_messages": {},
        "smppbridge_provider_requests": {},
        "smppbridge_provider_queued": {},
        "smppbridge_provider_open": {},
        "smppbridge_provider_seconds": {},
    }
    for name, numbers in providers.items():
        for outcome, count in numbers["outcomes"].items():
            found["smppbridge_provider_messages"][name, outcome] = count
        found["smppbridge_provider_requests"][name,] = numbers["requests"]
        found["smppbridge_provider_queued"][name,] = numbers["queued"]
        for kind, health in numbers["kinds"].items():
            found["smppbridge_provider_open"][name, kind] = float(health == "open")
        bounds = [*(f"{bound:g}" for bound in numbers["latency_bounds"]), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(numbers["latency"])), strict=True))
        found["smppbridge_provider_seconds"][name,] = (buckets, numbers["latency_sum"])
    return found


def _age(moment: int, now: int) -> float:
    return (now - moment) / 1000 if moment else 0.0
