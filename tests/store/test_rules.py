from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec
import pytest

from smppbridge.model import Sms, Viber
from smppbridge.store import rules

NOW = 1_750_000_000_000


@pytest.mark.parametrize(
    ("first", "later", "gap", "repeated"),
    [
        (60_000, 60_000, 0, True),
        (60_000, 60_000, 59_999, True),
        (60_000, 60_000, 60_000, False),
        # A reload changed the window: the shorter one counts.
        (60_000, 1_000, 999, True),
        (60_000, 1_000, 1_000, False),
        (1_000, 60_000, 1_000, False),
        (0, 60_000, 0, False),
        (60_000, 0, 0, False),
        # The clock went back: still the same message.
        (60_000, 60_000, -5, True),
    ],
)
def test_a_repetition_comes_within_the_window(nouns: Any, first: int, later: int, gap: int, repeated: bool) -> None:
    one = nouns.message("same", duplicate_window=first)
    two = nouns.message("same", duplicate_window=later, accepted_at=NOW + gap)
    assert rules.repeats(one, two) is repeated


def test_identical_messages_have_one_fingerprint(nouns: Any) -> None:
    one, two = nouns.message("same"), nouns.message("same", bind=99, sequence=99)
    assert rules.fingerprint(one) == rules.fingerprint(two)
    assert rules.fingerprint(one) == rules.fingerprint_of(one.account, one.source, one.destination, one.command)
    other = msgspec.structs.replace(two, command=Viber(text="same"))
    assert not rules.repeats(msgspec.structs.replace(one, duplicate_window=1), other)
    assert rules.fingerprint(one) != rules.fingerprint(msgspec.structs.replace(two, command=Sms(text="else")))


@pytest.mark.parametrize(
    ("ref", "id"),
    [
        ("1", 1),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 0),
        ("", 0),
        ("0", 0),
        ("007", 0),
        ("+1", 0),
        ("1 ", 0),
        ("1_0", 0),
        ("٣", 0),
        ("12345678901234567890", 0),
        ("ab12", 0),
    ],
)
def test_only_what_we_wrote_is_read_as_our_id(ref: str, id: int) -> None:
    assert rules.own_id(ref) == id


@pytest.mark.parametrize(
    ("number", "rounds", "joins"),
    [
        (1, {}, 1),
        (2, {1: {1}}, 1),
        (1, {1: {1}}, 2),
        (2, {1: {1}, 2: {1}}, 2),
        (2, {1: {1, 2}, 2: {1, 2}}, 3),
        # The first set was given up; the number of the round does not matter.
        (1, {4: {2}}, 4),
    ],
)
def test_a_part_joins_the_newest_set_that_lacks_it(
    nouns: Any, number: int, rounds: dict[int, Container[int]], joins: int
) -> None:
    assert rules.round_for(nouns.part(number), rounds) == joins


def test_a_resend_differs_in_nothing_but_its_sequence_number(nouns: Any) -> None:
    first, again = nouns.part(1, sequence=1), nouns.part(1, sequence=2)
    other_number, other_text = nouns.part(2), nouns.part(1, pdu=b"something else altogether")
    assert rules.resent(again, [other_number, other_text, first]) is first
    assert rules.resent(again, [other_number, other_text]) is None
