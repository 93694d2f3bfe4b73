"""The skeleton adapter with more in a request, and with the states that `bench.provider --states answer` tells; and
the sandbox with references in no order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from pdu import MessageState
from smppbridge.model import Message, StatusReport
from smppbridge.providers import sandbox
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


class Strewn(sandbox.Sandbox):
    """The sandbox, which calls each message something else, in no order, and tells its state by that alone."""

    def transport(self, deliver: sandbox.Deliver) -> sandbox.Server:
        return _StrewnServer(self.settings, deliver, self._key)


class _StrewnServer(sandbox.Server):
    def _answer(self, item: Any) -> Any:
        return msgspec.structs.replace(super()._answer(item), ref=os.urandom(8).hex())

    def _ordinary(self, item: Any, now: float, slot: list[StatusReport]) -> Any:
        answer = super()._ordinary(item, now, slot)
        slot[-1] = msgspec.structs.replace(slot[-1], id=0)
        return answer
