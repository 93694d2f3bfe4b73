"""One SMPP session seen from the message centre: octets in, events out, octets to send. No socket, no clock, no log.

How it is used: `receive` takes what was read and returns events; the application answers them with the verbs
(`bind_accepted` or `bind_refused` and then `proceed`, `respond_submit`, `respond`, `respond_error`, `deliver`, `alert`,
`enquire`, `unbind`);
`tick` says that time has passed, at the latest at `wake_at`; `data_to_send` is then to be written. When `ending` is set
the session is over: what is left to send is written and the connection closed.

What needs no application is answered here and at once: ENQUIRE_LINK, UNBIND, what `states.verdict` refuses, and what
cannot be read. PDUs are taken off the stream one at a time and in order, so neither events nor answers depend on how
the stream was cut into reads.

Taking stops where somebody else must have a turn first, and the rest stays in the stream; `paused` says so, nothing
more should be read then, and `proceed` goes on. It stops

* while a BIND waits for its answer: the client has nothing to say until then;
* after `TURN` PDUs or `TURN_OCTETS`, so that a flood on one link does not hold up the others;
* while as many operations as `submit_window` allows wait for our answers. Also an ENQUIRE_LINK and a response to a
  delivery behind them wait then. That cannot lock up: our answers come from the store and wait for nothing that the
  client could still say;
* for as long as `hold` says.

An end-of-file is the last thing in the stream. It is an UNBIND without an answer: what was asked before it is still
answered, and deliveries that nobody can answer any more come back at once.

Whose fault it is decides what happens. A PDU that cannot be read is the client's: it is answered with a status and the
session lives. So are a response nobody asked for and a status nobody knows. Only a lost framing ends the session, for
then nobody knows where the next PDU begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING

from pdu import (
    PDUS,
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    BodyError,
    CommandId,
    CommandStatus,
    DataSm,
    DeliverSm,
    EncodeError,
    EnquireLink,
    Framer,
    FramingError,
    GenericNack,
    Outbind,
    Pdu,
    SubmitMultiResp,
    Tag,
    Unbind,
    decode,
    encode,
    status_for,
    tlv,
)

from ..config import BindType
from .events import Answered, BindRequest, Ending, Event, How, Refused, Unasked
from .states import DELIVERIES, MOVES, OPERATIONS, RECEIVES, RESPONSE, SENDS, State, response_to, verdict
from .timers import NEVER, Due, Limits, Timers
from .window import Request, Window

if TYPE_CHECKING:
    from .tap import Tap

#: SMPP 3.4 §5.2.4: what interface_version a client must speak to be sent TLVs at all.
VERSION_3_4 = 0x34
VERSION_5_0 = 0x50

#: PDUs that one link takes before the others have their turn: a millisecond or two of SUBMIT_SM. Beside two clients
#: with a thousand requests open, the slowest ENQUIRE_LINK of another one waits 6 ms instead of 30 to 50. What a PDU
#: costs does not change with 32, 64, 128 or no turns at all (`python -m bench session`).
TURN = 64
#: Octets after which a turn is over as well: to read a text of 60,000 characters takes as long as a hundred short ones.
TURN_OCTETS = 32_768

#: No window: more than anybody asks for.
_UNLIMITED = 1 << 62

_SUBMIT_SM = CommandId.SUBMIT_SM.to_bytes(4)
_SUBMIT_SM_RESP = CommandId.SUBMIT_SM_RESP
_DATA_SM_RESP = CommandId.DATA_SM_RESP
_header = Struct(">IIII").pack
_read_header = Struct(">4xIII").unpack_from

#: What congestion_state is worth telling, and what goes with a refusal for overload (SMPP 5.0 §4.8.4.18).
_WORTH_TELLING = 80
_CONGESTED = 99
_OVERLOAD = frozenset({CommandStatus.ESME_RTHROTTLED, CommandStatus.ESME_RMSGQFUL})
_CONGESTION_STATE = Tag.CONGESTION_STATE.to_bytes(2) + b"\0\1"

_BIND_TYPES: dict[type[Pdu], BindType] = {
    BindTransmitter: "transmitter",
    BindReceiver: "receiver",
    BindTransceiver: "transceiver",
}


class Counters:
    """What is counted over all links of a server, as plain integers."""

    __slots__ = ("bad", "full", "octets_in", "octets_out", "received", "refused", "sent", "unasked")

    def __init__(self) -> None:
        #: PDUs that came, by command_id; unknown ones under 0.
        self.received: dict[int, int] = {0: 0} | dict.fromkeys(CommandId, 0)
        self.sent: dict[int, int] = dict.fromkeys(CommandId, 0)
        #: What was answered with an error, by (command_id of the request, command_status).
        self.refused: dict[tuple[int, int], int] = {}
        #: Responses nothing was waiting for.
        self.unasked = 0
        #: PDUs that no client should send: `Session.bad`.
        self.bad = 0
        #: Turns that ended because a client had to wait for our answers.
        self.full = 0
        self.octets_in = 0
        self.octets_out = 0

    def count_refused(self, command_id: int, status: int) -> None:
        """Count one answer with an error; commands nobody knows are counted together, under 0."""
        key = (command_id if command_id in self.received else 0, status)
        self.refused[key] = self.refused.get(key, 0) + 1


class Session:
    """See the head of the module. Not for two threads."""

    __slots__ = (
        "_binding",
        "_congestion",
        "_counters",
        "_deaf",
        "_framer",
        "_held_until",
        "_leaving",
        "_may_submit",
        "_out",
        "_reasons",
        "_responded_at_unbind",
        "_shut",
        "_stopped",
        "_submit_window",
        "_submits_answered",
        "_throttles",
        "_timers",
        "_window",
        "_window_size",
        "bad",
        "can_receive",
        "delivered",
        "ended",
        "ending",
        "gone",
        "interface_version",
        "octets",
        "paused",
        "responded",
        "state",
        "submitted",
        "taken",
        "tap",
        "vain",
        "wake_at",
    )

    def __init__(self, limits: Limits, now: int, *, window: int, max_pdu: int, counters: Counters) -> None:
        self.state = State.OPEN
        #: Set once, when the session is over.
        self.ending: Ending | None = None
        #: When `tick` is to be called at the latest. Waking too early costs nothing.
        self.wake_at = 0
        #: As the client said at its bind; 0 before.
        self.interface_version = 0
        #: Whether it may be delivered to.
        self.can_receive = False
        #: Operations taken, and how many of them were answered.
        self.submitted = 0
        self.responded = 0
        #: Deliveries that went out.
        self.delivered = 0
        #: PDUs that came, and those among them that no client should send: unreadable, unknown, not in this state,
        #: or a response to what was never asked.
        self.taken = 0
        self.bad = 0
        #: Those that led to an answer at most and to nothing else: refused, an ENQUIRE_LINK, a response that nothing
        #: waits for. And how long all that came were.
        self.vain = 0
        self.octets = 0
        #: An end-of-file came: nothing follows.
        self.ended = False
        #: An end-of-file will come, when everything before it is read: see `hang_up`.
        self.gone = False
        #: Nothing more should be read: see the head of the module, and `wait`.
        self.paused = False
        #: Who looks at this session, if anybody does.
        self.tap: Tap | None = None
        self._may_submit = False
        self._reasons = False
        #: See `tell_congestion`.
        self._congestion: Callable[[int], int] | None = None
        self._binding: BindRequest | None = None
        #: A BIND waits for its answer, or the session is over: no PDU is taken.
        self._stopped = False
        #: Operations that may wait for our answers, and whether more are refused or wait in the stream.
        self._submit_window = _UNLIMITED
        self._throttles = False
        #: Nothing is taken before then.
        self._held_until = 0
        #: At the last `tick` it was we who did not listen.
        self._deaf = False
        #: UNBIND of the client that waits until every operation is answered.
        self._leaving: int | None = None
        #: Whoever this was may not ask for anything any more.
        self._shut = False
        #: Operations answered before the first UNBIND, whoever sent it.
        self._responded_at_unbind = 0
        #: With status 0, not counted yet.
        self._submits_answered = 0
        self._framer = Framer(max_pdu)
        self._timers = Timers(limits, now)
        #: Made with the first request of ours: most links never see one.
        self._window: Window | None = None
        self._window_size = window
        self._out: list[bytes] = []
        self._counters = counters
        self.wake_at = self._timers.next()

    def __repr__(self) -> str:
        over = f" {self.ending.how}" if self.ending else ""
        return f"<Session {self.state}{over} submitted={self.submitted} answered={self.responded} {self._window}>"

    # What came -------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> list[Event]:
        """Take what was read from the client."""
        if self.ending is not None:
            return []
        self._counters.octets_in += len(data)
        self._framer.feed(data)
        return self._read(now)

    def receive_end(self, now: int) -> list[Event]:
        """Take an end-of-file: the client will say nothing more, but may still listen."""
        if self.ending is not None or self.ended:
            return []
        self.ended = True
        # It cannot answer, be it still listening.
        self.can_receive = False
        return self._read(now)

    def hang_up(self) -> None:
        """The client has closed its half of the connection, behind what is not read yet because it has to wait. It is
        not to be sent anything more, but what it has said is taken in its time."""
        self.gone = True
        self.can_receive = False

    def hold(self, until: int) -> None:
        """Take nothing before this time."""
        if self.ending is None:
            self._held_until = max(self._held_until, until)
            self.paused = True

    def wait(self, now: int) -> int | None:
        """While `paused`: after how many milliseconds `proceed` has something to do; None: not before an answer of the
        application."""
        if self._binding is not None or self.full:
            return None
        return max(self._held_until - now, 0)

    @property
    def full(self) -> bool:
        """Whether the client has to wait for answers of ours."""
        return self.submitted - self.responded >= self._submit_window and not self._throttles

    def _read(self, now: int) -> list[Event]:
        events: list[Event] = []
        # What is taken in one turn cannot overfill the window: that is looked at once a turn and not with each PDU.
        room = self._submit_window - self.submitted + self.responded
        may_take, stopped = room > 0, self._stopped
        if stopped or now < self._held_until or not (may_take or self._throttles):
            self.paused = self.ending is None
            return events
        turn = room if 0 < room < TURN else TURN
        next_frame = self._framer.next if self.tap is None else self._next_seen
        submits = taken = octets = 0
        self.paused = False
        try:
            for taken in range(1, turn + 1):
                frame = next_frame()
                if frame is None:
                    taken -= 1
                    if self.ended:
                        self._take_end(now, events)
                    break
                # The fast lane: a SUBMIT_SM where it may be sent. `_take` does the same for everything else.
                if may_take and self._may_submit and frame[4:8] == _SUBMIT_SM:
                    try:
                        events.append((decode(frame), frame))  # type: ignore[arg-type]
                        self.submitted += 1
                        submits += 1
                    except BodyError as broken:
                        self._take_broken(broken, now, events)
                else:
                    self._take(frame, now, events)
                    if self._stopped:
                        self.paused = self.ending is None
                        break
                octets += len(frame)
                if octets > TURN_OCTETS:
                    self.paused = True
                    break
            else:
                self.paused = True
                self._counters.full += self.full
        except FramingError as lost:
            taken -= 1
            self._lose_framing(lost, events)
        self.taken += taken
        self.octets += octets
        if submits:
            self._timers.heard = now
            self._counters.received[CommandId.SUBMIT_SM] += submits
        return events

    def _next_seen(self) -> bytes | None:
        """The next frame of a session that somebody looks at."""
        tap = self.tap
        try:
            frame = self._framer.next()
        except FramingError:
            if tap is not None:
                tap.lost(self._framer.rest)
            raise
        if frame is not None and tap is not None:
            tap.received(frame)
        return frame

    def _take_broken(self, broken: BodyError, now: int, events: list[Event]) -> None:
        self._timers.heard = now
        self._counters.received[CommandId.SUBMIT_SM] += 1
        self._take_bad(broken.command_id, broken.sequence_number, broken.command_status, broken.reason, events)

    def _take(self, frame: bytes, now: int, events: list[Event]) -> None:
        """Everything that is not a SUBMIT_SM of a client that may send one. Most of it never needs its body."""
        self._timers.heard = now
        command_id, status, sequence = _read_header(frame)
        received = self._counters.received
        received[command_id if command_id in received else 0] += 1
        ruling = verdict(self.state, command_id)
        shut = self._leaving is not None or (self._shut and command_id in OPERATIONS)
        if shut and not command_id & RESPONSE and command_id != CommandId.ENQUIRE_LINK:
            # Between its UNBIND and our answer a client has nothing more to ask for.
            ruling = CommandStatus.ESME_RINVBNDSTS
        if ruling is None:
            self._ignore(command_id, status, sequence, events)
        elif ruling:
            self._take_bad(command_id, sequence, ruling, _REFUSALS[ruling], events)
        elif command_id & RESPONSE:
            self._take_response(command_id, status, sequence, now, events)
        elif command_id == CommandId.ENQUIRE_LINK:
            self.vain += 1
            self._put(_header(16, CommandId.ENQUIRE_LINK_RESP, 0, sequence), CommandId.ENQUIRE_LINK_RESP)
        elif command_id == CommandId.UNBIND:
            self._take_unbind(sequence, now)
        elif command_id in OPERATIONS:
            self._take_operation(frame, events)
        else:
            self._take_bind(frame, events)

    def _decoded(self, frame: bytes, events: list[Event]) -> Pdu | None:
        """None: its body cannot be read, which is answered."""
        try:
            return decode(frame)
        except BodyError as broken:
            self._take_bad(broken.command_id, broken.sequence_number, broken.command_status, broken.reason, events)
            return None

    def _take_operation(self, frame: bytes, events: list[Event]) -> None:
        if (pdu := self._decoded(frame, events)) is None:
            return
        room = self.submitted - self.responded < self._submit_window
        self.submitted += 1
        if room:
            events.append((pdu, frame))  # type: ignore[arg-type]
        else:
            reason = f"submit_window is {self._submit_window}: so many requests wait for their answers"
            self.respond_error(pdu.command_id, pdu.sequence_number, CommandStatus.ESME_RTHROTTLED, reason)
            events.append(Refused(pdu.command_id, pdu.sequence_number, CommandStatus.ESME_RTHROTTLED, reason))

    def _take_bind(self, frame: bytes, events: list[Event]) -> None:
        if (pdu := self._decoded(frame, events)) is None:
            return
        assert isinstance(pdu, BindTransmitter | BindReceiver | BindTransceiver)
        self._binding = BindRequest(
            bind_type=_BIND_TYPES[type(pdu)],
            system_id=pdu.system_id,
            password=pdu.password,
            system_type=pdu.system_type,
            interface_version=pdu.interface_version,
            address_range=pdu.address_range,
            addr_ton=pdu.addr_ton,
            addr_npi=pdu.addr_npi,
            sequence_number=pdu.sequence_number,
        )
        self._stopped = True
        events.append(self._binding)

    def _take_response(self, command_id: int, status: int, sequence: int, now: int, events: list[Event]) -> None:
        """The header tells it all, so that no TLV, message_id or status in a response can do harm."""
        window = self._window
        request = None if window is None else window.take(sequence, command_id)
        if request is None:
            # Late, or once more: who is slow is not to be slowed down.
            asked = window is not None and window.gave(sequence)
            self._ignore(command_id, status, sequence, events, bad=not asked)
        elif request.command_id in DELIVERIES:
            if command_id == CommandId.GENERIC_NACK:
                # A nack that reports no error is still no delivery.
                status = status or CommandStatus.ESME_RUNKNOWNERR
            events.append(Answered(request.token, status))
        elif request.command_id is CommandId.UNBIND:
            # Also with an error or a nack: a client that does not want to be unbound is unbound all the same.
            self._move(State.UNBOUND)
            self._timers.leaving = now
            self._finish()

    def _take_unbind(self, sequence: int, now: int) -> None:
        """Answered when every operation is: a client that unbinds still learns its message ids."""
        self._leaving = sequence
        if not self._timers.unbind_sent:
            self._responded_at_unbind = self.responded
        self._timers.leaving = now
        self._may_submit = self.can_receive = False
        self.wake_at = min(self.wake_at, self._timers.next())
        self._finish()

    def _take_end(self, now: int, events: list[Event]) -> None:
        """Like an UNBIND that nobody waits to see answered; after an UNBIND, nothing new."""
        # What the client was to answer it cannot answer any more, be it still listening.
        events += self.abandon()
        if not self._timers.leaving:
            self._timers.leaving = now
            self._may_submit = False
            self.wake_at = min(self.wake_at, self._timers.next())
            self._finish()

    # What we have to say ---------------------------------------------------------------------------------------------

    def bind_accepted(
        self, system_id: str, *, reasons: bool | None = None, submit_window: int = _UNLIMITED, throttles: bool = False
    ) -> None:
        """Let the client in; then `proceed`. `reasons` switches those of `respond_submit`; None: from 5.0 on.

        At most `submit_window` operations wait for answers. Further ones wait in the stream, or get ESME_RTHROTTLED
        where it `throttles`.
        """
        request = self._bind_answered()
        self._submit_window, self._throttles = submit_window, throttles
        self.interface_version = version = request.interface_version
        self._reasons = version >= VERSION_5_0 if reasons is None else reasons and version >= VERSION_3_4
        response = response_to(_BINDS[request.bind_type])
        # SMPP 3.4 §4.1.2: sc_interface_version, to those who know TLVs. We speak what the client speaks.
        spoken = VERSION_5_0 if version >= VERSION_5_0 else VERSION_3_4
        tlvs = [tlv(Tag.SC_INTERFACE_VERSION, spoken)] if version >= VERSION_3_4 else []
        self._put(encode(_pdu(response, request.sequence_number, system_id=system_id, tlvs=tlvs)), response)
        self._timers.bound = True
        self._move(MOVES[response])

    def bind_refused(self, status: CommandStatus) -> None:
        """Keep it out; then `proceed`. It may try again until the time to bind is over."""
        request = self._bind_answered()
        self._refuse(_BINDS[request.bind_type], request.sequence_number, status, "", [])

    def proceed(self, now: int) -> list[Event]:
        """Take what is left in the stream."""
        return self._read(now) if self.ending is None else []

    def _bind_answered(self) -> BindRequest:
        request = self._binding
        assert request is not None, "no BIND waits for an answer"
        self._binding = None
        self._stopped = self.paused = False
        return request

    def tell_congestion(self, level: Callable[[int], int]) -> None:
        """Let our answers say how near the next refusal is: congestion_state, 80 to 89 the best use of us, 90 to 99
        nearly too much (SMPP 5.0 §4.8.4.18). `level` is asked with the number of unanswered operations; less than 80 is
        not worth telling. Only where the client speaks 5.0 and hears reasons; 3.4 has no such parameter."""
        if self._reasons and self.interface_version >= VERSION_5_0:
            self._congestion = level

    def respond_submit(
        self,
        sequence: int,
        status: int,
        message_id: str = "",
        reason: str = "",
        *,
        request: CommandId = CommandId.SUBMIT_SM,
    ) -> None:
        """Answer a SUBMIT_SM, or a DATA_SM as `request`, whose response is the same: with its message_id, or with an
        error and the reason (`respond_error`)."""
        if status:
            self.respond_error(request, sequence, status, reason)
        elif self.ending is None:
            self.responded += 1
            identifier = message_id.encode("ascii")
            if request is CommandId.SUBMIT_SM:
                self._submits_answered += 1
                response = _SUBMIT_SM_RESP
            else:
                self._counters.sent[_DATA_SM_RESP] += 1
                response = _DATA_SM_RESP
            level = 0 if self._congestion is None else self._congestion(self.submitted - self.responded)
            if level < _WORTH_TELLING:
                self._out.append(b"%b%b\0" % (_header(17 + len(identifier), response, 0, sequence), identifier))
            else:
                header = _header(22 + len(identifier), response, 0, sequence)
                self._out.append(b"%b%b\0%b%c" % (header, identifier, _CONGESTION_STATE, level))
            if self._timers.leaving:
                self._finish()

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str = "") -> None:
        """Refuse an operation.

        The reason goes out as additional_status_info_text, up to 255 ASCII characters, where the client can read it:
        SMPP 5.0 §4.2.2 has TLVs in responses and 3.4 has none there, and real 3.4 clients (smpplib) stop at one.
        """
        self.respond(_pdu(response_to(request), sequence, command_status=status), reason)

    def respond(self, pdu: Pdu, reason: str = "") -> None:
        """Answer an operation with a response of its own. Its statuses are those that the client's version knows; the
        reason says what could not be done, as in `respond_error`."""
        if self.ending is not None:
            return
        if pdu.command_status:
            self.vain += 1
            pdu.command_status = status_for(self.interface_version, pdu.command_status)
            self._counters.count_refused(pdu.command_id & ~RESPONSE, pdu.command_status)
        if isinstance(pdu, SubmitMultiResp):
            for refused in pdu.unsuccess_smes:
                refused.error_status_code = status_for(self.interface_version, refused.error_status_code)
        if reason and self._reasons:
            text = reason.encode("ascii", "replace")[:255].decode("ascii")
            pdu.tlvs.append(tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT, text))
        if self._congestion is not None:
            over = pdu.command_status in _OVERLOAD
            level = _CONGESTED if over else self._congestion(self.submitted - self.responded)
            if level >= _WORTH_TELLING:
                pdu.tlvs.append(tlv(Tag.CONGESTION_STATE, level))
        self.responded += 1
        self._put(encode(pdu), pdu.command_id)
        if self._timers.leaving:
            self._finish()

    @property
    def room(self) -> int:
        """How many more deliveries the client may be sent now."""
        if not self.can_receive:
            return 0
        return self._window_size if self._window is None else self._window.room

    def deliver(self, pdu: DeliverSm | DataSm, token: object, now: int) -> bool:
        """Send a delivery, of which `Answered` will speak with this token. False: no room, or not a receiver.

        Fills in the sequence_number. Leaves the TLVs away for a client older than 3.4, so a text meant for one belongs
        into short_message. Raises EncodeError if a value does not fit its field: nothing was sent then.
        """
        if self.room <= 0:
            return False
        window = self._requests()
        pdu.sequence_number = sequence = window.put(pdu.command_id, token, now)
        try:
            if pdu.tlvs and self.interface_version < VERSION_3_4:
                kept, pdu.tlvs = pdu.tlvs, []
                frame = encode(pdu)
                pdu.tlvs = kept
            else:
                frame = encode(pdu)
        except EncodeError:
            window.take(sequence, pdu.command_id | RESPONSE)
            raise
        self._out.append(frame)
        self._counters.sent[pdu.command_id] += 1
        self.delivered += 1
        self.wake_at = min(self.wake_at, window.next())
        return True

    def alert(self, pdu: AlertNotification) -> bool:
        """Say that a subscriber can be reached again (SMPP 3.4 §4.12.1). Nothing answers it. False: not a receiver."""
        if not self.can_receive:
            return False
        pdu.sequence_number = self._requests().number()
        self._put(encode(pdu), pdu.command_id)
        return True

    def outbind(self, system_id: str, password: str) -> None:
        """Ask who is at the other end of a connection that we made to bind as receiver (SMPP 3.4 §2.2.1, §4.1.7)."""
        pdu = Outbind(sequence_number=self._requests().number(), system_id=system_id, password=password)
        self._put(encode(pdu), pdu.command_id)

    def enquire(self, now: int) -> None:
        """Ask whether the client is there."""
        if CommandId.ENQUIRE_LINK in SENDS[self.state] and self.ending is None:
            self._ask(EnquireLink(), now)

    def unbind(self, now: int, reason: str = "unbound by us", *, shut: bool = False) -> None:
        """Ask the client to go; the session ends with its answer, or when it does not answer in time. `shut`: nothing
        more is taken from it meanwhile."""
        if shut:
            self._shut, self._may_submit = True, False
        if self.leaving:
            return
        if CommandId.UNBIND not in SENDS[self.state]:
            self.end(Ending(How.CLOSED, reason))
            return
        self._ask(Unbind(), now)
        self._timers.unbind_sent = now
        self._responded_at_unbind = self.responded
        self.can_receive = False
        self.wake_at = min(self.wake_at, self._timers.next())

    @property
    def leaving(self) -> bool:
        """Whether one of the two sides has sent UNBIND, the client has closed its half, or the session is over."""
        if self.ending is not None or self.ended or self.gone:
            return True
        return bool(self._timers.unbind_sent) or self._leaving is not None

    def end(self, ending: Ending) -> None:
        """End it here and now; the first ending counts."""
        if self.ending is None:
            self.ending = ending
            self.state = State.CLOSED if self.state is not State.UNBOUND else State.UNBOUND
            self._may_submit = self.can_receive = False
            self._binding = None
            self._stopped = True
            self.paused = False
            self.wake_at = NEVER

    def abandon(self) -> Sequence[Answered]:
        """Say which deliveries will never be answered, oldest first: the connection is gone, or as good as gone."""
        rest: list[Request] = [] if self._window is None else self._window.clear()
        return [Answered(request.token, None) for request in rest if request.command_id in DELIVERIES]

    def tick(self, now: int) -> list[Event]:
        """Do what is due by now."""
        if self.ending is not None:
            return []
        events: list[Event] = []
        deaf = self.full or now < self._held_until
        if deaf:
            # It is we who do not listen.
            self._timers.heard = now
        elif self._deaf and not self.gone and self._window is not None:
            # Its answers are perhaps only read now.
            self._window.renew(now)
        self._deaf = deaf
        if self._window is not None and (self.gone or not deaf):
            late = self._window.expired(now)
            events += [Answered(request.token, None) for request in late if request.command_id in DELIVERIES]
        match self._timers.due(now):
            case None:
                pass
            case Due.ENQUIRE:
                self.enquire(now)
            case Due.ANSWERS_LATE:
                self._finish(late=True)
            case over:
                self.end(Ending(How.CLOSED, over.value))
                return events
        if self.ending is None:
            self.wake_at = min(self._timers.next(), NEVER if self._window is None else self._window.next())
        return events

    @property
    def has_data(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._out)

    @property
    def unsent(self) -> int:
        """How many octets it would return."""
        return sum(map(len, self._out))

    def data_to_send(self) -> bytes:
        """What is to be written now."""
        out = self._out
        if not out:
            return b""
        if self.tap is not None:
            self.tap.sent(out)
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        counters = self._counters
        counters.octets_out += len(data)
        if self._submits_answered:
            counters.sent[_SUBMIT_SM_RESP] += self._submits_answered
            self._submits_answered = 0
        return data

    # Inside ----------------------------------------------------------------------------------------------------------

    def _put(self, frame: bytes, command_id: CommandId) -> None:
        self._out.append(frame)
        self._counters.sent[command_id] += 1

    def _ask(self, pdu: EnquireLink | Unbind, now: int) -> None:
        window = self._requests()
        pdu.sequence_number = window.put(pdu.command_id, None, now)
        self._put(encode(pdu), pdu.command_id)

    def _requests(self) -> Window:
        if self._window is None:
            self._window = Window(self._window_size, self._timers.limits.response)
        return self._window

    def _refuse(self, command_id: int, sequence: int, status: CommandStatus, reason: str, events: list[Event]) -> None:
        """Answer with an error: in the command's own response, or in GENERIC_NACK where it has none (3.4 §4.3)."""
        self.vain += 1
        response = response_to(command_id)
        self._put(encode(_pdu(response, sequence, command_status=status)), response)
        self._counters.count_refused(command_id, status)
        events.append(Refused(command_id, sequence, status, reason))

    def _take_bad(
        self, command_id: int, sequence: int, status: CommandStatus, reason: str, events: list[Event]
    ) -> None:
        """Refuse what no client should send."""
        self._count_bad()
        self._refuse(command_id, sequence, status, reason, events)

    def _count_bad(self) -> None:
        self.bad += 1
        self._counters.bad += 1

    def _ignore(self, command_id: int, status: int, sequence: int, events: list[Event], *, bad: bool = True) -> None:
        if bad:
            self._count_bad()
        self.vain += 1
        self._counters.unasked += 1
        events.append(Unasked(command_id, status, sequence))

    def _lose_framing(self, lost: FramingError, events: list[Event]) -> None:
        """SMPP 3.4 §4.3.1: an invalid command_length is answered with GENERIC_NACK; then there is nothing to read."""
        self._refuse(0, lost.sequence_number, lost.command_status, lost.reason, events)
        self.end(Ending(How.CLOSED, f"framing lost: {lost.reason}"))

    def _move(self, state: State) -> None:
        self.state = state
        self._may_submit = CommandId.SUBMIT_SM in RECEIVES[state]
        self.can_receive = CommandId.DELIVER_SM in SENDS[state] and not (self.ended or self.gone)
        self.wake_at = min(self.wake_at, self._timers.next())

    def _finish(self, *, late: bool = False) -> None:
        """End an unbind, the client's or ours, once every operation is answered; `late`: do not wait for them."""
        complete = self.responded >= self.submitted
        if not complete and not late:
            return
        reason = "" if complete else f", {self.submitted - self.responded} requests were not answered"
        # What we answered after the first UNBIND the client need not have read any more.
        clean = complete and self.responded == self._responded_at_unbind
        if self._leaving is not None:
            response = CommandId.UNBIND_RESP
            self._put(_header(16, response, 0, self._leaving), response)
            self._move(MOVES[response])
            self.end(Ending(How.UNBOUND, f"unbound by the client{reason}", clean))
        elif self.state is State.UNBOUND or not self.ended:
            self.end(Ending(How.CLOSED, f"unbound by us{reason}", clean))
        else:
            self.end(Ending(How.LOST, f"closed by the client without UNBIND{reason}"))


_BINDS: dict[BindType, CommandId] = {bind_type: pdu.command_id for pdu, bind_type in _BIND_TYPES.items()}

#: Why `states.verdict` refuses, for the log.
_REFUSALS = {
    CommandStatus.ESME_RINVBNDSTS: "not in this state",
    CommandStatus.ESME_RALYBND: "bound already",
    CommandStatus.ESME_RINVCMDID: "not offered",
}


def _pdu(command_id: CommandId, sequence: int, **values: object) -> Pdu:
    return PDUS.get(command_id, GenericNack)(sequence_number=sequence, **values)  # type: ignore[arg-type]
