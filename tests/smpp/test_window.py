"""Sequence numbers, places and deadlines of what a client has not answered."""

from hypothesis import given
from hypothesis import strategies as st

from pdu import CommandId
from smppbridge.smpp.timers import NEVER
from smppbridge.smpp.window import LAST_SEQUENCE, Window

DELIVER_SM, DELIVER_SM_RESP = CommandId.DELIVER_SM, CommandId.DELIVER_SM_RESP


def test_sequence_numbers_begin_at_one() -> None:
    window = Window(10, 1000)
    assert [window.put(DELIVER_SM, token, 0) for token in "abc"] == [1, 2, 3]


def test_sequence_numbers_begin_again_after_the_last_and_skip_what_is_outstanding() -> None:
    window = Window(10, 1000)
    assert window.put(CommandId.ENQUIRE_LINK, None, 0) == 1
    wrapping = Window(10, 1000, last=LAST_SEQUENCE - 2)
    wrapping._open = dict(window._open)
    assert [wrapping.put(DELIVER_SM, None, 0) for _ in range(4)] == [0x7FFFFFFE, 0x7FFFFFFF, 2, 3]


def test_a_response_finds_its_request_once() -> None:
    window = Window(10, 1000)
    sequence = window.put(DELIVER_SM, "token", 0)
    request = window.take(sequence, DELIVER_SM_RESP)
    assert request is not None
    assert request.token == "token"
    assert window.take(sequence, DELIVER_SM_RESP) is None


def test_a_response_of_another_kind_finds_nothing() -> None:
    window = Window(10, 1000)
    sequence = window.put(CommandId.ENQUIRE_LINK, None, 0)
    assert window.take(sequence, DELIVER_SM_RESP) is None
    assert window.take(sequence, CommandId.ENQUIRE_LINK_RESP) is not None


def test_a_nack_answers_whatever_has_its_number() -> None:
    window = Window(10, 1000)
    for command in (DELIVER_SM, CommandId.ENQUIRE_LINK, CommandId.UNBIND):
        request = window.take(window.put(command, None, 0), CommandId.GENERIC_NACK)
        assert request is not None
        assert request.command_id is command


def test_only_deliver_sm_take_places() -> None:
    window = Window(2, 1000)
    first = window.put(DELIVER_SM, "a", 0)
    window.put(DELIVER_SM, "b", 0)
    window.put(CommandId.ENQUIRE_LINK, None, 0)
    assert (window.room, window.delivering, len(window)) == (0, 2, 3)
    window.take(first, DELIVER_SM_RESP)
    assert (window.room, window.delivering, len(window)) == (1, 1, 2)


def test_what_is_late_is_forgotten_in_order() -> None:
    window = Window(10, 1000)
    window.put(DELIVER_SM, "a", 0)
    window.put(DELIVER_SM, "b", 500)
    window.put(DELIVER_SM, "c", 2000)
    assert window.next() == 1000
    assert window.expired(999) == []
    assert [request.token for request in window.expired(1500)] == ["a", "b"]
    assert window.next() == 3000
    assert window.room == 9


def test_without_a_timeout_nothing_is_late() -> None:
    window = Window(10, 0)
    window.put(DELIVER_SM, "a", 0)
    assert window.expired(10**12) == []
    assert window.next() == NEVER


def test_clearing_gives_everything_back() -> None:
    window = Window(10, 1000)
    window.put(DELIVER_SM, "a", 0)
    window.put(CommandId.UNBIND, None, 0)
    assert [request.command_id for request in window.clear()] == [DELIVER_SM, CommandId.UNBIND]
    assert (len(window), window.room, window.next()) == (0, 10, NEVER)


@given(
    last=st.sampled_from([0, LAST_SEQUENCE - 3, LAST_SEQUENCE]),
    steps=st.lists(st.tuples(st.sampled_from(["put", "answer", "late"]), st.integers(0, 30)), max_size=60),
)
def test_no_number_is_given_twice_while_it_is_outstanding(last: int, steps: list[tuple[str, int]]) -> None:
    window = Window(1000, 10, last=last)
    outstanding: dict[int, int] = {}
    now = 0
    for what, number in steps:
        if what == "put":
            sequence = window.put(DELIVER_SM, number, now)
            assert 1 <= sequence <= LAST_SEQUENCE
            assert sequence not in outstanding
            outstanding[sequence] = number
        elif what == "answer" and outstanding:
            sequence = list(outstanding)[number % len(outstanding)]
            request = window.take(sequence, DELIVER_SM_RESP)
            assert request is not None
            assert request.token == outstanding.pop(sequence)
        elif what == "late":
            now += number
            for _ in window.expired(now):
                del outstanding[next(iter(outstanding))]
        assert window.delivering == len(outstanding)
