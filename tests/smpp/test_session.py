"""A session is fed octets and asked what it wants to send; nothing here has a socket or a clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdu import (
    PDUS,
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    CancelSm,
    CommandId,
    CommandStatus,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    EncodeError,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    encode,
    tlv,
)
from smppbridge.smpp.events import Answered, BindRequest, Ending, Event, How, Refused, Unasked
from smppbridge.smpp.session import Counters, Session
from smppbridge.smpp.states import State
from smppbridge.smpp.timers import NEVER, Limits

NOW = 2_000
LIMITS = Limits(session_init=30_000, enquire_link_after=45_000, inactivity=120_000, response=60_000)


def fresh(max_pdu: int = 1024) -> Session:
    return Session(LIMITS, 1_000, window=3, max_pdu=max_pdu, counters=Counters())


def submit(sequence: int, text: bytes = b"hello") -> bytes:
    return encode(
        SubmitSm(sequence_number=sequence, destination_addr="79990000001", source_addr="X", short_message=text)
    )


def header(length: int, command_id: int, status: int, sequence: int) -> bytes:
    return b"".join(number.to_bytes(4) for number in (length, command_id, status, sequence))


# Binding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "response", "state", "bind_type", "can_receive"),
    [
        (BindTransmitter, BindTransmitterResp, State.BOUND_TX, "transmitter", False),
        (BindReceiver, BindReceiverResp, State.BOUND_RX, "receiver", True),
        (BindTransceiver, BindTransceiverResp, State.BOUND_TRX, "transceiver", True),
    ],
)
def test_a_bind_is_asked_about_and_answered(
    bind: Any, response: Any, state: State, bind_type: str, can_receive: bool, said: Any
) -> None:
    session = fresh()
    pdu = bind(system_id="demo", password="secret", system_type="ISO", interface_version=0x34, sequence_number=5)
    (request,) = session.receive(encode(pdu), NOW)
    assert isinstance(request, BindRequest)
    assert (request.bind_type, request.system_id, request.password, request.system_type) == (
        bind_type,
        "demo",
        "secret",
        "ISO",
    )
    assert session.state is State.OPEN
    assert (session.paused, session.wait(NOW)) == (True, None)
    session.bind_accepted("us")
    assert session.proceed(NOW) == []
    (answer,) = said(session)
    assert type(answer) is response
    assert (answer.sequence_number, answer.command_status, answer.system_id) == (5, 0, "us")
    assert (session.state, session.can_receive, session.interface_version) == (state, can_receive, 0x34)


def test_a_refused_client_stays_and_may_try_again(said: Any) -> None:
    session = fresh()
    session.receive(encode(BindTransmitter(system_id="demo", password="wrong", sequence_number=1)), NOW)
    session.bind_refused(CommandStatus.ESME_RINVPASWD)
    (answer,) = said(session)
    assert type(answer) is BindTransmitterResp
    assert (answer.command_status, answer.sequence_number) == (CommandStatus.ESME_RINVPASWD, 1)
    assert (session.state, session.ending, session.paused) == (State.OPEN, None, False)
    (request,) = session.receive(encode(BindTransmitter(system_id="demo", sequence_number=2)), NOW)
    assert isinstance(request, BindRequest)


@pytest.mark.parametrize(
    ("version", "told"),
    [(0x00, None), (0x33, None), (0x34, b"\x34"), (0x40, b"\x34"), (0x50, b"\x50"), (0x51, b"\x50")],
)
def test_our_version_is_told_to_who_knows_tlvs(version: int, told: bytes | None, said: Any) -> None:
    session = fresh()
    session.receive(encode(BindTransceiver(system_id="demo", interface_version=version)), NOW)
    session.bind_accepted("us")
    (answer,) = said(session)
    assert answer.tlv(Tag.SC_INTERFACE_VERSION) == told
    assert session.interface_version == version


def test_a_password_is_in_no_repr() -> None:
    session = fresh()
    (request,) = session.receive(encode(BindTransceiver(system_id="demo", password="secret")), NOW)
    assert "secret" not in repr(request) + repr(session) + repr([request])


def test_a_bind_that_cannot_be_read_is_answered_in_its_own_response(said: Any) -> None:
    session = fresh()
    frame = header(16 + 30, CommandId.BIND_TRANSCEIVER, 0, 9) + b"a system_id without any end....."[:30]
    (event,) = session.receive(frame, NOW)
    assert isinstance(event, Refused)
    (answer,) = said(session)
    assert type(answer) is BindTransceiverResp
    assert (answer.command_status, answer.sequence_number) == (event.status, 9)
    assert session.ending is None


def test_what_comes_before_the_bind_is_decided_is_taken_afterwards(said: Any) -> None:
    session = fresh()
    stream = encode(BindTransceiver(sequence_number=1)) + submit(2) + encode(EnquireLink(sequence_number=3))
    (request,) = session.receive(stream, NOW)
    assert isinstance(request, BindRequest)
    assert session.receive(submit(4), NOW) == []
    assert said(session) == []
    session.bind_accepted("us")
    events = session.proceed(NOW)
    assert [event[0].sequence_number for event in events] == [2, 4]
    assert [type(pdu) for pdu in said(session)] == [BindTransceiverResp, EnquireLinkResp]


# Answering SUBMIT_SM -------------------------------------------------------------------------------------------------


def test_a_submit_sm_is_answered_with_its_id(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TX)
    ((pdu, frame),) = session.receive(submit(7), NOW)
    assert (pdu.short_message, frame) == (b"hello", submit(7))
    session.respond_submit(7, 0, "1234567890123456789")
    assert session.data_to_send() == encode(SubmitSmResp(sequence_number=7, message_id="1234567890123456789"))
    assert (session.submitted, session.responded) == (1, 1)


@pytest.mark.parametrize(("version", "reasons", "told"), [
    (0x33, None, False), (0x33, True, False), (0x34, None, False), (0x34, True, True), (0x34, False, False),
    (0x50, None, True), (0x50, False, False),
])  # fmt: skip
def test_a_refusal_carries_its_reason_where_the_client_can_read_it(
    version: int, reasons: bool | None, told: bool, said: Any
) -> None:
    session = fresh()
    session.receive(encode(BindTransceiver(interface_version=version)), NOW)
    session.bind_accepted("us", reasons=reasons)
    said(session)
    session.receive(submit(7), NOW)
    session.respond_submit(7, CommandStatus.ESME_RSUBMITFAIL, reason="слишком длинно " + "x" * 300)
    frame = session.data_to_send()
    # The message_id is there in any case, because clients that always read one choke without.
    expected = SubmitSmResp(sequence_number=7, command_status=CommandStatus.ESME_RSUBMITFAIL)
    if told:
        expected.tlvs = [tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT, "?" * 7 + " " + "?" * 6 + " " + "x" * 240)]
    assert frame == encode(expected)
    assert frame[16] == 0
    assert session._counters.refused == {(CommandId.SUBMIT_SM, CommandStatus.ESME_RSUBMITFAIL): 1}


def bound_with(version: int, reasons: bool | None = None) -> Session:
    session = fresh()
    session.receive(encode(BindTransceiver(interface_version=version)), NOW)
    session.bind_accepted("us", reasons=reasons)
    session.data_to_send()
    return session


@pytest.mark.parametrize("level", [0, 79, 80, 99])
@pytest.mark.parametrize("request_id", [CommandId.SUBMIT_SM, CommandId.DATA_SM])
def test_an_answer_says_how_near_the_next_refusal_is(level: int, request_id: CommandId) -> None:
    session = bound_with(0x50)
    asked: list[int] = []
    session.tell_congestion(lambda outstanding: asked.append(outstanding) or level)  # type: ignore[func-returns-value]
    session.receive(submit(7) + submit(8) + submit(9), NOW)
    session.respond_submit(8, 0, "12", request=request_id)
    session.respond_submit(7, CommandStatus.ESME_RSUBMITFAIL, request=request_id)
    session.respond_submit(9, CommandStatus.ESME_RTHROTTLED, request=request_id)
    response = PDUS[request_id | 0x80000000]
    told = [tlv(Tag.CONGESTION_STATE, level)] if level >= 80 else []
    expected = [
        response(sequence_number=8, message_id="12", tlvs=told),
        response(sequence_number=7, command_status=CommandStatus.ESME_RSUBMITFAIL, tlvs=told),
        # Whatever else is free, this one was refused because something is not.
        response(sequence_number=9, command_status=CommandStatus.ESME_RTHROTTLED, tlvs=[tlv(Tag.CONGESTION_STATE, 99)]),
    ]
    assert session.data_to_send() == b"".join(map(encode, expected))
    # How many operations are still to be answered; an overload need not ask.
    assert asked == [2, 2]


@pytest.mark.parametrize(("version", "reasons"), [(0x33, True), (0x34, None), (0x34, True), (0x50, False)])
def test_who_reads_no_parameters_there_hears_nothing_of_it(version: int, reasons: bool | None) -> None:
    session = bound_with(version, reasons)
    session.tell_congestion(lambda _: pytest.fail("it was asked"))
    session.receive(submit(7) + submit(8), NOW)
    session.respond_submit(7, 0, "12")
    session.respond_submit(8, CommandStatus.ESME_RMSGQFUL)
    expected = SubmitSmResp(sequence_number=8, command_status=CommandStatus.ESME_RMSGQFUL)
    assert session.data_to_send() == encode(SubmitSmResp(sequence_number=7, message_id="12")) + encode(expected)


def test_a_broken_submit_sm_is_answered_and_the_next_one_taken(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TX)
    broken = header(20, CommandId.SUBMIT_SM, 0, 8) + b"\0\0\0\0"
    events = session.receive(submit(7) + broken + submit(9), NOW)
    assert [type(event) for event in events] == [tuple, Refused, tuple]
    (answer,) = said(session)
    assert type(answer) is SubmitSmResp
    assert answer.command_status == events[1].status != 0
    assert answer.sequence_number == 8
    assert (session.submitted, session.ending) == (2, None)


# What needs no application -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pdu", [SubmitMulti(), DataSm(), QuerySm(message_id="1"), CancelSm(), ReplaceSm()])
def test_an_operation_that_cannot_be_read_is_refused_in_its_own_response(pdu: Pdu, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.receive(header(18, pdu.command_id, 0, 7) + b"\xff\xff", NOW)
    (answer,) = said(session)
    assert (answer.command_id, answer.sequence_number) == (pdu.command_id | 0x80000000, 7)
    assert answer.command_status != 0
    assert (session.submitted, session.ending) == (0, None)


@pytest.mark.parametrize("pdu", [SubmitMulti(), DataSm(), QuerySm(message_id="1"), CancelSm(), ReplaceSm()])
def test_an_unbind_waits_for_the_answer_to_every_operation(pdu: Pdu, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    pdu.sequence_number = 5
    ((asked, frame),) = session.receive(encode(pdu) + encode(Unbind(sequence_number=6)), NOW)
    assert (type(asked), frame) == (type(pdu), encode(pdu))
    assert said(session) == []
    session.respond_error(pdu.command_id, 5, CommandStatus.ESME_RSYSERR)
    refused, unbound = said(session)
    assert (refused.command_id, refused.command_status) == (pdu.command_id | 0x80000000, CommandStatus.ESME_RSYSERR)
    assert type(unbound) is UnbindResp
    assert session.ending == Ending(How.UNBOUND, "unbound by the client")


@pytest.mark.parametrize("command_id", [0x0A, 0x111, 0x7FFFFFFF, CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION])
def test_an_unknown_command_is_nacked(command_id: int, session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.receive(header(20, command_id, 0, 5) + b"junk", NOW)
    assert session.data_to_send() == encode(GenericNack(sequence_number=5, command_status=CommandStatus.ESME_RINVCMDID))


def test_enquire_link_is_answered_whatever_it_carries(session_in: Any) -> None:
    for body in (b"", b"\0\0\0\0junk"):
        session = session_in(State.BOUND_RX)
        session.receive(header(16 + len(body), CommandId.ENQUIRE_LINK, 0, 5) + body, NOW)
        assert session.data_to_send() == encode(EnquireLinkResp(sequence_number=5))


@pytest.mark.parametrize("length", [0, 15, 1025, 0xFFFFFFFF, 0x16030100])
def test_a_lost_framing_is_nacked_and_ends_the_session(length: int, session_in: Any) -> None:
    session = session_in(State.BOUND_TX)
    events = session.receive(submit(7) + header(length, CommandId.SUBMIT_SM, 0, 99) + submit(8), NOW)
    assert [type(event) for event in events] == [tuple, Refused]
    assert session.data_to_send() == encode(
        GenericNack(sequence_number=99, command_status=CommandStatus.ESME_RINVCMDLEN)
    )
    assert session.state is State.CLOSED
    assert session.ending is not None
    assert (session.ending.how, session.ending.clean) == (How.CLOSED, False)
    assert str(length) in session.ending.reason
    assert session.receive(submit(10), NOW) == []
    session.respond_submit(7, 0, "1")
    assert session.data_to_send() == b""


def test_a_response_nobody_asked_for_is_ignored(session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    events = session.receive(header(16, CommandId.DELIVER_SM_RESP, 0x58, 4) + header(16, 0x80000000, 3, 4), NOW)
    assert events == [Unasked(CommandId.DELIVER_SM_RESP, 0x58, 4), Unasked(CommandId.GENERIC_NACK, 3, 4)]
    assert (session.data_to_send(), session.ending, session._counters.unasked) == (b"", None, 2)


# DELIVER_SM ----------------------------------------------------------------------------------------------------------


def test_deliver_sm_fill_the_window_and_are_answered(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_RX, window=2)
    assert session.room == 2
    assert session.deliver(DeliverSm(short_message=b"one"), "a", NOW)
    assert session.deliver(DeliverSm(short_message=b"two"), "b", NOW)
    assert not session.deliver(DeliverSm(short_message=b"three"), "c", NOW)
    assert session.room == 0
    first, second = said(session)
    assert (first.short_message, second.short_message) == (b"one", b"two")
    answers = encode(DeliverSmResp(sequence_number=second.sequence_number)) + encode(
        DeliverSmResp(sequence_number=first.sequence_number, command_status=0x64)
    )
    assert session.receive(answers, NOW) == [Answered("b", 0), Answered("a", 0x64)]
    assert (session.room, session.delivered) == (2, 2)


@pytest.mark.parametrize("tail", [b"", b"\0", b"id\0", b"\xff" * 9, b"\0\x04\x24\xff\xff"])
@pytest.mark.parametrize("status", [0, 0x58, 0x4FF, 0xFFFFFFFF])
def test_nothing_in_a_deliver_sm_resp_can_do_harm(status: int, tail: bytes, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_RX)
    session.deliver(DeliverSm(), "a", NOW)
    (pdu,) = said(session)
    response = header(16 + len(tail), CommandId.DELIVER_SM_RESP, status, pdu.sequence_number) + tail
    assert session.receive(response, NOW) == [Answered("a", status)]
    assert session.ending is None


@pytest.mark.parametrize(("status", "heard"), [(0, CommandStatus.ESME_RUNKNOWNERR), (3, 3)])
def test_a_nacked_deliver_sm_is_not_delivered(status: int, heard: int, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_RX)
    session.deliver(DeliverSm(), "a", NOW)
    (pdu,) = said(session)
    nack = header(16, CommandId.GENERIC_NACK, status, pdu.sequence_number)
    assert session.receive(nack, NOW) == [Answered("a", heard)]


def test_a_transmitter_is_delivered_nothing(session_in: Any) -> None:
    session = session_in(State.BOUND_TX)
    assert session.room == 0
    assert not session.deliver(DeliverSm(), "a", NOW)


def test_a_deliver_sm_that_is_not_answered_is_given_back(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_RX, now=NOW)
    session.deliver(DeliverSm(), "a", NOW)
    (pdu,) = said(session)
    session.receive(header(16, CommandId.ENQUIRE_LINK, 0, 1), NOW + 40_000)
    assert session.wake_at <= NOW + 60_000
    assert session.tick(NOW + 59_999) == []
    assert session.tick(NOW + 60_000) == [Answered("a", None)]
    late = header(17, CommandId.DELIVER_SM_RESP, 0, pdu.sequence_number) + b"\0"
    assert session.receive(late, NOW + 61_000) == [Unasked(CommandId.DELIVER_SM_RESP, 0, pdu.sequence_number)]


def test_an_old_client_is_sent_no_tlvs_and_the_pdu_keeps_them(session_in: Any, said: Any) -> None:
    pdu = DeliverSm(short_message=b"id:1", tlvs=[tlv(Tag.RECEIPTED_MESSAGE_ID, "1")])
    for version, kept in ((0x33, 0), (0x34, 1)):
        session = session_in(State.BOUND_RX, version=version)
        session.deliver(pdu, "a", NOW)
        (sent,) = said(session)
        assert len(sent.tlvs) == kept
        assert len(pdu.tlvs) == 1


def test_a_deliver_sm_that_cannot_be_written_takes_no_place(session_in: Any) -> None:
    session = session_in(State.BOUND_RX)
    with pytest.raises(EncodeError):
        session.deliver(DeliverSm(source_addr="x" * 30), "a", NOW)
    assert (session.room, session.data_to_send(), session.delivered) == (3, b"", 0)


def test_what_is_outstanding_at_the_end_is_given_back_in_order(session_in: Any) -> None:
    session = session_in(State.BOUND_RX)
    session.deliver(DeliverSm(), "a", NOW)
    session.enquire(NOW)
    session.deliver(DeliverSm(), "b", NOW)
    session.end(Ending(How.LOST, "gone"))
    assert session.abandon() == [Answered("a", None), Answered("b", None)]
    assert session.abandon() == []


# Unbinding -----------------------------------------------------------------------------------------------------------


def test_an_unbind_is_answered_and_ends_the_session_cleanly(session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    assert session.receive(encode(Unbind(sequence_number=3)), NOW) == []
    assert session.data_to_send() == encode(UnbindResp(sequence_number=3))
    assert session.state is State.UNBOUND
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=True)


def test_an_unbind_waits_until_every_submit_sm_is_answered(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.receive(submit(1) + submit(2) + encode(Unbind(sequence_number=3)) + submit(4), NOW)
    # After UNBIND nothing more is taken, but a question whether we are there.
    (refused,) = said(session)
    assert (refused.sequence_number, refused.command_status) == (4, CommandStatus.ESME_RINVBNDSTS)
    assert not session.deliver(DeliverSm(), "a", NOW)
    session.respond_submit(1, 0, "11")
    assert session.state is State.BOUND_TRX
    session.receive(encode(EnquireLink(sequence_number=5)), NOW)
    session.respond_submit(2, 0, "12")
    assert [(type(pdu), pdu.sequence_number) for pdu in said(session)] == [
        (SubmitSmResp, 1),
        (EnquireLinkResp, 5),
        (SubmitSmResp, 2),
        (UnbindResp, 3),
    ]
    # It need not have read what came after its UNBIND.
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=False)


def test_an_unbind_does_not_wait_for_ever(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.receive(submit(1) + encode(Unbind(sequence_number=3)), NOW)
    assert session.wake_at <= NOW + 60_000
    session.tick(NOW + 60_000)
    (answer,) = said(session)
    assert type(answer) is UnbindResp
    assert session.ending == Ending(How.UNBOUND, "unbound by the client, 1 requests were not answered")


@pytest.mark.parametrize("pdu", [SubmitSm(), SubmitMulti(), DataSm(), QuerySm(message_id="1")])
def test_nothing_more_is_taken_from_who_may_ask_for_nothing_any_more(pdu: Pdu, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.receive(submit(1), NOW)
    session.unbind(NOW, "gone", shut=True)
    pdu.sequence_number = 5
    session.receive(encode(pdu) + encode(EnquireLink(sequence_number=6)), NOW)
    session.respond_submit(1, 0, "1")
    unbind, refused, enquired, answered = said(session)
    assert type(unbind) is Unbind
    status = CommandStatus.ESME_RINVBNDSTS
    assert (refused.command_id, refused.command_status) == (pdu.command_id | 0x80000000, status)
    assert (type(enquired), answered.command_status, answered.message_id) == (EnquireLinkResp, 0, "1")
    session.receive(encode(UnbindResp(sequence_number=unbind.sequence_number)), NOW)
    assert session.ending == Ending(How.CLOSED, "unbound by us")


def test_our_unbind_is_answered(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.unbind(NOW)
    session.unbind(NOW)
    (unbind,) = said(session)
    assert type(unbind) is Unbind
    assert (session.room, session.ending) == (0, None)
    session.receive(encode(UnbindResp(sequence_number=unbind.sequence_number)), NOW)
    assert session.ending == Ending(How.CLOSED, "unbound by us", clean=True)


def test_what_is_submitted_while_our_unbind_is_under_way_is_taken_but_the_end_is_not_clean(
    session_in: Any, said: Any
) -> None:
    session = session_in(State.BOUND_TRX)
    session.unbind(NOW)
    (unbind,) = said(session)
    session.receive(submit(1) + encode(UnbindResp(sequence_number=unbind.sequence_number)), NOW)
    assert session.ending is None
    session.respond_submit(1, 0, "11")
    assert [type(pdu) for pdu in said(session)] == [SubmitSmResp]
    assert session.ending == Ending(How.CLOSED, "unbound by us", clean=False)


def test_our_unbind_that_is_not_answered_ends_it_all_the_same(session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.unbind(NOW)
    assert session.wake_at <= NOW + 60_000
    session.tick(NOW + 60_000)
    assert session.ending == Ending(How.CLOSED, "did not answer our UNBIND")


def test_unbinds_that_cross_are_both_done_with(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.unbind(NOW)
    session.receive(encode(Unbind(sequence_number=3)), NOW)
    assert [type(pdu) for pdu in said(session)] == [Unbind, UnbindResp]
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=True)


def test_what_was_answered_after_the_first_of_two_unbinds_makes_the_end_unclean(session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    session.unbind(NOW)
    session.receive(submit(1), NOW)
    session.respond_submit(1, 0, "11")
    session.receive(encode(Unbind(sequence_number=3)), NOW)
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=False)


def test_who_is_not_bound_is_closed_without_an_unbind() -> None:
    session = fresh()
    session.unbind(NOW, "shutting down")
    assert session.ending == Ending(How.CLOSED, "shutting down")
    assert session.data_to_send() == b""


# Time ----------------------------------------------------------------------------------------------------------------


def test_a_session_that_is_not_bound_in_time_ends() -> None:
    session = fresh()
    assert session.wake_at == 31_000
    session.tick(31_000)
    assert session.ending == Ending(How.CLOSED, "not bound in time")
    assert session.wake_at == NEVER


def test_a_silent_client_is_asked_and_an_answer_keeps_it(session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TX, now=0)
    session.tick(45_000)
    (question,) = said(session)
    assert type(question) is EnquireLink
    assert session.receive(encode(EnquireLinkResp(sequence_number=question.sequence_number)), 46_000) == []
    assert session._counters.unasked == 0
    session.tick(90_000)
    assert said(session) == []
    session.tick(91_000)
    assert [type(pdu) for pdu in said(session)] == [EnquireLink]
    session.tick(166_000)
    assert session.ending == Ending(How.CLOSED, "silent for too long")


def test_half_a_pdu_is_no_sign_of_life(session_in: Any) -> None:
    session = session_in(State.BOUND_TX, now=0)
    for second, octet in enumerate(submit(1)[:-1]):
        session.receive(bytes([octet]), second * 1000)
    session.tick(120_000)
    assert session.ending == Ending(How.CLOSED, "silent for too long")


def test_waking_too_early_does_nothing_and_says_when_to_come_again(session_in: Any) -> None:
    session = session_in(State.BOUND_TX, now=0)
    session.receive(submit(1), 30_000)
    session.tick(30_001)
    assert (session.wake_at, session.data_to_send()) == (75_000, b"")


# Counting ------------------------------------------------------------------------------------------------------------


def test_everything_is_counted(session_in: Any) -> None:
    session = session_in(State.BOUND_TRX)
    counters = session._counters
    before = counters.octets_in
    stream = submit(1) + submit(2) + header(16, 0x7777, 0, 1) + encode(EnquireLink(sequence_number=4))
    session.receive(stream, NOW)
    session.respond_submit(1, 0, "1")
    session.respond_submit(2, 0x58)
    session.deliver(DeliverSm(), "a", NOW)
    octets = len(session.data_to_send())
    assert counters.octets_in - before == len(stream)
    assert counters.octets_out >= octets
    assert (counters.received[CommandId.SUBMIT_SM], counters.received[0]) == (2, 1)
    assert counters.sent[CommandId.SUBMIT_SM_RESP] == 2
    assert counters.sent[CommandId.ENQUIRE_LINK_RESP] == counters.sent[CommandId.DELIVER_SM] == 1
    assert counters.refused == {(0, CommandStatus.ESME_RINVCMDID): 1, (CommandId.SUBMIT_SM, 0x58): 1}


def test_a_session_introduces_itself(session_in: Any) -> None:
    session = session_in(State.BOUND_TX)
    session.receive(submit(1), NOW)
    assert repr(session) == "<Session BOUND_TX submitted=1 answered=0 None>"


# The property: how the stream is cut does not matter ------------------------------------------------------------------

VALID = st.sampled_from(
    [
        BindTransmitter(system_id="demo"),
        BindReceiver(system_id="demo"),
        BindTransceiver(system_id="demo"),
        BindTransceiver(system_id="refused"),
        SubmitSm(destination_addr="79990000001", short_message=b"text"),
        SubmitSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"p" * 300)]),
        SubmitMulti(),
        DataSm(),
        DeliverSm(),
        DeliverSmResp(sequence_number=1),
        DeliverSmResp(sequence_number=2, command_status=0x64),
        EnquireLink(),
        EnquireLinkResp(),
        AlertNotification(),
        GenericNack(),
        Unbind(),
        UnbindResp(),
    ]
).map(encode)
BROKEN = st.builds(
    lambda command_id, status, sequence, body: header(16 + len(body), command_id, status, sequence) + body,
    st.sampled_from([*CommandId, 0, 0x0A, 0x8000000A, 0xFFFFFFFF]),
    st.sampled_from([0, 0x58, 0xFFFFFFFF]),
    st.integers(0, 3),
    st.binary(max_size=60),
)
LOST = st.builds(
    header,
    st.sampled_from([0, 4, 15, 1025, 0x16030100, 0xFFFFFFFF]),
    st.sampled_from([*CommandId]),
    st.just(0),
    st.integers(0, 2**32 - 1),
)
#: Sessions begin with a bind more often than not, or nothing would ever be submitted.
STREAMS = st.tuples(
    st.sampled_from([b"", encode(BindTransceiver(system_id="demo")), encode(BindTransmitter(system_id="demo"))]),
    st.lists(st.one_of(VALID, VALID, BROKEN, LOST, st.binary(max_size=20)), max_size=12),
).map(lambda parts: parts[0] + b"".join(parts[1]))


def run(chunks: list[bytes]) -> tuple[list[Event], bytes, State, Ending | None, str]:
    """Feed a stream to a client's session whose application decides on binds at once and answers at the end."""
    session = fresh()
    events: list[Event] = []
    octets = b""

    def take(more: list[Event]) -> None:
        nonlocal octets
        octets += session.data_to_send()
        for event in more:
            events.append(event)
            if isinstance(event, BindRequest):
                if event.system_id == "refused":
                    session.bind_refused(CommandStatus.ESME_RBINDFAIL)
                else:
                    session.bind_accepted("us")
                    session.deliver(DeliverSm(short_message=b"a"), "a", NOW)
                    session.deliver(DeliverSm(short_message=b"b"), "b", NOW)
                take(session.proceed(NOW))

    for chunk in chunks:
        take(session.receive(chunk, NOW))
    for event in events:
        if isinstance(event, tuple):
            session.respond_submit(event[0].sequence_number, 0, "1")
    octets += session.data_to_send()
    return events, octets, session.state, session.ending, repr(session)


@settings(max_examples=400)
@given(stream=STREAMS, data=st.data())
def test_events_and_answers_do_not_depend_on_how_the_stream_is_cut(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = run([stream])
    assert run(chunks) == whole
    assert run([bytes([octet]) for octet in stream]) == whole


@given(stream=STREAMS)
def test_everything_said_is_smpp_and_every_request_is_answered_once(stream: bytes) -> None:
    from pdu import Framer, decode

    events, octets, _, _, _ = run([stream])
    framer = Framer(65_536)
    framer.feed(octets)
    said = []
    while (frame := framer.next()) is not None:
        said.append(decode(frame))
    assert b"".join(encode(pdu) for pdu in said) == octets
    answers = sum(1 for pdu in said if type(pdu) is SubmitSmResp and pdu.command_status == 0)
    assert answers <= sum(1 for event in events if isinstance(event, tuple))
    refusals = [event for event in events if isinstance(event, Refused)]
    refused_binds = sum(1 for event in events if isinstance(event, BindRequest) and event.system_id == "refused")
    assert sum(1 for pdu in said if pdu.command_status) == len(refusals) + refused_binds


@given(st.binary(max_size=400))
def test_garbage_raises_nothing(garbage: bytes) -> None:
    for state in (b"", encode(BindTransceiver(system_id="demo"))):
        events, _, _, ending, _ = run([state + garbage])
        assert ending is None or ending.how in How
        assert all(not isinstance(event, tuple) or type(event[0]) in PDUS.values() for event in events)
