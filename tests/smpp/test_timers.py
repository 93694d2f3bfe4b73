"""A timetable: what is due at which second."""

import pytest

from smppbridge.config import SmppConfig
from smppbridge.smpp.timers import NEVER, Due, Limits, Timers

LIMITS = Limits(session_init=30_000, enquire_link_after=45_000, inactivity=120_000, response=60_000)


def test_a_client_that_does_not_bind_is_given_up() -> None:
    timers = Timers(LIMITS, 1_000)
    assert timers.next() == 31_000
    assert timers.due(30_999) is None
    assert timers.due(31_000) is Due.SESSION_INIT


def test_speaking_does_not_lengthen_the_time_to_bind() -> None:
    timers = Timers(LIMITS, 1_000)
    timers.heard = 30_000
    assert timers.due(31_000) is Due.SESSION_INIT


def test_a_silent_client_is_asked_and_then_given_up() -> None:
    timers = Timers(LIMITS, 0)
    timers.bound = True
    timetable = {second: due for second in range(125) if (due := timers.due(second * 1000))}
    assert timetable == {45: Due.ENQUIRE, 90: Due.ENQUIRE} | dict.fromkeys(range(120, 125), Due.INACTIVE)


def test_a_client_that_speaks_is_not_asked() -> None:
    timers = Timers(LIMITS, 0)
    timers.bound = True
    for second in range(0, 1000, 40):
        timers.heard = second * 1000
        assert timers.due(second * 1000 + 39_000) is None
    assert timers.due(1_005_000) is Due.ENQUIRE


def test_next_says_when_something_is_due() -> None:
    timers = Timers(LIMITS, 0)
    timers.bound = True
    seen = []
    while (now := timers.next()) < 200_000:
        assert timers.due(now - 1) is None
        seen.append((now, timers.due(now)))
        if seen[-1][1] is Due.INACTIVE:
            break
    assert seen == [(45_000, Due.ENQUIRE), (90_000, Due.ENQUIRE), (120_000, Due.INACTIVE)]


def test_an_unbind_of_ours_is_waited_for_and_nothing_is_asked_meanwhile() -> None:
    timers = Timers(LIMITS, 0)
    timers.bound = True
    timers.unbind_sent = 40_000
    assert timers.due(99_999) is None
    assert timers.due(100_000) is Due.UNBIND_UNANSWERED


def test_a_client_that_unbinds_waits_for_its_answers_only_so_long() -> None:
    timers = Timers(LIMITS, 0)
    timers.bound = True
    timers.unbind_sent = 10_000
    timers.leaving = 40_000
    assert timers.due(99_999) is None
    assert timers.due(100_000) is Due.ANSWERS_LATE


@pytest.mark.parametrize("bound", [False, True])
def test_zero_switches_off(bound: bool) -> None:
    timers = Timers(Limits(session_init=0, enquire_link_after=0, inactivity=0, response=0), 0)
    timers.bound = bound
    assert timers.next() == NEVER
    assert timers.due(10**12) is None


def test_the_settings_are_seconds() -> None:
    config = SmppConfig(session_init_timeout=0.2, enquire_link_after=1, inactivity_timeout=2.5, response_timeout=3)
    assert Limits.of(config) == Limits(session_init=200, enquire_link_after=1000, inactivity=2500, response=3000)
