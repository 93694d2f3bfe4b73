from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.ids import EPOCH, IdGenerator, accepted_at, wall_clock

NOW = 1_750_000_000_000


def test_an_id_is_decimal_and_carries_time_and_node() -> None:
    id = IdGenerator(node=7).next(NOW)
    assert re.fullmatch(r"\d+", str(id))
    assert accepted_at(id) == NOW
    assert id & 0xFF == 7


def test_the_highest_id_fits_into_sixty_three_bits() -> None:
    in_2088 = EPOCH + 2**41 - 1
    assert IdGenerator(node=255).next(in_2088) < 2**63


def test_without_a_time_the_clock_is_asked() -> None:
    assert accepted_at(IdGenerator(clock=lambda: NOW).next()) == NOW


def test_the_wall_clock_counts_milliseconds() -> None:
    assert NOW < wall_clock() < NOW * 2


def test_a_full_millisecond_runs_ahead_of_the_clock() -> None:
    ids = IdGenerator()
    given = [ids.next(NOW) for _ in range(16_385)]
    assert accepted_at(given[-2]) == NOW
    assert accepted_at(given[-1]) == NOW + 1


@pytest.mark.parametrize("node", [-1, 256])
def test_a_node_outside_eight_bits_is_refused(node: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        IdGenerator(node=node)


@given(
    clock=st.lists(st.integers(0, EPOCH + 2**40), min_size=1, max_size=50),
    node=st.integers(0, 255),
    last=st.integers(0, 2**62),
)
def test_ids_grow_whatever_the_clock_does_and_whoever_gave_the_last(clock: list[int], node: int, last: int) -> None:
    ids = IdGenerator(node, last)
    given = [last, *(ids.next(now) for now in clock)]
    assert all(one < next_one for one, next_one in pairwise(given))
    assert {id & 0xFF for id in given[1:]} == {node}
