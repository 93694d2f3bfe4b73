"""The skeleton adapter with more in a request, and with the states that `bench.provider --states answer` tells."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import msgspec

from pdu import MessageState
from smppbridge.model import Message, StatusReport
from smppbridge.providers.base import Outcome, Sent
from smppbridge.providers.skeleton import Skeleton


class _Result(msgspec.Struct):
    client_id: str
    state: str = ""


class _Results(msgspec.Struct):
    results: list[_Result]


_DECODE = msgspec.json.Decoder(_Results).decode


class Wide(Skeleton):
    batch = 100


class Answering(Wide):
    """The state comes with the answer."""

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        results = _DECODE(response.content).results
        if any(result.state != "delivered" for result in results):
            raise AssertionError("the provider has something else to say")
        return [
            Sent(ref=result.client_id, report=StatusReport(state=MessageState.DELIVERED, raw=result.state))
            for result in results
        ]
