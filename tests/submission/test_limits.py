"""Rates, quotas, floods and long messages that count once, each held to a model that is too slow to be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.submission.limits import Flood, Quota, Rates, Sets, lasting

SPAN = 60_000
WIDTH = 1_000
NOW = 1_700_000_000_000

#: Steps of a clock, and how many messages come then.
comings = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 4)), max_size=200)


def passes(quota: Quota, now: int, count: int = 1) -> bool:
    if quota.room(now) < count:
        return False
    quota.count(count)
    return True


# Quotas --------------------------------------------------------------------------------------------------------------


@given(limit=st.integers(1, 20), comings=comings)
def test_a_quota_counts_what_passed_within_the_span(limit: int, comings: list[tuple[int, int]]) -> None:
    quota, passed, now = Quota(SPAN, limit), list[tuple[int, int]](), NOW
    for step, count in comings:
        now += step
        counted = sum(n for at, n in passed if at // WIDTH > now // WIDTH - 61)
        assert quota.room(now) == limit - counted
        if passes(quota, now, count):
            passed.append((now, count))
        assert sum(n for at, n in passed if at > now - SPAN) <= limit


@given(limit=st.integers(1, 20), comings=comings, count=st.integers(1, 25))
def test_it_is_free_when_it_says_so_and_not_a_moment_before(
    limit: int, comings: list[tuple[int, int]], count: int
) -> None:
    quota, now = Quota(SPAN, limit), NOW
    for step, some in comings:
        now += step
        passes(quota, now, some)
    wait = quota.wait(now, count)
    if wait is None:
        assert count > limit
    elif wait:
        assert not passes(quota, now + wait - 1, count)
        assert passes(quota, now + wait, count)
    else:
        assert passes(quota, now, count)


@given(limit=st.integers(1, 10), comings=comings)
def test_what_is_given_back_was_never_counted(limit: int, comings: list[tuple[int, int]]) -> None:
    quota, same, now = Quota(SPAN, limit), Quota(SPAN, limit), NOW
    for number, (step, _) in enumerate(comings):
        now += step
        assert quota.room(now) == same.room(now)
        if number % 2 and passes(quota, now):
            quota.give_back(now)
        elif not number % 2:
            assert passes(quota, now) == passes(same, now)


def test_what_is_given_back_late_leaves_its_own_bucket() -> None:
    quota = Quota(SPAN, 3)
    assert passes(quota, NOW)
    assert passes(quota, NOW + 30_000, 2)
    quota.give_back(NOW)
    assert quota.room(NOW + 61_000) == 1


@given(back=st.integers(0, 10 * SPAN))
def test_a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_span(back: int) -> None:
    quota = Quota(SPAN, 5)
    assert passes(quota, NOW, 5)
    assert not passes(quota, NOW - back)
    wait = quota.wait(NOW - back, 1)
    assert wait is not None
    assert wait <= SPAN + WIDTH
    assert passes(quota, NOW - back + wait, 5)


# Rates ---------------------------------------------------------------------------------------------------------------


def rates(throughput: float = 0, burst: int = 0, **quotas: int) -> Rates:
    made = Rates()
    made.apply(throughput, burst, **quotas)
    return made


def test_nothing_limited_is_false_and_lets_everything_pass() -> None:
    assert not rates()
    assert not rates(per_minute=0, per_day=0)
    assert rates(per_day=1)
    assert rates(throughput=0.1)
    assert rates().take(NOW, 1_000_000) is None


@pytest.mark.parametrize(
    ("limits", "limit", "reason"),
    [
        ({"throughput": 2}, "throughput", "more than 2 messages a second, free again in 0.5 s"),
        ({"throughput": 0.1}, "throughput", "more than 0.1 messages a second, free again in 10 s"),
        ({"per_minute": 3}, "per_minute", "more than 3 messages a minute, free again in 61 s"),
        ({"per_hour": 3}, "per_hour", "more than 3 messages an hour, free again in 61 min"),
        ({"per_day": 3}, "per_day", "more than 3 messages a day, free again in 25 h"),
        ({"per_minute": 3, "per_day": 3, "throughput": 3}, "per_day", "more than 3 messages a day, free again in 25 h"),
        ({"per_minute": 3, "per_day": 4}, "per_minute", "more than 3 messages a minute, free again in 61 s"),
    ],
)
def test_the_limit_that_stands_longest_is_named(limits: dict[str, int], limit: str, reason: str) -> None:
    # The first moment of a day, an hour and a minute, so that every bucket is as long as it can be.
    now, limited = 20_000 * 86_400_000, rates(**limits)
    exceeded = None
    while exceeded is None:
        exceeded = limited.take(now)
    assert exceeded == (limit, reason)


def test_a_clock_that_is_set_back_makes_no_limit_stand_longer_than_it_can() -> None:
    limited = rates(throughput=1, per_minute=1)
    assert limited.take(NOW) is None
    exceeded = limited.take(NOW - 3_600_000)
    assert exceeded is not None
    assert exceeded.limit == "per_minute"


def test_several_in_one_request_that_can_never_pass_are_told_so() -> None:
    exceeded = rates(throughput=2, burst=5, per_minute=100).take(NOW, 6)
    assert exceeded == (
        "throughput",
        "6 messages in one request, never more than 5 may come at once (2 messages a second)",
    )


@given(
    throughput=st.integers(0, 3),
    quotas=st.fixed_dictionaries({"per_minute": st.integers(0, 5), "per_hour": st.integers(0, 10)}),
    comings=comings,
)
def test_a_message_passes_all_of_them_or_is_counted_by_none(
    throughput: int, quotas: dict[str, int], comings: list[tuple[int, int]]
) -> None:
    together, now = rates(throughput, **quotas), NOW
    each = [rates(throughput), *(rates(**{key: limit}) for key, limit in quotas.items())]
    for step, count in comings:
        now += step
        if together.take(now, count) is None:
            # What passed before is all that any of them has counted.
            assert [one.take(now, count) for one in each] == [None] * 3


def test_a_reload_begins_nothing_anew() -> None:
    limited = rates(throughput=1, burst=2, per_minute=4)
    assert [limited.take(NOW) for _ in range(2)] == [None, None]
    limited.apply(1, 2, per_minute=4)
    assert limited.take(NOW) is not None
    limited.apply(0, 0, per_minute=3)
    assert limited.take(NOW) is None
    assert limited.take(NOW) is not None
    limited.apply(0, 0)
    assert limited.take(NOW) is None


# Floods --------------------------------------------------------------------------------------------------------------


@given(
    most=st.integers(1, 4),
    comings=st.lists(st.tuples(st.integers(-2, 12), st.sampled_from("ab"), st.booleans()), max_size=100),
)
def test_a_flood_is_a_row_without_a_pause(most: int, comings: list[tuple[int, str, bool]]) -> None:
    gap, now = 10, NOW
    flood = Flood(most, gap)
    row: dict[str, list[int]] = {"a": [], "b": []}
    for step, subscriber, kept in comings:
        # The model knows no clock that is set back; the next test does.
        now += max(0, step)
        taken = row[subscriber]
        if taken and now - taken[-1] >= gap:
            taken.clear()
        wait = flood.take(subscriber, now)
        assert bool(wait) == (len(taken) >= most)
        if wait:
            assert wait == taken[-1] + gap - now
        elif kept:
            taken.append(now)
        else:
            flood.give_back(subscriber, now)


def test_a_client_that_goes_on_trying_is_free_after_the_gap_also_by_a_clock_set_back() -> None:
    flood = Flood(1, 30_000)
    assert flood.take("a", NOW) == 0
    assert [flood.take("a", NOW + at) for at in (10_000, 20_000, 29_999, 30_000)] == [20_000, 10_000, 1, 0]
    assert flood.take("a", NOW - 3_600_000) == 30_000
    assert flood.take("a", NOW - 3_600_000 + 30_000) == 0


def test_what_is_given_back_did_not_prolong_the_row() -> None:
    flood = Flood(2, 30_000)
    assert [flood.take("a", NOW + at) for at in (0, 20_000)] == [0, 0]
    flood.give_back("a", NOW + 20_000)
    assert [flood.take("a", NOW + at) for at in (30_000, 30_001)] == [0, 0]


def test_the_subscriber_written_to_longest_ago_is_forgotten() -> None:
    flood = Flood(1, 30_000, size=3)
    assert [flood.take(one, NOW + at) for at, one in enumerate("abcd")] == [0, 0, 0, 0]
    assert len(flood) == 3
    assert flood.take("d", NOW + 4)
    assert flood.take("b", NOW + 4)
    assert not flood.take("a", NOW + 4)


def test_memory_shrinks_once_the_gap_is_over() -> None:
    flood = Flood(1_000, 1_000)
    for number in range(1_000):
        flood.take(str(number), NOW)
    for number in range(1_000):
        flood.take("late", NOW + 1_000 + number)
    assert len(flood) == 1


# Long messages that count once ---------------------------------------------------------------------------------------


def weigh(sets: Sets, key: str, number: int, total: int = 3, now: int = 0) -> int:
    weight = sets.weight((key,), number, now)
    sets.saw((key,), number, total, now, 1_000)
    return weight


@given(st.permutations([1, 2, 3]))
def test_the_part_that_is_seen_first_pays_whichever_it_is(order: list[int]) -> None:
    sets = Sets()
    assert [weigh(sets, "a", number) for number in order] == [1, 0, 0]
    # Whole, so it is over: the next one under the same reference pays.
    assert len(sets) == 0
    assert weigh(sets, "a", order[0]) == 1


def test_a_part_again_a_set_too_old_and_a_set_forgotten_pay_again() -> None:
    sets = Sets(size=2)
    assert [weigh(sets, "a", number) for number in (1, 1, 2)] == [1, 1, 0]
    assert weigh(sets, "b", 1) == 1
    assert weigh(sets, "b", 2, now=1_000) == 1
    assert weigh(sets, "c", 1) == 1
    assert weigh(sets, "d", 1) == 1
    assert len(sets) == 2
    assert weigh(sets, "b", 3, now=1_500) == 1


def test_a_set_that_never_became_whole_is_no_part_of_the_next_one() -> None:
    sets = Sets()
    assert [weigh(sets, "a", number) for number in (1, 2)] == [1, 0]
    assert [weigh(sets, "a", number, now=1_000) for number in (3, 1, 2)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("time", "said"),
    [(1, "0.1 s"), (350, "0.4 s"), (9_901, "10 s"), (11_001, "12 s"), (120_001, "3 min"), (7_200_001, "3 h")],
)
def test_a_time_is_never_told_shorter_than_it_is(time: int, said: str) -> None:
    assert lasting(time) == said
