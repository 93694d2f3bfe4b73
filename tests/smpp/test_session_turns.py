"""Where a session stops taking: the turns, the window of requests, holding, and the end of the stream."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdu import (
    BindTransceiver,
    CommandStatus,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Pdu,
    QuerySm,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    encode,
    tlv,
)
from smppbridge.smpp.events import Answered, Ending, Event, How, Refused, Unasked
from smppbridge.smpp.session import TURN, TURN_OCTETS, Counters, Session
from smppbridge.smpp.timers import Limits

NOW = 2_000
LIMITS = Limits(session_init=30_000, enquire_link_after=45_000, inactivity=120_000, response=60_000)


def bound(version: int = 0x34, **window: Any) -> Session:
    """A transceiver with this window of requests."""
    session = Session(LIMITS, 1_000, window=3, max_pdu=1024, counters=Counters())
    bind = BindTransceiver(system_id="demo", interface_version=version, sequence_number=1)
    session.receive(encode(bind), NOW)
    session.bind_accepted("us", **window)
    assert session.proceed(NOW) == []
    session.data_to_send()
    return session


def submits(*sequences: int) -> bytes:
    return b"".join(encode(SubmitSm(sequence_number=number, short_message=b"hello")) for number in sequences)


def numbers(events: list[Event]) -> list[int]:
    """The sequence_numbers of what the application is asked."""
    return [event[0].sequence_number for event in events if isinstance(event, tuple)]


# Turns ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pdu",
    [SubmitSm(), QuerySm(message_id="1"), EnquireLink(), DeliverSmResp(sequence_number=9)],
    ids=lambda pdu: type(pdu).__name__,
)
def test_a_turn_has_an_end_and_the_rest_is_taken_in_the_next_ones(pdu: Pdu) -> None:
    session = bound()
    session.receive(encode(pdu) * (2 * TURN + 5), NOW)
    assert (session.taken - 1, session.paused, session.wait(NOW)) == (TURN, True, 0)
    session.proceed(NOW)
    assert (session.taken - 1, session.paused, session.wait(NOW)) == (2 * TURN, True, 0)
    session.proceed(NOW)
    assert (session.taken - 1, session.paused) == (2 * TURN + 5, False)


def test_a_turn_of_long_pdus_is_short() -> None:
    session = bound()
    long = encode(SubmitSm(tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"x" * 900)]))
    events = session.receive(long * 60, NOW)
    assert (len(events), session.paused, session.wait(NOW)) == (TURN_OCTETS // len(long) + 1, True, 0)
    assert len(events) + len(session.proceed(NOW)) == 60
    assert not session.paused


def test_what_cannot_be_read_takes_its_turn_as_well() -> None:
    session = bound()
    broken = bytes.fromhex("00000012 00000004 00000000 00000001 ffff")
    assert len(session.receive(broken * (TURN + 1), NOW)) == TURN
    assert (session.paused, session.bad) == (True, TURN)
    assert len(session.proceed(NOW)) == 1
    assert (session.paused, session.bad) == (False, TURN + 1)


def test_a_lost_framing_waits_for_its_turn() -> None:
    session = bound()
    session.receive(encode(EnquireLink()) * TURN + bytes(16), NOW)
    assert session.ending is None
    session.proceed(NOW)
    assert session.ending is not None
    assert not session.paused
    assert session.proceed(NOW) == []


# The window of requests ----------------------------------------------------------------------------------------------


def test_a_full_window_takes_nothing_until_something_is_answered(said: Any) -> None:
    session = bound(submit_window=2)
    stream = submits(1, 2, 3) + encode(EnquireLink(sequence_number=4)) + submits(5)
    assert numbers(session.receive(stream, NOW)) == [1, 2]
    assert (session.paused, session.wait(NOW)) == (True, None)
    assert numbers(session.proceed(NOW)) == []
    # The question stands behind the third one in the stream, and is not heard before that.
    assert said(session) == []
    session.respond_submit(2, 0, "22")
    assert (session.paused, session.wait(NOW)) == (True, 0)
    assert numbers(session.proceed(NOW)) == [3]
    session.respond_submit(1, CommandStatus.ESME_RSYSERR)
    session.respond_submit(3, 0, "33")
    assert numbers(session.proceed(NOW)) == [5]
    # With one place left over another turn has to find out that there is nothing more.
    assert [(type(pdu), pdu.sequence_number) for pdu in said(session)] == [
        (SubmitSmResp, 2),
        (SubmitSmResp, 1),
        (SubmitSmResp, 3),
        (EnquireLinkResp, 4),
    ]


def test_every_operation_counts_and_nothing_else_does() -> None:
    session = bound(submit_window=2)
    others = (
        encode(EnquireLink())
        + encode(DeliverSmResp(sequence_number=9))
        + bytes.fromhex("00000010 00000a0a 00000000 00000001")
    )
    query = encode(QuerySm(message_id="1", sequence_number=7))
    events = session.receive(others + query + others + submits(8) + others, NOW)
    while session.wait(NOW) == 0 and session.paused:
        events += session.proceed(NOW)
    assert numbers(events) == [7, 8]
    assert session.wait(NOW) is None
    assert session.taken == 1 + 3 + 1 + 3 + 1


def test_deliveries_go_out_while_the_window_of_requests_is_full(said: Any) -> None:
    """Neither window waits for the other: our answers wait for the store alone, whatever the client has not said."""
    session = bound(submit_window=1)
    for token in "abc":
        assert session.deliver(DeliverSm(short_message=b"x"), token, NOW)
    delivered = said(session)
    answers = b"".join(encode(DeliverSmResp(sequence_number=pdu.sequence_number)) for pdu in delivered)
    events = session.receive(submits(1) + answers + submits(2), NOW)
    assert (numbers(events), session.room) == ([1], 0)
    session.respond_submit(1, 0, "11")
    events = []
    while session.paused and session.wait(NOW) == 0:
        events += session.proceed(NOW)
    assert events[:3] == [Answered("a", 0), Answered("b", 0), Answered("c", 0)]
    assert (numbers(events), session.room) == ([2], 3)


@pytest.mark.parametrize("version", [0x34, 0x50])
def test_more_than_the_window_is_throttled_where_the_account_says_so(version: int, said: Any) -> None:
    session = bound(version, submit_window=2, throttles=True)
    stream = (
        submits(1, 2, 3) + encode(EnquireLink(sequence_number=4)) + encode(QuerySm(message_id="1", sequence_number=5))
    )
    events = session.receive(stream, NOW)
    while session.paused:
        assert session.wait(NOW) == 0
        events += session.proceed(NOW)
    assert numbers(events) == [1, 2]
    assert [event.status for event in events if isinstance(event, Refused)] == [CommandStatus.ESME_RTHROTTLED] * 2
    refused, alive, refused_too = said(session)
    assert [(pdu.sequence_number, pdu.command_status) for pdu in (refused, alive, refused_too)] == [
        (3, CommandStatus.ESME_RTHROTTLED),
        (4, 0),
        (5, CommandStatus.ESME_RTHROTTLED),
    ]
    # It is no fault, only too much.
    assert session.bad == 0
    reason = "submit_window is 2: so many requests wait for their answers"
    assert (refused.option(Tag.ADDITIONAL_STATUS_INFO_TEXT) == reason) is (version >= 0x50)
    session.respond_submit(1, 0, "11")
    assert numbers(session.receive(submits(6, 7), NOW)) == [6]


def test_an_unbind_behind_a_full_window_is_answered_after_everything_before_it(said: Any) -> None:
    session = bound(submit_window=1)
    session.receive(submits(1, 2) + encode(Unbind(sequence_number=3)), NOW)
    for number in (1, 2):
        session.respond_submit(number, 0, str(number))
        while session.paused and session.wait(NOW) == 0:
            session.proceed(NOW)
    assert [type(pdu) for pdu in said(session)] == [SubmitSmResp, SubmitSmResp, UnbindResp]
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=True)


def test_silence_is_not_the_clients_while_it_waits_for_us() -> None:
    session = bound(submit_window=1)
    session.receive(submits(1), NOW)
    for later in range(0, 600_000, 1_000):
        if session.wake_at <= NOW + later:
            session.tick(NOW + later)
    assert session.ending is None
    session.respond_submit(1, 0, "11")
    session.tick(NOW + 600_000)
    assert session.ending is None
    session.tick(NOW + 600_000 + 120_000)
    assert session.ending == Ending(How.CLOSED, "silent for too long")


# Holding -------------------------------------------------------------------------------------------------------------


def test_a_session_that_is_held_takes_nothing_before_its_time(said: Any) -> None:
    session = bound()
    session.hold(NOW + 500)
    assert numbers(session.receive(submits(1), NOW)) == []
    assert (session.paused, session.wait(NOW), session.wait(NOW + 600)) == (True, 500, 0)
    assert numbers(session.proceed(NOW + 499)) == []
    assert numbers(session.proceed(NOW + 500)) == [1]
    assert not session.paused


def test_who_is_held_for_long_is_not_silent() -> None:
    session = bound()
    session.hold(NOW + 200_000)
    session.tick(NOW + 119_999)
    session.tick(NOW + 199_999)
    assert session.ending is None
    session.tick(NOW + 320_000)
    assert session.ending == Ending(How.CLOSED, "silent for too long")


def test_who_is_held_still_gets_answers_and_deliveries(said: Any) -> None:
    session = bound()
    session.receive(submits(1), NOW)
    session.hold(NOW + 500)
    session.respond_submit(1, 0, "11")
    assert session.deliver(DeliverSm(), "a", NOW)
    assert [type(pdu) for pdu in said(session)] == [SubmitSmResp, DeliverSm]


def test_who_is_held_has_its_answers_read_before_they_are_late(said: Any) -> None:
    session = bound()
    assert session.deliver(DeliverSm(), "a", NOW)
    [delivery] = said(session)
    session.hold(NOW + 200_000)
    session.receive(encode(DeliverSmResp(sequence_number=delivery.sequence_number)), NOW)
    for second in range(201):
        assert session.tick(NOW + 1000 * second) == []
    assert session.proceed(NOW + 200_000) == [Answered("a", 0)]


def test_who_was_held_and_does_not_answer_has_not_answered() -> None:
    session = bound()
    assert session.deliver(DeliverSm(), "a", NOW)
    session.hold(NOW + 200_000)
    assert session.tick(NOW + 100_000) == []
    assert session.tick(NOW + 200_000) == []
    assert session.tick(NOW + 200_000 + LIMITS.response) == [Answered("a", None)]


def test_who_has_hung_up_while_it_is_held_is_waited_for_no_longer_than_others() -> None:
    session = bound()
    assert session.deliver(DeliverSm(), "a", NOW)
    session.hold(NOW + 200_000)
    session.hang_up()
    assert (session.leaving, session.room) == (True, 0)
    assert session.tick(NOW + LIMITS.response) == [Answered("a", None)]


# The end of the stream -----------------------------------------------------------------------------------------------

LEFT = "closed by the client without UNBIND"


def test_an_end_of_file_leaves_time_for_what_is_under_way(said: Any) -> None:
    session = bound()
    assert session.deliver(DeliverSm(), "a", NOW)
    session.receive(submits(1, 2), NOW)
    said(session)
    # It cannot answer the delivery any more, but it may read the answer to what it asked.
    assert session.receive_end(NOW) == [Answered("a", None)]
    assert (session.ending, session.room, session.leaving) == (None, 0, True)
    session.respond_submit(1, 0, "11")
    session.respond_submit(2, 0, "22")
    assert [type(pdu) for pdu in said(session)] == [SubmitSmResp, SubmitSmResp]
    assert session.ending == Ending(How.LOST, LEFT)
    assert session.receive_end(NOW) == []


def test_an_end_of_file_is_the_last_thing_in_the_stream(said: Any) -> None:
    session = bound(submit_window=1)
    session.receive(submits(1, 2), NOW)
    assert session.receive_end(NOW) == []
    session.respond_submit(1, 0, "11")
    assert session.ending is None
    assert numbers(session.proceed(NOW)) == [2]
    session.respond_submit(2, 0, "22")
    session.proceed(NOW)
    assert [type(pdu) for pdu in said(session)] == [SubmitSmResp, SubmitSmResp]
    assert session.ending == Ending(How.LOST, LEFT)


def test_an_end_of_file_does_not_wait_for_ever() -> None:
    session = bound()
    session.receive(submits(1), NOW)
    session.receive_end(NOW)
    assert session.wake_at <= NOW + 60_000
    session.tick(NOW + 60_000)
    assert session.ending == Ending(How.LOST, f"{LEFT}, 1 requests were not answered")


@pytest.mark.parametrize("sent", [b"", submits(1)[:20]])
def test_an_end_of_file_with_nothing_under_way_is_the_end(sent: bytes) -> None:
    session = bound()
    session.receive(sent, NOW)
    session.receive_end(NOW)
    # Not clean: a client that is killed says the same, and what it had read is lost with it.
    assert session.ending == Ending(How.LOST, LEFT, clean=False)


def test_an_end_of_file_before_the_bind() -> None:
    session = Session(LIMITS, 1_000, window=3, max_pdu=1024, counters=Counters())
    session.receive_end(NOW)
    assert session.ending == Ending(How.LOST, LEFT)


def test_an_end_of_file_while_a_bind_is_decided(said: Any) -> None:
    session = Session(LIMITS, 1_000, window=3, max_pdu=1024, counters=Counters())
    session.receive(encode(BindTransceiver(system_id="demo", sequence_number=1)) + submits(2), NOW)
    session.receive_end(NOW)
    assert session.ending is None
    session.bind_accepted("us")
    assert numbers(session.proceed(NOW)) == [2]
    session.respond_submit(2, 0, "22")
    assert [pdu.sequence_number for pdu in said(session)] == [1, 2]
    assert session.ending == Ending(How.LOST, LEFT)


def test_who_has_closed_its_half_before_its_bind_was_answered_gets_no_deliveries() -> None:
    session = Session(LIMITS, 1_000, window=3, max_pdu=1024, counters=Counters())
    session.receive(encode(BindTransceiver(system_id="demo", sequence_number=1)), NOW)
    session.receive_end(NOW)
    session.bind_accepted("us")
    assert (session.room, session.can_receive) == (0, False)


def test_who_has_closed_its_half_gets_no_more_deliveries_while_its_last_words_wait() -> None:
    session = bound(submit_window=1)
    assert session.deliver(DeliverSm(), "a", NOW)
    session.receive(submits(1) + encode(DeliverSmResp(sequence_number=1)), NOW)
    session.receive_end(NOW)
    assert not session.deliver(DeliverSm(), "b", NOW)
    session.respond_submit(1, 0, "11")
    # What it said before still counts.
    assert session.proceed(NOW) == [Answered("a", 0)]


def test_an_end_of_file_after_an_unbind_changes_nothing(said: Any) -> None:
    session = bound()
    assert session.deliver(DeliverSm(), "a", NOW)
    session.receive(submits(1), NOW)
    session.respond_submit(1, 0, "11")
    session.receive(submits(2) + encode(Unbind(sequence_number=3)), NOW)
    assert session.receive_end(NOW) == [Answered("a", None)]
    session.respond_submit(2, 0, "22")
    assert type(said(session)[-1]) is UnbindResp
    assert session.ending == Ending(How.UNBOUND, "unbound by the client", clean=False)


def test_an_end_of_file_instead_of_an_answer_to_our_unbind(said: Any) -> None:
    session = bound()
    session.receive(submits(1), NOW)
    session.unbind(NOW)
    session.receive_end(NOW)
    assert session.ending is None
    session.respond_submit(1, 0, "11")
    assert [type(pdu) for pdu in said(session)] == [Unbind, SubmitSmResp]
    assert session.ending == Ending(How.LOST, LEFT)


def test_an_end_of_file_after_the_answer_to_our_unbind(said: Any) -> None:
    session = bound()
    session.receive(submits(1), NOW)
    session.unbind(NOW)
    (unbind,) = said(session)
    session.receive(encode(UnbindResp(sequence_number=unbind.sequence_number)), NOW)
    session.receive_end(NOW)
    session.respond_submit(1, 0, "11")
    assert session.ending == Ending(How.CLOSED, "unbound by us", clean=False)


# Deliveries and unbinding --------------------------------------------------------------------------------------------


def test_answers_to_deliveries_count_until_an_unbind_is_answered(said: Any) -> None:
    session = bound()
    for token in "ab":
        session.deliver(DeliverSm(), token, NOW)
    first, second = said(session)
    session.receive(submits(1) + encode(Unbind(sequence_number=2)), NOW)
    answer = encode(DeliverSmResp(sequence_number=first.sequence_number))
    assert session.receive(answer, NOW) == [Answered("a", 0)]
    session.respond_submit(1, 0, "11")
    assert type(said(session)[-1]) is UnbindResp
    assert session.receive(encode(DeliverSmResp(sequence_number=second.sequence_number)), NOW) == []
    assert session.abandon() == [Answered("b", None)]


def test_answers_to_deliveries_count_while_our_unbind_is_under_way(said: Any) -> None:
    session = bound()
    session.deliver(DeliverSm(), "a", NOW)
    session.unbind(NOW)
    delivery, unbind = said(session)
    answers = encode(DeliverSmResp(sequence_number=delivery.sequence_number)) + encode(
        UnbindResp(sequence_number=unbind.sequence_number)
    )
    assert session.receive(answers, NOW) == [Answered("a", 0)]
    assert session.ending == Ending(How.CLOSED, "unbound by us", clean=True)


def test_who_answers_with_wrong_numbers_gets_its_deliveries_again(said: Any) -> None:
    session = bound()
    for token in "abc":
        session.deliver(DeliverSm(), token, NOW)
    said(session)
    wrong = b"".join(encode(DeliverSmResp(sequence_number=number)) for number in (0, 1000, 0x80000001, 0xFFFFFFFF))
    assert [type(event) for event in session.receive(wrong, NOW)] == [Unasked] * 4
    assert (session.room, session.bad) == (0, 4)
    assert session.tick(NOW + 60_000) == [Answered(token, None) for token in "abc"]
    assert session.room == 3


def test_sequence_numbers_of_deliveries_begin_again_after_the_last(said: Any) -> None:
    session = bound()
    session._requests()._last = 0x7FFFFFFD
    answered: list[Event] = []
    for token in "abcd":
        assert session.deliver(DeliverSm(), token, NOW)
        (pdu,) = said(session)
        answered.append((token, pdu.sequence_number))  # type: ignore[arg-type]
        assert session.receive(encode(DeliverSmResp(sequence_number=pdu.sequence_number)), NOW) == [Answered(token, 0)]
    assert answered == [("a", 0x7FFFFFFE), ("b", 0x7FFFFFFF), ("c", 1), ("d", 2)]


# The property: neither cuts nor turns matter -------------------------------------------------------------------------

PDUS = st.lists(
    st.sampled_from(
        [
            SubmitSm(short_message=b"hi"),
            QuerySm(message_id="1"),
            EnquireLink(),
            DeliverSmResp(sequence_number=1),
            Unbind(),
        ]
    ),
    max_size=3 * TURN,
)


def run(chunks: list[bytes], window: int, each: int) -> tuple[list[Event], bytes, Ending | None]:
    """A client that sends these reads and an end-of-file; the application answers `each` of what it has at a time."""
    session = bound(submit_window=window)
    session.deliver(DeliverSm(), "a", NOW)
    events: list[Event] = []
    octets = session.data_to_send()
    left = chunks[:]
    open_requests: list[Event] = []
    while True:
        if session.paused and session.wait(NOW) == 0:
            more = session.proceed(NOW)
        elif session.paused or not left:
            if not open_requests:
                break
            done, open_requests = open_requests[:each], open_requests[each:]
            for event in done:
                assert isinstance(event, tuple)
                session.respond_error(event[0].command_id, event[0].sequence_number, CommandStatus.ESME_RSYSERR)
            more = []
        else:
            more = session.receive(left.pop(0), NOW)
        assert session.submitted - session.responded <= window
        events += more
        open_requests += [event for event in more if isinstance(event, tuple)]
        octets += session.data_to_send()
    events += session.receive_end(NOW)
    return events, octets + session.data_to_send(), session.ending


@settings(max_examples=60, deadline=None)
@given(pdus=PDUS, window=st.integers(1, 2 * TURN), each=st.integers(1, 5), data=st.data())
def test_what_is_asked_and_how_it_ends_do_not_depend_on_cuts_and_turns(
    pdus: list[Pdu], window: int, each: int, data: st.DataObject
) -> None:
    for number, pdu in enumerate(pdus, 1):
        if not isinstance(pdu, DeliverSmResp):
            pdu.sequence_number = number
    stream = b"".join(map(encode, pdus))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    chunks = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = run([stream], window, each)
    cut = run(chunks, window, each)
    # What comes after an UNBIND is refused or not heard at all, as its answer is late or early.
    assert [event for event in cut[0] if isinstance(event, tuple)] == [
        event for event in whole[0] if isinstance(event, tuple)
    ]
    assert cut[2] == whole[2]


def test_who_answers_late_or_twice_does_nothing_bad(said: Any) -> None:
    session = bound()
    session.deliver(DeliverSm(), "a", NOW)
    session.deliver(DeliverSm(), "b", NOW)
    late, twice = (encode(DeliverSmResp(sequence_number=pdu.sequence_number)) for pdu in said(session))
    assert session.receive(twice, NOW) == [Answered("b", 0)]
    assert session.tick(NOW + 60_000) == [Answered("a", None)]
    assert [type(event) for event in session.receive(late + twice, NOW + 60_001)] == [Unasked] * 2
    assert session.bad == 0
