"""`/metrics`: the one place that declares every metric by name, with the sentence that explains it.

Counting happens where things happen, in plain integers; here they are only shown. A scrape costs what the store's
`stats` costs, which does not depend on how many messages wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..config import Network, plain, within

Kind = Literal["counter", "gauge", "histogram"]


class Declared(msgspec.Struct, frozen=True):
    """One metric: what it is called, what it means, what it is told apart by."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


METRICS = (
    Declared("smppbridge_connections", "gauge", "Open SMPP connections, bound or not."),
    Declared("smppbridge_connections_opened", "counter", "SMPP connections accepted since the start."),
    Declared("smppbridge_connections_unbound", "gauge", "Those of the open ones that have not bound."),
    Declared("smppbridge_connections_refused", "counter", "SMPP connections not taken, by reason.", ("reason",)),
    Declared("smppbridge_binds", "gauge", "Binds by account and type.", ("account", "type")),
    Declared("smppbridge_binds_refused", "counter", "Binds refused, by command_status.", ("status",)),
    Declared("smppbridge_binds_replaced", "counter", "Binds that were sent off for a newer one of their account."),
    Declared("smppbridge_alerts", "counter", "ALERT_NOTIFICATION sent."),
    Declared("smppbridge_binds_delayed", "counter", "Binds that waited, after failed ones from the same address."),
    Declared("smppbridge_pdus", "counter", "PDUs by direction and command.", ("direction", "command")),
    Declared("smppbridge_bad_pdus", "counter", "PDUs that no client should send."),
    Declared("smppbridge_reading_paused", "counter", "Times that a client was not read from for a while.", ("reason",)),
    Declared("smppbridge_messages_accepted", "counter", "SUBMIT_SM answered with status 0.", ("account",)),
    Declared("smppbridge_messages_resent", "counter", "Resends answered with the first id.", ("account",)),
    Declared("smppbridge_messages_refused", "counter", "SUBMIT_SM refused, by status.", ("account", "status")),
    Declared("smppbridge_messages_limited", "counter", "Refused because of a limit.", ("account", "limit")),
    Declared("smppbridge_messages_pending", "gauge", "SUBMIT_SM being stored at this moment.", ("account",)),
    Declared("smppbridge_messages_waiting", "gauge", "Accepted, not yet handed to a provider."),
    Declared("smppbridge_messages_in_flight", "gauge", "A provider has them, or may have them; the outcome is open."),
    Declared("smppbridge_oldest_waiting_seconds", "gauge", "Age of the oldest message that waits to be sent."),
    Declared("smppbridge_messages_claimed", "counter", "Messages taken from disk because they were due."),
    Declared("smppbridge_messages_put_back", "counter", "Those of them that found no room and went back."),
    Declared("smppbridge_messages_expired", "counter", "Messages that were not sent within their validity period."),
    Declared("smppbridge_messages_without_route", "counter", "Accepted messages that no provider may take any more."),
    Declared("smppbridge_store_failures", "counter", "Times that the store could not keep what became of messages."),
    Declared("smppbridge_receipts_waiting", "gauge", "Receipts a client has not answered yet.", ("account",)),
    Declared("smppbridge_oldest_receipt_seconds", "gauge", "Age of the oldest receipt that waits for its client."),
    Declared("smppbridge_incoming_messages", "counter", "Messages from subscribers.", ("provider", "account")),
    Declared("smppbridge_incoming_delivered", "counter", "Messages from subscribers that a client answered."),
    Declared("smppbridge_receipts_delivered", "counter", "Receipts that went out and were answered.", ("by",)),
    Declared("smppbridge_receipts_refused", "counter", "Receipts that a client answered with an error.", ("by",)),
    Declared("smppbridge_callbacks", "counter", "Callbacks of providers, by what became of them.", ("outcome",)),
    Declared("smppbridge_http_connections", "gauge", "Open connections to the HTTP listener."),
    Declared("smppbridge_http_connections_cut", "counter", "Those not taken, or cut off, by reason.", ("reason",)),
    Declared("smppbridge_provider_messages", "counter", "Messages by provider and outcome.", ("provider", "outcome")),
    Declared("smppbridge_provider_requests", "counter", "HTTP requests made to a provider.", ("provider",)),
    Declared("smppbridge_provider_queued", "gauge", "Messages in memory for a provider.", ("provider",)),
    Declared("smppbridge_provider_open", "gauge", "1 while a breaker holds messages back.", ("provider", "kind")),
    Declared("smppbridge_provider_seconds", "histogram", "How long a provider takes to answer.", ("provider",)),
)

#: Label values in the order of `Declared.labels` → value. A histogram's value is (buckets, sum): the buckets as
#: (upper bound, count so far) pairs, the last one "+Inf".
Value = float | tuple[list[tuple[str, float]], float]
Reading = Mapping[str, Mapping[tuple[str, ...], Value]]
Read = Callable[[], Awaitable[Reading]]


class _Readings(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        for declared in METRICS:
            yield _family(declared, self._reading.get(declared.name, {}))


def _family(declared: Declared, values: Mapping[tuple[str, ...], Value]) -> Metric:
    if declared.kind == "histogram":
        histogram = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
        for labels, value in values.items():
            assert isinstance(value, tuple)
            histogram.add_metric(labels, value[0], value[1])
        return histogram
    family = CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily
    metric = family(declared.name, declared.help, labels=declared.labels)
    for labels, value in values.items():
        assert not isinstance(value, tuple)
        metric.add_metric(labels, value)
    return metric


def exposition(reading: Reading) -> bytes:
    """The text that Prometheus reads. A reading under an undeclared name is a mistake of ours."""
    unknown = reading.keys() - {declared.name for declared in METRICS}
    if unknown:
        raise KeyError(f"undeclared metrics: {sorted(unknown)}")
    registry = CollectorRegistry()
    registry.register(_Readings(reading))
    return generate_latest(registry)


def router(read: Read, networks: tuple[Network, ...]) -> APIRouter:
    routes = APIRouter()

    @routes.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if request.client is None or not within(plain(request.client.host), networks):
            return Response("not in [http] metrics_networks\n", 403, media_type="text/plain")
        return Response(exposition(await read()), media_type=CONTENT_TYPE_LATEST)

    return routes
