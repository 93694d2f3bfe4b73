from __future__ import annotations

from smppbridge.dispatch.pace import Pace


def test_times_are_given_one_after_the_other() -> None:
    pace = Pace(0)
    assert [pace.slot(5000, 0) for _ in range(3)] == [5001, 5002, 5003]
    assert pace.slot(5000, 100) == 5101
    # Nobody is sent back in front of those.
    assert pace.slot(4000, 0) == 5102


def test_the_pace_is_what_was_done_while_there_was_more_to_do() -> None:
    pace = Pace(0)
    for now in range(100, 1001, 100):
        pace.measure(10, now, more=True)
    assert repr(pace) == "<Pace 100 a second>"
    assert [pace.slot(2000, 0), pace.slot(2000, 0)] == [2010, 2020]
    # A lane with nothing to do is not a slow one.
    pace.measure(1, 60_000, more=False)
    pace.measure(200, 61_000, more=True)
    assert repr(pace) == "<Pace 200 a second>"


def test_none_is_sent_further_than_five_seconds() -> None:
    pace = Pace(0)
    pace.measure(1, 10_000, more=True)
    assert repr(pace) == "<Pace 10 a second>"
    assert pace.slot(20_000, 1000) == 25_000
    # Nor when the clock was put back an hour since.
    assert pace.slot(20_000 - 3_600_000, 0) == 25_000 - 3_600_000
