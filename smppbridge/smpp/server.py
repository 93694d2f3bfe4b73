"""The SMPP listeners and the links on them: asyncio around `session`, and nothing of the protocol itself.

A `Link` is one connection. What is read goes to its session, the events go to the `Application`, and what is to be said
is written once per read, or once per turn of the loop when answers come later. One timer looks at all links; a link
that has nothing to do costs it one comparison.

What an operator sees in the log:

* "link up", "link down": with the peer, the account, how it ended and why. `clean` says whether the client is known to
  have read every response.
* "bind refused" (warning): with peer, system_id, status and the reason that the client is not told.
* "bind guessing" (warning): the same for an address from which so many binds failed that they wait now; one line a
  minute for each address, with the count and the last system_ids.
* "bind replaced" (warning): the oldest bind of an account, `old`, was sent off for this one; one line a minute for each
  address, and many `times` are clients that replace each other in a loop.
* "connection refused" (warning): a limit of [smpp] is reached. "proxy header refused", "tls handshake failed"
  (warning): with the reason. Each one line a minute for each address; `times` is how often since the last one.
* "link closed before bind" (info): a client that said nothing, or spoke something else than SMPP (a TLS client on a
  plain port shows as "framing lost: command_length 369295617 …"); one line a minute for each address.
  Clients that only connect and go, as load balancers do to see whether we live, are logged at debug.
* "application failed" (error, with traceback): a bug; the SUBMIT_SM or BIND concerned is answered with ESME_RSYSERR.
* "client slowed down" (warning): not read from for so many seconds, because its address sends too much (max_pdu_rate)
  or too much that no client should send (max_bad_pdus), or its account too much that leads to nothing
  (max_refused_rate). A line a minute for each address.
* "link failed" (error, with traceback): a bug here; the connection is cut.

Passwords and texts are never logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable

import structlog

from pdu import CommandStatus

from ..config import SmppConfig
from ..ids import IdGenerator
from .admission import Admission
from .arriving import Arrivals
from .bound import Bound
from .events import BindRequest, Ending, How
from .guard import Guard, Rules, Slow
from .link import Application, Link
from .listening import Port
from .session import Counters, Session
from .tap import Taps
from .timers import Limits
from .tls import context_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: Octets that may wait for a client that does not read, before it is cut off; a full window of DELIVER_SM comes on top.
#: Nothing is read from it once asyncio's 64 KiB wait, so what still comes are the answers to what was read before: this
#: is room for 25,000 SUBMIT_SM_RESP.
_MAX_UNREAD = 1024 * 1024
_MAX_DELIVER_SM = 1024


class Stats:
    """What a server counts, as plain integers."""

    def __init__(self) -> None:
        self.opened = 0
        #: Connections that were not taken, by the limit of [smpp] that said so; or "proxy", or "tls".
        self.refused: Counter[str] = Counter()
        #: By kind of bind.
        self.binds: Counter[str] = Counter()
        #: By name of the status.
        self.binds_refused: Counter[str] = Counter()
        #: Binds that waited because others from the same address had failed.
        self.binds_delayed = 0
        #: Binds that were sent off for a newer one of their account.
        self.binds_replaced = 0
        #: Times that a client was not read from for a while: it did not read itself, or `guard.Slow`.
        self.paused: Counter[str] = Counter()
        #: PDUs and octets.
        self.pdus = Counters()


class SmppServer:
    """All listeners and links of a gateway."""

    def __init__(
        self,
        config: SmppConfig,
        application: Application,
        *,
        bound: Bound | None = None,
        node: int = 0,
        clock: Callable[[], float] = time.monotonic,
        tick: float = 1.0,
    ) -> None:
        """`node` (0 to 255) tells gateways apart that share a store; timers are looked at every `tick` seconds."""
        self.config = config
        self.application = application
        self.bound = Bound() if bound is None else bound
        self.stats = Stats()
        #: Every open connection, bound or not.
        self.links: dict[int, Link] = {}
        #: Who captures what.
        self.taps = Taps(self.links)
        #: Where it listens, as "host:port", once started.
        self.addresses: list[str] = []
        #: What each address has open, and how its binds went.
        self.guard = Guard(Rules.of(config), lambda address: self.application.neighbour(address))
        self._limits = Limits.of(config)
        self._clock = clock
        self._tick_every = tick
        self._ticker: asyncio.TimerHandle | None = None
        self._ports: list[Port] = []
        self._arrivals = Arrivals(self)
        self._touched: list[Link] = []
        self._closing = False
        self._empty = asyncio.Event()
        self._ids = IdGenerator(node)

    def __repr__(self) -> str:
        return f"<SmppServer {', '.join(self.addresses)}: {len(self.links)} links, {len(self.bound.links)} bound>"

    # Start, reload, stop ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open every listener. Raises ListenFailed, and ValueError for a certificate that cannot be used."""
        try:
            for listener in self.config.listeners:
                port = Port(listener, self._arrivals.take)
                await port.open()
                self._ports.append(port)
                self.addresses.append(port.address)
                log.info("listening", address=port.address, tls=listener.tls is not None)
        except BaseException:
            await self.stop(0)
            raise
        self._tick()

    def reload(self, config: SmppConfig) -> None:
        """Take new settings for the links to come, and read the certificates again; nobody who is there notices.

        Listeners stay as they are. Raises ValueError for a certificate that cannot be used; then nothing has changed.
        """
        contexts = [None if port.listener.tls is None else context_of(port.listener.tls) for port in self._ports]
        for port, context in zip(self._ports, contexts, strict=True):
            port.context = context
        self.config = config
        self._limits = Limits.of(config)
        self.guard.rules = Rules.of(config)

    def stop_listening(self) -> None:
        """Take no connections any more, and no binds on those that are there."""
        self._closing = True
        for port in self._ports:
            port.close()
        self._arrivals.stop()

    async def stop(self, within: float = 10.0) -> None:
        """Close it all, within so many seconds and a moment."""
        # 1. Nobody new.
        self.stop_listening()
        # 2. Ask everybody to go. What was submitted before they read that is still taken and answered.
        for link in list(self.links.values()):
            link.unbind("shutting down")
        # 3. Wait for them, but not for ever: some clients never answer an UNBIND.
        await self._until_empty(within)
        # 4. End what is left, as an ending of ours.
        for link in list(self.links.values()):
            link.close("shutting down")
        await asyncio.sleep(0)
        for link in list(self.links.values()):
            link.abort()
        await self._until_empty(1.0)
        # 5. Nothing is due any more.
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    async def _until_empty(self, within: float) -> None:
        self._empty.clear()
        if self.links:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), within)

    # What links use --------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Milliseconds of a clock that only goes forward."""
        return int(self._clock() * 1000)

    def next_id(self) -> int:
        """An id for a link that fits into 63 bits and is unique over restarts and nodes.

        Made like the ids of messages: a gateway that starts again within a second must not give an old link's id, or a
        resend would look like a repetition on the same link.
        """
        return self._ids.next()

    def session(self, now: int) -> Session:
        """A session under the settings of this moment."""
        config = self.config
        return Session(self._limits, now, window=config.window, max_pdu=config.max_pdu, counters=self.stats.pdus)

    @property
    def max_unread(self) -> int:
        """See `_MAX_UNREAD`."""
        return _MAX_UNREAD + self.config.window * _MAX_DELIVER_SM

    def opened(self, link: Link) -> None:
        """There is a link."""
        self.links[link.id] = link
        link.opened()
        self.taps.opened(link)

    def bind_done(self, link: Link) -> None:
        """A link is bound: it counts as unbound no longer."""
        if link.visitor is not None:
            self.guard.bound(link.visitor)

    def closed(self, link: Link, *, bound: bool) -> None:
        """A connection is gone, which had been `bound` or not."""
        self.links.pop(link.id, None)
        if link.visitor is not None:
            self.guard.leave(link.visitor, self.now(), bound=bound)
        if not self.links:
            self._empty.set()

    async def admit(self, request: BindRequest, link: Link) -> Admission:
        """Ask the application; then look again at what may have changed while it thought.

        Where binds have failed before, it waits first (`guard`): what it learns then, it learns late, right or wrong.
        """
        visitor = link.visitor
        if visitor is not None and (delay := self.guard.delay(visitor, self.now())):
            self.stats.binds_delayed += 1
            await asyncio.sleep(delay / 1000)
        admission = await self.application.admit(request, link.peer, link.certificate)
        if visitor is not None and admission.known:
            self.guard.proved(visitor, request.system_id)
        if admission.status:
            return admission
        if self._closing:
            return Admission(status=CommandStatus.ESME_RBINDFAIL, reason="shutting down")
        if self.bound.count(admission.account) >= admission.max_binds:
            if not admission.replaces:
                return Admission(status=CommandStatus.ESME_RBINDFAIL, reason=f"max_binds is {admission.max_binds}")
            self._replace(admission, link)
        for old in self.bound.forsaken(admission.account, admission.max_binds):
            old.close("its half was closed, and there are newer binds")
        return admission

    def _replace(self, admission: Admission, by: Link) -> None:
        """Make room for one bind more (`Bound.in_the_way`)."""
        oldest, late = self.bound.in_the_way(admission.account, admission.max_binds)
        for old in oldest:
            old.unbind("replaced by a newer bind")
        for old in late:
            old.close("replaced by a newer bind")
        self.stats.binds_replaced += len(oldest)
        if oldest and by.visitor and (times := self.guard.tell(by.visitor, "bind replaced", self.now())):
            log.warning("bind replaced", **by.whence, account=admission.account, old=oldest[0].peer, times=times)

    def refused(self, request: BindRequest, admission: Admission, link: Link) -> None:
        """A bind was refused: count it and tell it. What looks like guessing is told once a minute for each address; so
        is a client that may bind but not now, and tries again and again."""
        self.stats.binds_refused[admission.status.name] += 1
        visitor, now, times = link.visitor, self.now(), 1
        guessing = visitor is not None and not admission.known and self.guard.failed(visitor, request.system_id, now)
        if visitor is not None and admission.known:
            times = self.guard.tell(visitor, "bind refused", now)
        if times and not guessing:
            log.warning(
                "bind refused",
                **link.whence,
                system_id=request.system_id,
                bind_type=request.bind_type,
                status=admission.status.name,
                reason=admission.reason,
                times=times,
            )
        elif guessing and visitor is not None and (times := self.guard.tell(visitor, "bind guessing", now)):
            log.warning(
                "bind guessing",
                **link.whence,
                address=visitor.address,
                times=times,
                system_ids=visitor.system_ids,
                status=admission.status.name,
                reason=admission.reason,
            )

    def never_bound(self, link: Link, ending: Ending) -> None:
        """A client came and went without a bind; a line a minute for each address, if there was more to it."""
        told: dict[str, object] = {**link.whence, "how": ending.how.value, "reason": ending.reason}
        if ending.how is How.LOST:
            log.debug("link closed before bind", **told)
        elif link.visitor is None:
            log.info("link closed before bind", **told)
        elif times := self.guard.tell(link.visitor, "link closed before bind", self.now()):
            log.info("link closed before bind", **told, times=times)

    def pay(self, link: Link, pdus: int, bad: int, vain: int, octets: int) -> None:
        """A link took so many PDUs, `bad` and `vain` ones among them and `octets` long with these: it may have to wait
        before it takes more."""
        visitor, account, now = link.visitor, link.account, self.now()
        wait, why = (0, None) if visitor is None else self.guard.pay(visitor, pdus, bad, now)
        if vain and (who := account or visitor) is not None:
            links = len(self.bound.of(account)) if visitor is None or account else visitor.unbound
            longer = self.guard.pay_vain(who, vain, octets, links, now)
            if longer > wait:
                wait, why = longer, Slow.VAIN
        if why is None:
            return
        link.session.hold(now + wait)
        self.stats.paused[why.value] += 1
        if visitor is not None and (times := self.guard.tell(visitor, f"client slowed down: {why}", now)):
            log.warning(
                "client slowed down",
                **link.whence,
                account=link.account,
                reason=why.value,
                seconds=wait / 1000,
                times=times,
            )

    def touched(self, link: Link) -> None:
        """The link has something to write: together with all others at the end of this turn of the loop."""
        if not self._touched:
            asyncio.get_running_loop().call_soon(self._flush)
        self._touched.append(link)

    # Inside ----------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        touched, self._touched = self._touched, []
        for link in touched:
            try:
                link.flush()
            except Exception:
                self.give_up(link)

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(self._tick_every, self._tick)
        now = self.now()
        for link in [link for link in self.links.values() if link.wake_at <= now]:
            try:
                link.tick(now)
            except Exception:
                self.give_up(link)

    def give_up(self, link: Link) -> None:
        """A bug that one link met costs that link and no other."""
        log.exception("link failed", peer=link.peer, account=link.account, link=link.id)
        link.abort()
