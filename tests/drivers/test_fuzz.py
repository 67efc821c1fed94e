"""A little of what scripts/fuzz does at length, for each driver."""

from itertools import islice

import pytest

import drivers
from drivers.testing.fuzz import fuzz
from scripts.benchmarks.fuzzing import sampled


@pytest.mark.repetitive
@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_damaged_telegrams_raise_nothing_and_good_ones_among_them_are_found(name: str) -> None:
    driver = drivers.find(name)
    assert driver.simulation is not None
    telegrams = [*islice(driver.simulation.telegrams(0), 50)]
    outcome = fuzz(driver.decoder(sampled(name, driver)), telegrams, size=300_000, seed=1)
    assert outcome.fed >= 300_000
    assert outcome.frames
