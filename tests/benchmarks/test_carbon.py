"""The ledger's benchmark: every figure is repeated and says how often; goals take the median or the worst."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import carbon


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, float]]:
    """Results and the goals' values of a part whose jobs are made up: the n-th is n times as long."""
    done: list[str] = []

    def run(tool: str, job: str, folder: Path) -> dict[str, float]:
        done.append(f"{tool} {job}")
        n = done.count(f"{tool} {job}")
        (folder / "ledger").mkdir(parents=True)
        said = {"import_ms": n, "start_ms": n, "work_s": n, "cpu_kwh": n, "kwh": n, "grams": n}
        return said | ({"cpu_s": 0.99 * n} if tool == "greenhouse" else {})

    lost = iter([0.1, 9, 9, 0.2, 9, 9, 0.7, 9, 9, 0.3, 9, 9, 0.4, 9, 9])
    monkeypatch.setattr(carbon, "run", run)
    monkeypatch.setattr(carbon, "cpu_s_lost_on_kill", lambda tool, folder: next(lost))
    monkeypatch.setattr(carbon, "together", lambda folder: run("greenhouse", "together", folder))
    shares = iter([0.97, 0.96, 0.99, 0.98, 0.90])
    monkeypatch.setattr(carbon, "attributed", lambda folder: next(shares))
    over = iter([0.0, 0.1, 0.9, 0.2, 0.3])
    monkeypatch.setattr(carbon, "overshoot", lambda folder: next(over))
    results, goals = carbon.meter_part()
    return results, {row["name"]: row["value"] for row in goals}


def test_every_figure_has_n_median_min_and_max_of_at_least_five(figures: tuple) -> None:
    results, _ = figures
    rows = [figure for tool in results["tools"].values() for figure in tool.values()]
    rows += [results[name] for name in ("attributed_fraction", "reconcile_error_uj", "budget_overshoot_steps")]
    assert len(rows) == 3 * 7 + 1 + 3
    for row in rows:
        assert row["n"] >= 5
        assert row["min"] <= row["median"] <= row["max"]


def test_goals_take_the_median_or_the_worst(figures: tuple) -> None:
    results, values = figures
    assert values["start_ms"] == 3
    assert values["children_error"] == pytest.approx(0.01)
    assert values["intervals_lost_on_kill"] == 0.7
    assert values["budget_overshoot_steps"] == 0.9
    assert values["attributed_fraction"] == 0.97
    assert values["reconcile_error_uj"] == 0
    assert results["reconcile_error_uj"]["n"] == 5 * 4 * 3 + 5


def test_the_file_has_the_goals_that_the_part_writes(figures: tuple) -> None:
    kept = json.loads((carbon.ROOT / "benchmarks" / "results" / "carbon.json").read_bytes())
    assert set(figures[1]) < {row["name"] for row in kept["goals"]}
