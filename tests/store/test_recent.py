from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from smppbridge.store.recent import Recent

NOW = 1_750_000_000_000


def fresh(now: int = NOW) -> Recent:
    recent = Recent()
    recent.tick(now)
    return recent


def test_the_first_is_remembered_and_the_second_meets_it() -> None:
    recent = fresh()
    assert list(recent.meet(42, 1, 60_000)) == []
    assert list(recent.meet(42, 2, 60_000)) == [1]
    assert len(recent) == 1


def test_two_messages_with_one_fingerprint_are_both_met_oldest_first() -> None:
    recent = fresh()
    recent.add(42, 1, 60_000)
    recent.add(42, 2, 60_000)
    assert list(recent.meet(42, 3, 60_000)) == [1, 2]


def test_a_message_with_another_window_is_met_too() -> None:
    recent = fresh()
    recent.meet(42, 1, 60_000)
    assert list(recent.meet(42, 2, 1_000)) == [1]


def test_octets_that_only_look_like_a_fingerprint_are_not_one() -> None:
    recent = fresh()
    looks = 5 << 15  # stands where the entry of another fingerprint in the same bucket holds its id
    recent.add(7 << 15, looks, 60_000)
    assert list(recent.meet(looks, 9, 60_000)) == []
    assert list(recent.meet(looks, 10, 60_000)) == [9]


def test_a_bucket_forgets_what_is_over_as_new_ones_come() -> None:
    recent = fresh()
    for n in range(10):
        recent.meet(n << 15, n, 60_000)
    recent.tick(NOW + 30_000)
    recent.meet(99 << 15, 99, 60_000)
    recent.tick(NOW + 62_000)
    recent.meet(100 << 15, 100, 60_000)
    assert len(recent) == 2


def test_everything_goes_when_all_is_over() -> None:
    recent = fresh()
    recent.meet(1, 1, 60_000)
    recent.meet(2, 2, 3_600_000)
    recent.tick(NOW + 62_000)
    assert len(recent) == 1
    recent.tick(NOW + 3_700_000)
    assert len(recent) == 0


@given(
    entries=st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**63 - 1), st.sampled_from([1, 1000, 60_000]))
    )
)
def test_everything_within_its_window_is_met(entries: list[tuple[int, int, int]]) -> None:
    recent = fresh()
    for fingerprint, id, window in entries:
        recent.add(fingerprint, id, window)
    for fingerprint, id, window in entries:
        assert id in recent.meet(fingerprint, -1, window)
    assert len(recent) == len(entries)


class AgainstADict(RuleBasedStateMachine):
    """Whatever comes and however time goes on: all that is within its window is met, and nothing else's id."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.recent = fresh()
        self.id = 0
        self.model: dict[int, list[tuple[int, int]]] = {}

    # Few fingerprints, most of them in one bucket.
    @rule(fingerprint=st.sampled_from([1, 2, 1 << 15, 1 + (1 << 15), -1]), window=st.sampled_from([500, 60_000]))
    def meet(self, fingerprint: int, window: int) -> None:
        self.id += 1
        known = self.model.setdefault(fingerprint, [])
        met = self.recent.meet(fingerprint, self.id, window)
        assert {id for id, until in known if until > self.now} <= set(met)
        assert set(met) <= {id for id, _ in known}
        if not met:
            known.append((self.id, self.now + window))

    @rule(step=st.integers(0, 90_000))
    def wait(self, step: int) -> None:
        self.now += step
        self.recent.tick(self.now)


TestAgainstADict = AgainstADict.TestCase
