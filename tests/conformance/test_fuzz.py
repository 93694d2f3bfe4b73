"""A small run of `python -m bench.fuzz`, which sends a million."""

import asyncio

import pytest

from bench.fuzz import storm


@pytest.mark.journey
@pytest.mark.parametrize("seed", [1, 20261122])
def test_broken_pdus_meet_no_exception_that_nobody_expected(seed: int) -> None:
    found = asyncio.run(storm(8_000, seed))
    assert found["mistakes"] == []
    assert found["serves"]
    # It is no test of the doorkeeper alone: some get through.
    assert found["accepted"] > 50
