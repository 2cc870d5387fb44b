"""Small versions of the simulations of `make bench NAME=evidence`: rates that are far off are seen in seconds."""

import pytest

from benchmarks.evidence import gate, intervals


@pytest.mark.parametrize("name", intervals.ESTIMATORS)
def test_intervals_hold_the_truth(name: str) -> None:
    worlds = 120
    assert intervals.covered(intervals.ESTIMATORS[name], worlds) / worlds >= 0.88


def test_the_gate_promotes_hardly_any_equal_model_and_most_better_ones() -> None:
    assert gate.promoted(60, 0.0, 1, others=4) <= 4
    assert gate.promoted(60, 0.0, 3) <= 5
    assert gate.promoted(30, 0.05, 3) >= 21
