"""Small versions of the simulations of `make bench NAME=evidence`: rates that are far off are seen in seconds."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.evidence import gate, intervals, rows, simulated
from components.params import load
from flows.system.paths import ROOT


@pytest.mark.parametrize("name", intervals.ESTIMATORS)
def test_intervals_hold_the_truth(name: str) -> None:
    worlds = 120
    assert intervals.covered(intervals.ESTIMATORS[name], worlds) / worlds >= 0.88


def test_hardly_a_table_without_a_gain_has_a_better_row() -> None:
    draw = np.random.default_rng(1)
    assert sum(simulated.rows_table(draw) for _ in range(100)) <= 8


def test_a_training_lies_within_the_prediction_interval_of_others_like_it() -> None:
    draw = np.random.default_rng(1)
    hits = [hit for _ in range(60) for hit in rows.covered(list(draw.normal(size=5)))]
    assert np.mean(hits) >= 0.9
    assert rows.covered([0.0, 0.1, 0.0, 0.1, 9.0])[-1] is False


def test_the_gate_promotes_hardly_any_equal_model_and_most_better_ones() -> None:
    assert gate.promoted(60, 0.0, 1, others=4) <= 4
    assert gate.promoted(60, 0.0, 3) <= 5
    assert gate.promoted(30, 0.05, 3) >= 21


def test_power_is_of_the_shipped_rule_and_a_guard_that_seeds_move_costs_some(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate.PROBES.keys() == load(ROOT / "params.yaml").promote.rules["causal"].guards.keys()
    steady = {name: replace(probe, mean=1.0, seed_sd=0.0) for name, probe in gate.PROBES.items()}
    moved = dict.fromkeys(gate.PROBES, replace(gate.PROBES["chain_of_thought/accuracy/steps"], seed_sd=0.3))
    counts = []
    for probes in (steady, moved):
        monkeypatch.setattr(gate, "PROBES", probes)
        counts.append(gate.promoted(20, 0.05, 3, guarded=True))
    assert counts[0] >= 14
    assert counts[1] <= 4
