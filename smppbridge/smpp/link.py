"""One client's connection: asyncio around `session`, and nothing of the protocol itself.

What is read goes to the session, the events go to the `Application`, and what is to be said is written once per read,
or once per turn of the loop when answers come later. The log lines that come from here are listed in `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog

from pdu import AlertNotification, CommandId, CommandStatus, DataSm, DeliverSm, Pdu, SubmitSm

from .admission import Admission
from .events import Answered, BindRequest, Ending, Event, How, Operation
from .kernel import Gone, gone
from .listening import local_of, peer_of
from .states import State
from .tls import Certificate, certificate_of

if TYPE_CHECKING:
    from .arriving import Arrival
    from .guard import Visitor
    from .server import SmppServer

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: How long, in milliseconds, a connection whose session is over may stay open, so that the client reads our last words
#: and closes first. Closing at once, with octets unread, would make the kernel throw those words away (RFC 1122
#: §4.2.2.13).
_LINGER = 2000


class Application(Protocol):
    """What a server asks and tells. All but `admit` are called in the loop and must not block."""

    async def admit(self, request: BindRequest, peer: str, certificate: Certificate | None) -> Admission:
        """Decide on a bind of the client at `peer`, which showed this `certificate` within TLS or none; nothing else is
        taken from it meanwhile."""

    def neighbour(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether anybody may bind from there."""

    def link_up(self, link: Link) -> None:
        """The client is bound, its response is on the way."""

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        """Answer with `link.respond_submit`, exactly once, now or later. `frame` is the PDU as it came."""

    def asked(self, link: Link, pdu: Operation, frame: bytes) -> None:
        """Any other operation; answer with `link.respond`, `respond_error` or `respond_submit`, in the same way."""

    def answered(self, link: Link, token: Any, status: int | None) -> None:
        """A delivery ended: with the client's status, or None when it did not answer or the link is gone."""

    def link_down(self, link: Link, ending: Ending) -> None:
        """The client is bound no longer; everything outstanding was `answered` before."""


class Link(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_arrival",
        "_bad",
        "_dirty",
        "_leave_at",
        "_next_turn",
        "_open",
        "_paid",
        "_reading",
        "_server",
        "_task",
        "_told",
        "_transport",
        "_up",
        "_vain",
        "_weighed",
        "_writable",
        "account",
        "bind_type",
        "certificate",
        "id",
        "peer",
        "session",
        "system_type",
        "via",
        "visitor",
    )

    _transport: asyncio.Transport

    def __init__(self, server: SmppServer, arrival: Arrival | None = None) -> None:
        """`arrival` is how the client came to us; without one we went to it."""
        self._server = server
        self._arrival = arrival
        #: Unique over restarts and gateways.
        self.id = server.next_id()
        #: "host:port" of the client, and of the balancer between us.
        self.peer = ""
        self.via = ""
        #: What is known of its address.
        self.visitor: Visitor | None = None
        #: What the client showed within TLS.
        self.certificate: Certificate | None = None
        #: The name of the account; empty before the bind.
        self.account = ""
        self.bind_type = ""
        self.system_type = ""
        self.session = server.session(server.now() if arrival is None else arrival.since)

        # Of the connection
        self._open = False
        self._reading = True
        self._writable = True
        #: PDUs and octets of the session that were paid for (`guard`).
        self._paid = 0
        self._bad = 0
        self._vain = 0
        self._weighed = 0
        #: The session goes on then, with what is left of what was read.
        self._next_turn: asyncio.Handle | None = None
        #: When the connection is cut, its session being over; 0: it is not over.
        self._leave_at = 0

        #: What is said now is going to be written in this turn of the loop.
        self._dirty = False

        # Of the bind
        self._task: asyncio.Task[None] | None = None
        #: The application heard `link_up`; the end of the session was told.
        self._up = False
        self._told = False

    def __repr__(self) -> str:
        session = self.session
        return (
            f"<Link {self.id} {self.peer} {self.account or '-'} {session.state} "
            f"submitted={session.submitted} answered={session.responded} delivered={session.delivered}>"
        )

    # What the application uses ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """See `states`."""
        return self.session.state

    @property
    def interface_version(self) -> int:
        """As the client said at its bind."""
        return self.session.interface_version

    @property
    def can_receive(self) -> bool:
        """Whether it may be delivered to."""
        return self.session.can_receive

    @property
    def room(self) -> int:
        """How many deliveries may go out now."""
        # A client that does not read is not asked to: others of the account may, and nothing waits for an answer here.
        return self.session.room if self._writable else 0

    def respond_submit(
        self,
        sequence: int,
        status: int,
        message_id: str = "",
        reason: str = "",
        *,
        request: CommandId = CommandId.SUBMIT_SM,
    ) -> None:
        """Answer a SUBMIT_SM or DATA_SM; see `Session.respond_submit`. After the end of the session it does nothing."""
        self.session.respond_submit(sequence, status, message_id, reason, request=request)
        if not self._dirty:
            self._touch()

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str = "") -> None:
        """Refuse an operation; see `Session.respond_error`."""
        self.session.respond_error(request, sequence, status, reason)
        self._touch()

    def respond(self, pdu: Pdu, reason: str = "") -> None:
        """Answer an operation with a response of its own; see `Session.respond`."""
        self.session.respond(pdu, reason)
        self._touch()

    def deliver(self, pdu: DeliverSm | DataSm, token: object) -> bool:
        """Send a delivery; see `Session.deliver`."""
        if not self.session.deliver(pdu, token, self._server.now()):
            return False
        self._touch()
        return True

    def alert(self, pdu: AlertNotification) -> bool:
        """Say that a subscriber can be reached again; see `Session.alert`."""
        if not self.session.alert(pdu):
            return False
        self._touch()
        return True

    @property
    def whence(self) -> dict[str, str]:
        """Where the client comes from, for the log."""
        found = {"peer": self.peer}
        if self.via:
            found["via"] = self.via
        if self.certificate is not None:
            found["certificate"] = str(self.certificate)
        return found

    def outbind(self, system_id: str, password: str) -> None:
        """Ask the client, to whom we went, to bind; see `Session.outbind`."""
        self.session.outbind(system_id, password)
        self._touch()

    @property
    def half_closed(self) -> bool:
        """Whether the client has closed its half of the connection: it says nothing more, and may not listen either."""
        return self.session.ended or self.session.gone

    @property
    def leaving(self) -> bool:
        """See `Session.leaving`."""
        return self.session.leaving

    def unbind(self, reason: str = "unbound by us", *, shut: bool = False) -> None:
        """Ask the client to go; see `Session.unbind`."""
        self.session.unbind(self._server.now(), reason, shut=shut)
        self._touch()

    def close(self, reason: str) -> None:
        """End it without asking."""
        self.session.end(Ending(How.CLOSED, reason))
        self._touch()

    @property
    def local(self) -> str:
        """Our end of the connection, as "host:port"."""
        return local_of(self._transport)

    @property
    def unwritten(self) -> int:
        """Octets that are not even with our own kernel."""
        return self.session.unsent + self._transport.get_write_buffer_size() if self._open else 0

    @property
    def fileno(self) -> int:
        """The socket below, for what only the kernel knows; -1 if there is none."""
        sock = self._transport.get_extra_info("socket") if self._open else None
        return -1 if sock is None else sock.fileno()

    # What asyncio calls ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not to be asserted: uvloop's transports are none by name.
        self._transport = transport = cast(asyncio.Transport, transport)
        self.certificate = certificate_of(transport.get_extra_info("ssl_object"))
        if (arrival := self._arrival) is None:
            self.peer = peer_of(transport)
        else:
            arrival.linked = True
            self.peer, self.via, self.visitor = arrival.peer, arrival.via, arrival.visitor
            self._arrival = None
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        self._take(self.session.receive(data, self._server.now()))

    def eof_received(self) -> bool:
        """The client says nothing more. Tells whether the connection stays open, because answers are owed; not so over
        TLS, where asyncio closes both halves with the first."""
        self._take(self.session.receive_end(self._server.now()))
        return self.session.ending is None and self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """The client does not read what we write, so we do not read what it writes."""
        self._writable = False
        self._server.stats.paused["unread"] += 1
        self._pace()

    def resume_writing(self) -> None:
        self._writable = True
        self._pace()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self.session.end(Ending(How.LOST, "closed by the client without UNBIND" if exc is None else str(exc)))
        self._down()
        self._server.closed(self, bound=self._up)

    # What the server calls -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The server takes the connection."""
        self._open = True

    def abort(self) -> None:
        """Cut the connection; nothing is written any more."""
        if self._open:
            self._transport.abort()

    def tick(self, now: int) -> None:
        """Do what is due; called when `wake_at` is over."""
        if self._leave_at:
            if self._leave_at <= now:
                self._transport.abort()
            return
        if not self._reading:
            self._look()
        self._handle(self.session.tick(now))

    @property
    def wake_at(self) -> int:
        """When `tick` has something to do: always, where nobody else would see that the client goes."""
        return self._leave_at or (self.session.wake_at if self._reading else 0)

    def flush(self) -> None:
        """Write what was collected, and act on the end of the session."""
        self._dirty = False
        session = self.session
        if self._open and not self._leave_at:
            if session.has_data:
                self._transport.write(session.data_to_send())
                if not self._writable and self.unwritten > self._server.max_unread:
                    session.end(Ending(How.CLOSED, "does not read its responses"))
            if session.ending is None:
                self._pace()
            else:
                self._leave()

    # Inside ----------------------------------------------------------------------------------------------------------

    def _take(self, events: Iterable[Event]) -> None:
        """One turn of the session is done."""
        session = self.session
        if session.has_data:
            # ENQUIRE_LINK and the like were answered by the session itself: out, before anybody works.
            self._transport.write(session.data_to_send())
        self._handle(events)

    def _look(self) -> None:
        """See whether a client is still there that is not read from."""
        if not self._open or self.session.gone:
            return
        match gone(self.fileno):
            case Gone.HALF_CLOSED:
                self.session.hang_up()
            case Gone.RESET:
                self.session.end(Ending(How.LOST, "reset by the client while it was not read from"))
                self._transport.abort()

    def _go_on(self) -> None:
        """The next turn. It is left out while the client does not read: the end of that is followed by one."""
        self._next_turn = None
        try:
            if self._writable:
                self._take(self.session.proceed(self._server.now()))
        except Exception:
            self._server.give_up(self)

    def _handle(self, events: Iterable[Event]) -> None:
        """Tell the application; what it says at once is written together at the end."""
        application = self._server.application
        self._dirty = True
        for event in events:
            try:
                if type(event) is tuple:
                    pdu, frame = event
                    if type(pdu) is SubmitSm:
                        application.submitted(self, pdu, frame)
                    else:
                        application.asked(self, pdu, frame)
                elif type(event) is Answered:
                    application.answered(self, event.token, event.status)
                elif type(event) is BindRequest:
                    self._task = asyncio.get_running_loop().create_task(self._admit(event))
                else:
                    log.debug("pdu not taken", peer=self.peer, account=self.account, pdu=repr(event))
            except Exception:
                log.exception("application failed", peer=self.peer, account=self.account, link=self.id)
                if type(event) is tuple:
                    pdu = event[0]
                    self.session.respond_error(pdu.command_id, pdu.sequence_number, CommandStatus.ESME_RSYSERR)
        self._pay()
        self.flush()

    def _pay(self) -> None:
        """What came in this turn, and what was refused of it or since the last one, may cost the client time."""
        session, server = self.session, self._server
        if session.vain > self._vain or server.guard.rules.max_pdu_rate:
            octets = session.octets - self._weighed
            vain = session.vain - self._vain
            server.pay(self, session.taken - self._paid, session.bad - self._bad, vain, octets)
            self._bad, self._vain = session.bad, session.vain
        self._paid, self._weighed = session.taken, session.octets

    async def _admit(self, request: BindRequest) -> None:
        """Ask about a bind, and do as the answer says."""
        server = self._server
        try:
            admission = await server.admit(request, self)
        except Exception:
            log.exception("application failed", peer=self.peer, system_id=request.system_id)
            admission = Admission(status=CommandStatus.ESME_RSYSERR, reason="the application failed")
        self._task = None
        if self.session.ending is not None:
            return
        if admission.status:
            server.refused(request, admission, self)
            self.session.bind_refused(admission.status)
        else:
            self._let_in(request, admission)
        self._handle(self.session.proceed(server.now()))

    def _let_in(self, request: BindRequest, admission: Admission) -> None:
        server = self._server
        self.account, self.bind_type, self.system_type = admission.account, request.bind_type, request.system_type
        if self.session.tap is not None:
            self.session.tap.bound()
        self.session.bind_accepted(
            server.config.system_id,
            reasons=admission.reasons,
            submit_window=admission.submit_window,
            throttles=admission.throttles,
        )
        self._up = True
        server.stats.binds[self.bind_type] += 1
        server.bind_done(self)
        server.bound.add(self)
        log.info(
            "link up",
            **self.whence,
            account=self.account,
            link=self.id,
            bind_type=self.bind_type,
            system_type=self.system_type,
            version=f"0x{self.interface_version:02X}",
        )
        self._tell(server.application.link_up, self)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        try:
            what(*arguments)
        except Exception:
            log.exception("application failed", peer=self.peer, account=self.account, link=self.id)

    def _touch(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._server.touched(self)

    def _pace(self) -> None:
        """Read only from a client that reads, and only while what it sends can be taken. What is left of what was read
        is taken after the others had their turn."""
        session = self.session
        wanted = self._writable and not session.paused
        if wanted != self._reading and self._open and not self._leave_at and not session.ended:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
        if session.paused and self._writable and self._next_turn is None:
            wait = session.wait(self._server.now())
            if wait is not None:
                loop = asyncio.get_running_loop()
                self._next_turn = loop.call_later(wait / 1000, self._go_on) if wait else loop.call_soon(self._go_on)

    def _leave(self) -> None:
        """The session is over: say the last words, and wait a little for the client to close."""
        transport = self._transport
        self._leave_at = self._server.now() + _LINGER
        if not transport.is_closing():
            if self.session.ended or not transport.can_write_eof():
                transport.close()
            else:
                if not self._reading:
                    # What comes is thrown away, but without reading the end of the connection would not be seen.
                    transport.resume_reading()
                transport.write_eof()
        self._down()

    def _down(self) -> None:
        """Tell that it is over, once."""
        if self._told:
            return
        self._told = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        session, server = self.session, self._server
        ending = session.ending
        assert ending is not None
        if not self._up:
            server.never_bound(self, ending)
            return
        server.bound.remove(self, ending, server.now())
        for event in session.abandon():
            self._tell(server.application.answered, self, event.token, event.status)
        self._tell(server.application.link_down, self, ending)
        log.info(
            "link down",
            peer=self.peer,
            account=self.account,
            link=self.id,
            how=ending.how.value,
            reason=ending.reason,
            clean=ending.clean,
            submitted=session.submitted,
            delivered=session.delivered,
        )
