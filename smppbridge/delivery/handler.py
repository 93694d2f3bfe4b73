"""Statuses to an account's own HTTP handler, where registered_delivery was not set.

The request is worded as smsc.ru words its own callback (smsc HTTP API, callback): POST of a form with id, phone,
status, time, ts, err, type, cost, cnt, flag; HLR results add imsi, msc, mcc, mnc, cn, net, rcn, rnet. With a secret
the field named after the digest (md5, sha1 or crc32) holds it over `id:phone:status:secret`. Anything but a 200 is
tried again with a doubling pause until `retry_for` is over; order is not promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import msgspec
import structlog

from ..config import AccountConfig, Handler
from ..model import Kind, Millis, Receipt
from ..store.base import Store, StoreFailed
from ..transport import RequestFailed, to_anybody
from .receipts import vendor_status, vendor_type

#: Requests at once, over all accounts; a slow handler of one holds at most these.
_AT_ONCE = 20
_PAGE = 200
#: Without news the outbox is looked at this often, in seconds.
_EVERY = 5.0
#: First pause and last, in milliseconds.
_FIRST_PAUSE = 5_000
_LAST_PAUSE = 900_000


def form(receipt: Receipt, id: str, handler: Handler, timezone: str) -> dict[str, str]:
    """The fields of one status; all strings. `id` as receipts of the account write it."""
    message = receipt.message
    status = vendor_status(receipt.state)
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    fields = {
        "id": id,
        "phone": message.destination.lstrip("+"),
        "status": str(status),
        "time": datetime.fromtimestamp(receipt.done_at / 1000, zone).strftime("%d.%m.%Y %H:%M:%S"),
        "ts": str(receipt.done_at // 1000),
        "err": str(receipt.err),
        "type": str(vendor_type(message)),
        "cnt": str(message.progress.parts or 1),
        "flag": "0",
    }
    if message.progress.cost:
        fields["cost"] = message.progress.cost
    if message.kind is Kind.HLR and receipt.hlr is not None:
        fields |= {name: value for name, value in msgspec.structs.asdict(receipt.hlr).items() if isinstance(value, str)}
    if handler.secret:
        fields[handler.signature] = sign(f"{id}:{fields['phone']}:{status}:{handler.secret}", handler.signature)
    return fields


def sign(base: str, digest: str) -> str:
    """The digests that the vendor's callback offers. They are what its clients check; none of them is strong."""
    octets = base.encode()
    if digest == "crc32":
        return f"{zlib.crc32(octets):08x}"
    return hashlib.new(digest, octets, usedforsecurity=False).hexdigest()


class Handlers:
    """Posts what is due, until cancelled."""

    def __init__(
        self,
        *,
        accounts: dict[str, AccountConfig],
        store: Store,
        clock: Callable[[], Millis],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.accounts = accounts
        self._store = store
        self._clock = clock
        self._transport = transport or to_anybody(_AT_ONCE)
        self._news = asyncio.Event()
        self._log = structlog.get_logger("handler")
        self.delivered = 0
        self.errors = 0

    def offer(self, receipts: Sequence[Receipt]) -> None:
        """There is news on disk."""
        if receipts:
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    more = await self.once()
                except StoreFailed as failed:
                    self._log.error("the outbox was not read", reason=str(failed))
                    more = False
                except Exception:
                    # A mistake of ours in one status must not end all of them; its row waits for its next turn.
                    self._log.exception("statuses not posted")
                    more = False
                if not more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), _EVERY)
                    self._news.clear()
        finally:
            await self._transport.aclose()

    async def once(self) -> bool:
        """Post one page of what is due. True if there may be more."""
        receipts = await self._store.receipts_by_http(self._clock(), _PAGE)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def post(receipt: Receipt) -> None:
            async with slots:
                await self._post(receipt)

        await asyncio.gather(*(post(receipt) for receipt in receipts))
        return len(receipts) == _PAGE

    async def _post(self, receipt: Receipt) -> None:
        account = self.accounts.get(receipt.account)
        now = self._clock()
        if account is None or account.handler is None:
            await self._store.drop_receipts([receipt], "the account has no handler any more", now)
            return
        handler = account.handler
        why = ""
        for id in map(account.dialect.write_receipt_id, receipt.ids):
            try:
                request = httpx.Request("POST", handler.url, data=form(receipt, id, handler, account.timezone))
                async with asyncio.timeout(handler.timeout):
                    response = await self._transport.handle_async_request(request)
                    await response.aread()
                why = "" if response.status_code == 200 else f"HTTP {response.status_code}"
            except RequestFailed as failed:
                why = str(failed)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                why = type(error).__name__
            if why:
                break
        now = self._clock()
        if not why:
            self.delivered += 1
            await self._store.delivered([receipt], now)
            return
        self.errors += 1
        if now - receipt.done_at > handler.retry_for * 1000:
            await self._store.drop_receipts([receipt], f"the handler did not answer 200 in time: {why}", now)
        else:
            pause = min(_FIRST_PAUSE << min(receipt.attempts, 16), _LAST_PAUSE)
            await self._store.put_off([receipt], now + pause)
        self._log.warning("the handler did not take a status", **receipt.message.log_context(), reason=why)
