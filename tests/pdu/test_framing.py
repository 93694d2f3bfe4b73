"""Frames out of a stream, however it is cut."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdu import CommandStatus, EnquireLink, Framer, FramingError, SubmitSm, encode

MAX = 1000

ENQUIRE = encode(EnquireLink(sequence_number=1))
SUBMIT = encode(SubmitSm(sequence_number=2, short_message=b"text"))


def header(length: int, sequence_number: int = 9) -> bytes:
    return struct.pack(">4L", length, 4, 0, sequence_number)


def events(reads: list[bytes]) -> list[object]:
    """Everything a reader sees: frames, and the error that ends them."""
    framer = Framer(MAX)
    seen: list[object] = []
    for read in reads:
        framer.feed(read)
        try:
            while (frame := framer.next()) is not None:
                seen.append(frame)
        except FramingError as error:
            seen.append((error.command_status, error.sequence_number, error.reason))
            break
    return seen


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def test_frames_come_one_at_a_time() -> None:
    framer = Framer(MAX)
    assert framer.next() is None
    framer.feed(ENQUIRE + SUBMIT + ENQUIRE[:5])
    assert framer.next() == ENQUIRE
    assert framer.next() == SUBMIT
    assert framer.next() is None
    framer.feed(ENQUIRE[5:])
    assert framer.next() == ENQUIRE
    assert framer.next() is None


@pytest.mark.parametrize("length", [0, 4, 15, MAX + 1, 0xFFFFFFFF])
def test_a_command_length_that_cannot_be_true_ends_the_stream(length: int) -> None:
    framer = Framer(MAX)
    framer.feed(ENQUIRE + header(length) + ENQUIRE)
    assert framer.next() == ENQUIRE
    for _ in range(2):  # and stays ended
        with pytest.raises(FramingError, match=f"command_length {length} ") as raised:
            framer.next()
        assert raised.value.command_status is CommandStatus.ESME_RINVCMDLEN
        assert raised.value.sequence_number == 9
        framer.feed(ENQUIRE)


@pytest.mark.parametrize("length", [16, MAX])
def test_the_shortest_and_the_longest_frame_are_taken(length: int) -> None:
    frame = header(length) + bytes(length - 16)
    assert events([frame]) == [frame]


def test_a_broken_length_is_judged_when_the_whole_header_is_there() -> None:
    framer = Framer(MAX)
    framer.feed(header(3)[:15])
    assert framer.next() is None
    framer.feed(header(3)[15:])
    with pytest.raises(FramingError):
        framer.next()


frames = st.builds(lambda body: header(16 + len(body)) + body, st.binary(max_size=60))
endings = st.one_of(st.just(b""), st.binary(max_size=20), st.integers(0, 15).map(header), st.just(header(MAX + 1)))


@given(st.lists(frames, max_size=6), endings, st.lists(st.integers(min_value=0), max_size=12))
@example([ENQUIRE], header(3), [16])
@example([ENQUIRE], header(3), [])
def test_events_do_not_depend_on_how_the_stream_is_cut(good: list[bytes], ending: bytes, places: list[int]) -> None:
    stream = b"".join(good) + ending
    whole = events([stream])
    assert whole[: len(good)] == good
    assert events(cut(stream, places)) == whole
    assert events([stream[at : at + 1] for at in range(len(stream))]) == whole


def test_a_large_frame_that_comes_octet_by_octet_is_put_together_once() -> None:
    frame = header(60_000) + bytes(60_000 - 16)
    framer = Framer(70_000)
    for at in range(len(frame) - 1):
        framer.feed(frame[at : at + 1])
        assert framer.next() is None
    framer.feed(frame[-1:])
    assert framer.next() == frame


def test_it_introduces_itself() -> None:
    framer = Framer(MAX)
    framer.feed(SUBMIT[:20])
    assert framer.next() is None
    assert repr(framer) == f"<Framer 20 octets waiting, {len(SUBMIT)} needed>"
