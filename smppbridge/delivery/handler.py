"""Statuses to an account's own HTTP handler, where registered_delivery was not set.

The request is worded as smsc.ru words its own callback (smsc HTTP API, callback): POST of a form with id, phone,
status, time, ts, err, type, cost, cnt, flag; HLR results add imsi, msc, mcc, mnc, cn, net, rcn, rnet. With a secret
the field named after the digest (md5, sha1 or crc32) holds it over `id:phone:status:secret`. Anything but a 200 is
tried again with a doubling pause until `retry_for` is over; order is not promised.

Each account with something to tell has a loop of its own, which reads a page and tells it, and its share of the
connections (`Slots`): a handler that hangs holds up nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
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

#: Requests at once, over all accounts, and for one of them.
_AT_ONCE = 100
_FOR_ONE = 20
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


class Slots:
    """Who may have a request under way. Half of the slots are for those who have none, so that a few accounts whose
    handlers hang leave one for everybody; of the others no account has more than it leaves. Once there are more
    accounts than slots, they take turns."""

    def __init__(self, slots: int, for_one: int) -> None:
        self._free = slots
        self._kept = slots // 2
        self._for_one = for_one
        self._taken: Counter[str] = Counter()
        #: The first of them is next, unless it has its share.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def one(self, account: str) -> AsyncIterator[None]:
        """A slot, once there is one for this account."""
        if account not in self._waiting and self._may(account):
            self._take(account)
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(account, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._let_in()
                else:
                    self._give_back(account)
                raise
        try:
            yield
        finally:
            self._give_back(account)

    def _may(self, account: str) -> bool:
        taken = self._taken.get(account, 0)
        return taken < min(self._for_one, self._free - self._kept) if taken else self._free > 0

    def _take(self, account: str) -> None:
        self._free -= 1
        self._taken[account] += 1

    def _give_back(self, account: str) -> None:
        self._free += 1
        self._taken[account] -= 1
        if not self._taken[account]:
            del self._taken[account]
        self._let_in()

    def _let_in(self) -> None:
        """Whoever waits and may."""
        for name in list(self._waiting):
            turns = self._waiting[name]
            while turns and turns[0].cancelled():
                turns.popleft()
            if turns and self._may(name):
                self._take(name)
                turns.popleft().set_result(None)
                # Its next one comes after the others.
                self._waiting[name] = self._waiting.pop(name)
            if not turns:
                del self._waiting[name]


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
        self._slots = Slots(_AT_ONCE, _FOR_ONE)
        #: Accounts with something new on disk, which no page has been read of since.
        self._fresh: set[str] = set()
        self._news = asyncio.Event()
        #: By account, while there is something to tell.
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._log = structlog.get_logger("handler")
        self.delivered = 0
        self.errors = 0

    def offer(self, receipts: Sequence[Receipt]) -> None:
        """There is news on disk."""
        if receipts:
            self._fresh.update(receipt.account for receipt in receipts)
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        look_at = loop.time()
        try:
            while True:
                if loop.time() >= look_at:
                    look_at = loop.time() + _EVERY
                    await self._look()
                for account in self._fresh - self._loops.keys():
                    self._loops[account] = loop.create_task(self._serve(account))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), look_at - loop.time())
                self._news.clear()
        finally:
            loops = list(self._loops.values())
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._transport.aclose()

    async def _look(self) -> None:
        """What was put off may be due by now, and somebody's loop may have failed."""
        try:
            self._fresh.update(await self._store.accounts_by_http())
        except StoreFailed as failed:
            self._log.error("the outbox was not read", reason=str(failed))
        except Exception:
            self._log.exception("statuses not posted")

    async def _serve(self, account: str) -> None:
        """Tell the handler of an account what is due, to the end."""
        try:
            more = True
            while more or account in self._fresh:
                self._fresh.discard(account)
                more = await self.once(account)
        except StoreFailed as failed:
            self._log.error("the outbox was not read", account=account, reason=str(failed))
        except Exception:
            # A mistake of ours in one status must not end all of them; its row waits for its next turn.
            self._log.exception("statuses not posted", account=account)
        finally:
            del self._loops[account]

    async def once(self, account: str) -> bool:
        """Post one page of what is due. True if there may be more."""
        receipts = await self._store.receipts_by_http(account, self._clock(), _PAGE)

        async def post(receipt: Receipt) -> None:
            async with self._slots.one(account):
                await self._post(receipt)

        # All are done with before the next page: what takes longer than a row is put off for must not be taken twice.
        done = await asyncio.gather(*map(post, receipts), return_exceptions=True)
        for failed in done:
            if failed is not None:
                raise failed
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
