from __future__ import annotations

import pytest

from smppbridge.dispatch.rate import Bucket


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (1, 1), (10, 1), (100, 10), (1000, 100)])
def test_a_tenth_of_a_second_may_go_at_once(rate: float, burst: int) -> None:
    bucket = Bucket(rate, 0)
    assert bucket.available(0) == burst
    assert bucket.available(3_600_000) == burst


@pytest.mark.parametrize("rate", [0.5, 1, 7, 100, 999])
def test_over_time_it_gives_the_rate(rate: float) -> None:
    bucket, now, gone = Bucket(rate, 0), 0, 0
    while now < 20_000:
        can = bucket.available(now)
        if can:
            bucket.take(can)
            gone += can
        wait = bucket.wait()
        assert wait >= 1
        now += wait
        assert bucket.available(now) >= 1
    assert rate * 19 <= gone <= rate * 20 + max(1, rate * 0.1) + 1


def test_a_clock_that_was_put_back_neither_gives_nor_takes() -> None:
    bucket = Bucket(10, 100_000)
    bucket.take(1)
    assert bucket.available(0) == 0
    assert bucket.available(100) == 1
