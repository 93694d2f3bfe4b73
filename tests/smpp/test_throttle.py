"""How many pass, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.smpp.throttle import Throttle


def passing(throttle: Throttle, now: int, tries: int = 1000) -> int:
    return sum(throttle.take(now) for _ in range(tries))


@pytest.mark.parametrize(
    ("rate", "burst", "at_once", "a_second_later"),
    [
        (10, 0, 10, 10),
        (10, 3, 3, 3),
        (10, 50, 50, 10),
        (0.5, 0, 1, 0),
        (2.5, 0, 3, 2),
        (33, 1, 1, 1),
        (3, 0, 3, 3),
        (0, 0, 1000, 1000),
        (0, 5, 1000, 1000),
    ],
)
def test_a_burst_and_then_the_rate(rate: float, burst: int, at_once: int, a_second_later: int) -> None:
    throttle = Throttle(rate, burst)
    assert passing(throttle, 5_000) == at_once
    assert passing(throttle, 6_000) == a_second_later


def test_a_slow_rate_lets_one_through_in_its_time() -> None:
    throttle = Throttle(0.5)
    assert [second for second in range(10) if throttle.take(second * 1000)] == [0, 2, 4, 6, 8]


def test_what_is_refused_costs_nothing() -> None:
    throttle = Throttle(1)
    assert throttle.take(0)
    assert passing(throttle, 500) == 0
    assert throttle.take(1_000)


def test_several_at_once_pass_together_or_not_at_all() -> None:
    throttle = Throttle(10)
    assert throttle.take(0, 8)
    assert not throttle.take(0, 3)
    assert throttle.take(0, 2)


def test_a_clock_that_is_set_back_does_not_stop_anybody_for_long() -> None:
    throttle = Throttle(10)
    passing(throttle, 3_600_000)
    assert passing(throttle, 0) == 0
    assert not throttle.take(99)
    assert throttle.take(101)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    times=st.lists(st.integers(0, 10_000), min_size=1, max_size=300).map(sorted),
)
def test_never_more_than_the_burst_and_the_rate(rate: float, burst: int, times: list[int]) -> None:
    throttle = Throttle(rate, burst)
    passed = [now for now in times if throttle.take(now)]
    for first, begin in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= burst + (end - begin) * rate / 1000 + 1e-3


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    comings=st.lists(st.tuples(st.integers(-500, 2_000), st.integers(1, 60)), min_size=1, max_size=50),
)
def test_the_wait_is_as_long_as_it_says(rate: float, burst: int, comings: list[tuple[int, int]]) -> None:
    throttle, now = Throttle(rate, burst), 1_000_000.0
    for step, count in comings:
        now += step
        if throttle.take(now, count):
            continue
        wait = throttle.wait(now, count)
        if wait is None:
            assert count > burst
        else:
            now += wait
            assert not throttle.take(now - 0.01, count)
            assert throttle.take(now, count)


def test_the_level_says_how_full_it_is_with_one_more() -> None:
    throttle = Throttle(10, 9)
    assert [throttle.level(0) for _ in range(10) if throttle.take(0)] == pytest.approx([n / 10 for n in range(1, 10)])
    assert throttle.level(450) == pytest.approx(0.45)
    assert throttle.level(-3_600_000) == pytest.approx(0.9)
    assert Throttle(0).level(0) == 0
