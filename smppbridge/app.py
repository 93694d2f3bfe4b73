"""The one place that builds everything and connects it.

The stations never import each other; they meet here as arguments. Start-up and shutdown are lists to be read from top
to bottom (`Gateway.start`, `Gateway.stop`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import uvloop
from fastapi import FastAPI, Response
from starlette.routing import Mount
from starlette.routing import Router as Paths
from starlette.types import ASGIApp

from pdu import SubmitSm

from . import __version__
from .config import Config, ConfigError, Finding, check, diff
from .control.capture import Capture
from .control.listener import Control
from .control.protocol import place
from .delivery.alerts import Watch
from .delivery.handler import Handlers
from .delivery.incoming import account_for
from .delivery.outbox import Outbox
from .dispatch.dispatcher import Dispatcher
from .dispatch.routing import Router, carries
from .ids import IdGenerator, wall_clock
from .journal import Journal
from .logs import hide_also, set_up
from .model import Incoming, Message, Millis, Notify, Receipt, bare
from .notify import Notifier
from .providers.base import Callback, Provider
from .providers.registry import adapter_class, build
from .readings import reading
from .smpp.admission import Admission, Doorkeeper
from .smpp.bound import Bound
from .smpp.events import BindRequest, Ending, Operation
from .smpp.link import Link
from .smpp.listening import ListenFailed
from .smpp.outbind import Callers
from .smpp.server import SmppServer
from .smpp.tls import Certificate
from .store.base import Applied, Store, StoreFailed
from .store.memory import MemoryStore
from .store.sqlite import SqliteStore
from .submission import Submission
from .web import health, metrics
from .web.callbacks import Callbacks, NobodyReceives
from .web.listener import Door, Limits, Listener


class Patience(NamedTuple):
    """How long the steps of the end may take, in seconds. All of them together fit into TimeoutStopSec of the unit."""

    #: Requests to providers, however long their `timeout` is.
    requests: float = 60.0
    #: What is to be written down: for clients that have just submitted, and what they answer to receipts.
    writing: float = 20.0
    #: Clients until they answer our UNBIND: most do at once, some never.
    farewell: float = 5.0


#: Where the store has failed: nothing that ends now can be kept.
_HURRY = Patience(1.0, 1.0, 1.0)
#: A second SIGTERM so soon after the first is the same one: it was sent to us and to our group, as `timeout` does.
_SAME_SIGNAL = 1.0
#: How long the store may take to answer `/readyz`, in seconds.
_ANSWER = 5.0
#: How often what has been kept long enough is forgotten, in seconds. Then so many messages at least between two pauses,
#: a few hundredths of a core, and never fewer than came to their end meanwhile: or what is kept would grow for ever at
#: full load.
_PURGE_EVERY = 60.0
_PURGE_LEAST = 125
_PURGE_PAUSE = 0.05
#: Subscribers that the store is asked about at once.
_ALERTS = 500
#: The loop thread and the writer thread of the store share the interpreter. With Python's default of 5 ms a commit
#: waits that long for its turn while the loop is busy. At 10 µs some 7 % more are accepted than at 50 µs.
_SWITCH_INTERVAL = 10e-6


class Gateway:
    """One running gateway. Built from a configuration; nothing happens before `start`."""

    def __init__(self, config: Config, *, clock: Callable[[], Millis] = wall_clock) -> None:
        self.config = config
        self.clock = clock
        self.log = structlog.get_logger("gateway")
        self.draining = False
        self.store: Store = _store(config)
        self.bound = Bound()
        self.journal = Journal(config.log.message_lines)
        #: Messages from subscribers so far, by provider and account.
        self.incoming: Counter[tuple[str, str]] = Counter()
        #: The store can make nothing durable any more: the gateway is to end, so that it is opened anew.
        self.failed = asyncio.Event()
        #: Messages that have come to their end so far.
        self.ended = 0
        self._work: set[asyncio.Task[None]] = set()
        self._http: Listener | None = None

    # Start -----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """In this order: what is on disk, what was left open, those who speak to providers, those who listen."""
        config = self.config
        await self.store.open()
        self.ids = IdGenerator(config.store.node, await self.store.last_id(), self.clock)
        self.doorkeeper = Doorkeeper(config.accounts)
        self.providers = _providers(config)
        self.outbox = Outbox(
            accounts=config.accounts, store=self.store, bound=self.bound, clock=self.clock, journal=self.journal
        )
        self.watch = Watch(config.accounts, self.store.any_absent)
        self.handlers = Handlers(accounts=config.accounts, store=self.store, clock=self.clock)
        self.dispatcher = Dispatcher(
            config=config.providers,
            store=self.store,
            router=_router(config, self.providers),
            providers=self.providers,
            clock=self.clock,
            on_receipts=self._deliver,
            on_ended=self._over,
            deliver=self._callback_within,
            journal=self.journal,
        )
        self.submission = Submission(
            accounts=config.accounts,
            lists=config.distribution_lists,
            max_pending=config.smpp.max_pending,
            store=self.store,
            ids=self.ids,
            bound=self.bound,
            outlet=self.dispatcher,
            clock=self.clock,
            applied=self._applied,
            journal=self.journal,
        )
        self.callbacks = Callbacks(
            providers=self.providers,
            config=config.providers,
            report=self.dispatcher.report,
            receive=self._receive,
            clock=self.clock,
            max_body=config.http.max_body,
        )
        self.smpp = SmppServer(config.smpp, self, bound=self.bound, node=config.store.node)
        self.store.when_failed(self._store_failed)
        await self.dispatcher.start()
        await self.submission.parts.sweep()
        await self.smpp.start()
        if config.http.listen:
            self._http = await Listener.start(self._web(), config.http.listen, Limits.of(config.http))
        self.control = Control(
            place(config.control, config.store), {"capture": Capture(self.smpp.taps, lambda: self.config.accounts)}
        )
        await self.control.start()
        self.callers = Callers(self.smpp, config.accounts, self.outbox.waits)
        for work in (
            self.callers.run(),
            self.submission.run(),
            self.handlers.run(),
            self._every_second(),
            self._keep(),
        ):
            self._spawn(work)
        self.log.info(
            "ready",
            smpp=self.smpp.addresses,
            http=self.http_address,
            control=self.control.address,
            version=__version__,
        )

    # Stop ------------------------------------------------------------------------------------------------------------

    async def stop(self, patience: Patience = Patience()) -> None:  # noqa: B008 (it cannot be changed)
        """In this order: nothing new comes in, what is under way ends, clients are sent off, the disk is closed."""
        self.draining = True
        self.log.info("stopping", links=len(self.smpp.links))
        self.smpp.stop_listening()
        await self.callers.close()
        async with _at_most(patience.writing):
            await self.submission.drain()
        await self.dispatcher.close(patience.requests)
        await self._alert()
        await self.smpp.stop(patience.farewell)
        async with _at_most(patience.writing):
            await self.outbox.drain()
        await self.control.stop()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        if self._http:
            await self._http.stop()
        await self.store.close()
        self.log.info("stopped")

    def _store_failed(self, failed: StoreFailed) -> None:
        """Nothing can be promised any more (ARCHITECTURE.md, promise 8)."""
        self.log.critical("the store failed, the gateway ends", reason=str(failed))
        if failed.uncertain:
            # What may be kept must be neither acknowledged nor refused: nobody hears anything, as in a crash.
            for link in list(self.smpp.links.values()):
                link.abort()
        self.failed.set()

    # Reload ----------------------------------------------------------------------------------------------------------

    def reload(self, config: Config) -> None:
        """Accounts, routes, providers and limits; listeners, store and log need a restart (`config.diff` says so)."""
        # What can fail comes first: then everything stays as it was.
        providers = _providers(config)
        router = _router(config, providers)
        self.smpp.reload(config.smpp)
        self.dispatcher.reload(config.providers, router, providers)
        self.config = config
        self.doorkeeper = Doorkeeper(config.accounts)
        self.submission.reload(config.accounts, config.distribution_lists)
        self.outbox.reload(config.accounts)
        self.watch.accounts = config.accounts
        self.callers.reload(config.accounts)
        self.handlers.accounts = config.accounts
        # Those whose settings stayed the same are the old ones.
        self.providers = dict(self.dispatcher.providers)
        self.callbacks.providers, self.callbacks.config = self.providers, config.providers
        # Access fails closed: who has no account any more is sent off. Nobody else notices the reload.
        for link in list(self.bound.links.values()):
            if link.account not in config.accounts:
                link.unbind("the account was taken out of the configuration", shut=True)

    # What the SMPP server tells (smpp.server.Application) -----------------------------------------------------------

    async def admit(self, request: BindRequest, peer: str, certificate: Certificate | None) -> Admission:
        while True:
            doorkeeper = self.doorkeeper
            admission = await doorkeeper.admit(request, peer, certificate)
            # The accounts may be others by now: a hash takes its time, and who waits for one was not sent off.
            if doorkeeper is self.doorkeeper:
                return admission

    def neighbour(self, address: IPv4Address | IPv6Address) -> bool:
        return self.doorkeeper.neighbour(address)

    def link_up(self, link: Link) -> None:
        self.submission.link_up(link)
        self.outbox.link_up(link)

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        self.submission.submitted(link, pdu, frame)

    def asked(self, link: Link, pdu: Operation, frame: bytes) -> None:
        self.submission.asked(link, pdu, frame)

    def answered(self, link: Link, token: Any, status: int | None) -> None:
        self.outbox.answered(token, status)

    def link_down(self, link: Link, ending: Ending) -> None:
        self.outbox.link_down(link)

    # What travels between the stations -------------------------------------------------------------------------------

    def _applied(self, applied: Sequence[Applied]) -> None:
        self._deliver([receipt for one in applied for receipt in (*one.earlier, one.receipt) if receipt is not None])

    def _deliver(self, receipts: Sequence[Receipt]) -> None:
        """Fresh receipts, durable already, to whoever is to hear of them."""
        by_http = [receipt for receipt in receipts if receipt.channel is Notify.HTTP]
        if by_http:
            self.handlers.offer(by_http)
            receipts = [receipt for receipt in receipts if receipt.channel is Notify.SMPP]
        self.outbox.offer(receipts)

    async def _callback_within(self, name: str, callback: Callback) -> Response:
        """A provider in this process calls us: the same way in as through the HTTP listener, but for the door."""
        return await self.callbacks.take(self.providers[name], callback)

    async def _receive(self, name: str, incoming: Sequence[Incoming]) -> None:
        """Messages from subscribers, each into the outbox of the account it is for. Raises NobodyReceives for those
        that are for nobody, so that the provider keeps them, and StoreFailed; the others are kept all the same."""
        nobody = 0
        for one in incoming:
            account = account_for(one, self.config.incoming) or await self._sender_of(one)
            if account not in self.config.accounts:
                nobody += 1
            elif arrival := await self.store.incoming(account, one, self.clock()):
                self.incoming[name, account] += 1
                if self.journal.open(1):
                    self.journal.say("incoming", incoming=one.ref, account=account, provider=name)
                self.outbox.offer([arrival])
                self.watch.met(bare(one.source))
        if nobody:
            raise NobodyReceives(f"{nobody} messages from subscribers are for no account: see [[incoming]]")

    async def _sender_of(self, incoming: Incoming) -> str:
        """Who sent the message that this one replies to, if the provider says which that is."""
        if not incoming.reply_to:
            return ""
        message = await self.store.find_by_ref(incoming.provider, incoming.reply_to)
        return message.account if message is not None else ""

    async def _alert(self) -> None:
        """Remember who was absent; tell of those who are not any more. What the store did not take is tried again."""
        absent, reached = self.watch.take()
        try:
            if absent:
                await self.store.absent(absent)
                absent = []
            while reached:
                self.outbox.offer(await self.store.reachable(reached[:_ALERTS], self.clock()))
                del reached[:_ALERTS]
        except StoreFailed as failed:
            self.watch.put_back(absent, reached)
            self.log.error("alerts were not kept", reason=str(failed))

    # What is done from time to time ----------------------------------------------------------------------------------

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                self.outbox.tick()
                await self._alert()
            except Exception:
                # A mistake of ours must not end what is done every second; so with what is purged.
                self.log.exception("a task failed", task="every second")

    async def _keep(self) -> None:
        """Forget what has been kept long enough, in small steps."""
        while True:
            try:
                before = self.clock() - int(self.config.store.retention * 1000)
                limit, ended = _PURGE_LEAST, self.ended
                while await self.store.purge(before, limit) == limit:
                    await asyncio.sleep(_PURGE_PAUSE)
                    limit = max(_PURGE_LEAST, self.ended - ended)
                    ended = self.ended
                await self.outbox.forget_old()
            except StoreFailed as failed:
                self.log.error("nothing was purged", reason=str(failed))
            except Exception:
                self.log.exception("a task failed", task="purge")
            await asyncio.sleep(_PURGE_EVERY)

    def _over(self, messages: Sequence[Message]) -> None:
        """They have come to their end."""
        self.ended += len(messages)
        self.watch.ended(messages)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.log.critical("a task ended", task=repr(task.get_coro()), exc_info=error)

    # HTTP ------------------------------------------------------------------------------------------------------------

    @property
    def http_address(self) -> str:
        return self._http.address if self._http else ""

    @property
    def http_door(self) -> Door | None:
        """Who is connected to the HTTP listener, where there is one."""
        return self._http.door if self._http else None

    def _web(self) -> ASGIApp:
        web = FastAPI(
            title="smppbridge",
            version=__version__,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            # A redirect would say back whatever stands in Host, or our own address where nothing does.
            redirect_slashes=False,
        )
        web.include_router(health.router(self.check))
        web.include_router(metrics.router(self.read, self.config.http.metrics_networks))
        # Thousands of callbacks may come a second, each with one status: they take the short way in.
        return Paths([*self.callbacks.routes(), Mount("/", web)])

    async def check(self) -> Mapping[str, str]:
        """What cannot do its work, by part; empty texts where all is well."""
        parts = {"gateway": "draining" if self.draining else "", "store": ""}
        try:
            async with asyncio.timeout(_ANSWER):
                await self.store.stats()
                # Reading may still work where writing does not (a failed fsync): a note of nothing asks the writer.
                await self.store.note(())
        except StoreFailed as failed:
            parts["store"] = str(failed)
        except TimeoutError:
            parts["store"] = f"the store does not answer within {_ANSWER:g} s: the disk hangs, or is far too slow"
        return parts

    async def read(self) -> metrics.Reading:
        """Every counter, as `/metrics` shows it."""
        return await reading(self)


def _providers(config: Config) -> dict[str, Provider[Any]]:
    return {name: build(name, table) for name, table in config.providers.items()}


def _router(config: Config, providers: Mapping[str, Provider[Any]]) -> Router:
    return Router(config.routes, carries(config.providers, providers))


def _store(config: Config) -> Store:
    return MemoryStore() if config.store.engine == "memory" else SqliteStore(config.store.path)


@contextlib.asynccontextmanager
async def _at_most(seconds: float) -> AsyncIterator[None]:
    """A step of the shutdown that must not hold up the rest; what it leaves is safe on disk."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        structlog.get_logger("gateway").warning("a step of the shutdown took too long", seconds=seconds)


# The process ---------------------------------------------------------------------------------------------------------


async def run(path: Path, config: Config, reload: asyncio.Event) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends it at once. SIGHUP, or `reload`, reads the settings again.
    Returns the exit code."""
    loop = asyncio.get_running_loop()
    stop, at_once = asyncio.Event(), asyncio.Event()
    told = 0.0

    def end() -> None:
        nonlocal told
        if not stop.is_set():
            told = loop.time()
            stop.set()
        elif loop.time() - told >= _SAME_SIGNAL:
            at_once.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    gateway = Gateway(config)
    with Notifier() as notifier:
        try:
            await gateway.start()
        except (StoreFailed, ListenFailed, OSError) as failed:
            structlog.get_logger("gateway").critical("cannot start", reason=str(failed))
            return 1
        notifier.ready()
        watchdog = loop.create_task(notifier.watch())
        reloading = loop.create_task(_reload_on(reload, path, gateway, notifier))
        await _either(stop, gateway.failed)
        notifier.stopping()
        reloading.cancel()
        ending = loop.create_task(gateway.stop(_HURRY if gateway.failed.is_set() else Patience()))
        hurry = loop.create_task(at_once.wait())
        await asyncio.wait([ending, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        watchdog.cancel()
        if not ending.done():
            # As in a crash: whatever is cut off here, the next start settles.
            gateway.log.error("told again to end: what is under way is cut off")
            ending.cancel()
            return 1
        await ending
    return 1 if gateway.failed.is_set() else 0


async def _either(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _reload_on(event: asyncio.Event, path: Path, gateway: Gateway, notifier: Notifier) -> None:
    """A mistake in the file changes nothing: the old settings stay, the log names the mistake."""
    log = structlog.get_logger("gateway")
    while True:
        await event.wait()
        event.clear()
        notifier.reloading()
        try:
            config, warnings = _checked(path)
            _warn(warnings)
            hide_also(config.secrets())
            changes = diff(gateway.config, config)
            gateway.reload(config)
            log.info("reloaded", changes=changes)
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("not reloaded: the old settings stay", mistake=str(mistake))
        except Exception as error:
            # A certificate that is gone, an adapter that cannot be built: the next SIGHUP is to be heard all the same.
            log.exception("not reloaded: the old settings stay", reason=str(error))
        notifier.ready()


def _checked(path: Path) -> tuple[Config, Sequence[Finding]]:
    """What stands in the file, secrets filled in, adapters asked, and what is worth a warning. Raises ConfigError."""
    checked = check(path, adapter_class)
    if checked.config is None:
        raise ConfigError(checked.mistakes)
    return checked.config, checked.warnings


def _warn(warnings: Sequence[Finding]) -> None:
    for warning in warnings:
        structlog.get_logger("gateway").warning("configuration", warning=str(warning))


def serve(path: Path) -> int:
    """`smppbridge serve`. Raises ConfigError for what is wrong in the file."""
    # SIGHUP ends a process that does not know it: what comes during the start is a reload after it.
    reload = asyncio.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    config, warnings = _checked(path)
    set_up(config.log, secrets=config.secrets())
    _warn(warnings)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # What was built at start stays; collecting it again and again costs a tenth of the throughput.
    gc.freeze()
    return uvloop.run(run(path, config, reload))
