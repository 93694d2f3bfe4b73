from __future__ import annotations

from smppbridge.dispatch.health import Breaker, Health, Hold

PAUSE = 30_000


def opened() -> Breaker:
    breaker = Breaker(3, PAUSE)
    assert [breaker.failed(1000) for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert breaker.health(1000) is Health.OPEN
    assert breaker.reopens(1000) == 31_000
    assert not breaker.allows(30_999)


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(3, PAUSE)
    for _ in range(10):
        assert not breaker.failed(1000)
        assert not breaker.failed(1000)
        breaker.succeeded()
    assert breaker.health(1000) is Health.CLOSED


def test_after_the_pause_one_probe_goes_at_a_time() -> None:
    breaker = opened()
    assert breaker.health(31_000) is Health.HALF_OPEN
    assert breaker.allows(31_000)
    breaker.probe()
    assert not breaker.allows(31_001)
    breaker.succeeded()
    assert breaker.health(31_002) is Health.CLOSED
    assert breaker.allows(31_002)


def test_a_probe_that_fails_opens_it_for_another_pause() -> None:
    breaker = opened()
    breaker.probe()
    assert breaker.failed(31_500)
    assert breaker.health(61_499) is Health.OPEN
    assert breaker.allows(61_500)


def test_a_probe_that_tells_nothing_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.probe()
    breaker.forget_probe()
    assert breaker.allows(31_000)


def test_what_was_under_way_when_it_opened_does_not_prolong_the_pause() -> None:
    breaker = opened()
    assert not breaker.failed(20_000)
    assert breaker.reopens(20_000) == 31_000


def test_it_can_be_opened_at_once() -> None:
    breaker = Breaker(100, PAUSE)
    assert breaker.trip(1000)
    assert not breaker.trip(1001)
    assert breaker.health(30_999) is Health.OPEN
    breaker.probe()
    assert breaker.trip(31_000)


def test_a_clock_that_was_put_back_keeps_it_open_for_one_pause_at_most() -> None:
    breaker = Breaker(1, PAUSE)
    breaker.failed(10_000_000)
    assert breaker.reopens(5000) == 5000 + PAUSE
    assert breaker.health(5000) is Health.OPEN
    assert breaker.health(5000 + PAUSE) is Health.HALF_OPEN


def test_a_probe_that_fails_after_the_clock_was_put_back_is_followed_by_another() -> None:
    for fails in (Breaker.failed, Breaker.trip):
        breaker = opened()
        breaker.probe()
        assert breaker.health(5000) is Health.OPEN
        assert fails(breaker, 6000)
        assert breaker.reopens(6000) == 6000 + PAUSE
        assert breaker.allows(6000 + PAUSE)


def test_a_provider_that_asks_for_patience_has_it_and_no_longer_when_the_clock_is_put_back() -> None:
    hold = Hold()
    assert hold.until(1000) <= 1000
    hold.ask(20_000, 1000)
    assert hold.until(20_999) == 21_000
    assert hold.until(-3_600_000) == -3_580_000
    # Put right again, it is over.
    assert hold.until(1000) <= 1000
