from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from smppbridge.dispatch.retry import Schedule, delay
from smppbridge.model import Message


class Dice(Random):
    """Always throws the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


HIGH, LOW = Dice(1.0), Dice(0.0)
SCHEDULE = Schedule(retry_first=5, retry_max=600, poll_first=10, poll_max=900, grace=3_600_000)


@pytest.mark.parametrize(
    ("times", "longest"),
    [(0, 5), (1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (9, 600), (10_000, 600)],
)
def test_waits_double_up_to_the_maximum(times: int, longest: float) -> None:
    assert delay(times, 5, 600, HIGH) == longest
    assert delay(times, 5, 600, LOW) == longest / 2


def test_a_first_wait_beyond_the_maximum_is_the_maximum() -> None:
    assert delay(1, 60, 10, HIGH) == 10


def test_what_the_provider_asked_for_is_honoured() -> None:
    assert SCHEDULE.next_try(1, 1000, HIGH) == 6000
    assert SCHEDULE.next_try(1, 1000, HIGH, retry_after=30) == 31_000
    assert SCHEDULE.next_try(1, 1000, HIGH, retry_after=2) == 6000


def test_the_last_look_is_when_the_grace_is_over(message: Callable[..., Message]) -> None:
    one = message(expires=10_000)
    assert SCHEDULE.end(one) == 3_610_000
    assert SCHEDULE.next_look(one, 0, 1000, HIGH) == 11_000
    assert SCHEDULE.next_look(one, 3, 1000, HIGH) == 81_000
    assert SCHEDULE.next_look(one, 9, 3_600_000, HIGH) == 3_610_000
