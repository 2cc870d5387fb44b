"""How the training benchmark reads its runs: time to a loss, steps for a time limit, what counts as a goal met."""

import math

import pytest

from benchmarks import train, train_corpus, train_runs
from benchmarks.texts import plays


def runs(*points: tuple[float, float], speed: float = 1000.0) -> train.Runs:
    """Runs of (seconds, bits per byte)."""
    rest = {"tokens_per_s": speed, "tokens": 1, "peak_mb": 1.0, "compile_s": 0.0}
    return {f"{seconds:g} s": [{"seconds": seconds, "bits_per_byte": loss} | rest] for seconds, loss in points}


def test_time_to_a_loss_lies_between_the_runs_around_it() -> None:
    ours = runs((15, 2.6), (30, 2.4), (150, 2.0))
    assert train.time_to(2.4, ours) == pytest.approx(30)
    assert train.time_to(2.5, ours) == pytest.approx(math.sqrt(15 * 30))
    assert train.time_to(2.7, ours) == 15  # a bound: nothing shorter was run
    assert train.time_to(1.9, ours) == math.inf


def test_goals_compare_with_the_better_peer() -> None:
    found = {
        "ours": runs((15, 2.6), (30, 2.4), (150, 2.0), speed=1300),
        "nanochat": runs((150, 2.5), speed=900),
        "litgpt": runs((150, 2.4), speed=1000),
    }
    rows = train.goals(found, "150 s")
    value = {row["name"]: row["value"] for row in rows}
    assert value["tokens_per_s_vs_best_peer"] == pytest.approx(1.3)
    assert value["time_to_best_peer_loss"] == pytest.approx(5)


def test_a_compile_comes_off_the_time_limit() -> None:
    assert train_runs.steps_for(60, {"compile_s": 20, "step_s": 0.4}) == 100


def test_held_out_works_are_held_out_in_both_editions() -> None:
    names = plays()
    held = [name for name in names if name.startswith(train_corpus.HELD_OUT)]
    assert len(held) == 8
    for work in ("macbeth", "richard_iii", "henry_v"):
        assert {f"{work}_gut.txt", f"{work}_gut_f.txt"} <= set(held)
    assert not [name for name in names if name not in held and ("macbeth" in name or "twelf" in name)]
    assert {"henry_vi_part_1_gut.txt", "richard_ii_gut.txt"} <= set(names) - set(held)
