"""The run as a table: grams of its stages, and what was known beforehand of what may run."""

from pathlib import Path

import pytest

from components.carbon.planning.forecast import StageForecast
from components.carbon.spans import Bounds
from components.params import Grid, Params, Runtime
from flows.execution import run_view
from flows.execution.pipeline_run import PipelineRun
from flows.system import dvc, paths
from tests.components.finished_project import project


def test_the_table_of_a_run_has_the_grams_of_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LEDGER", project(tmp_path / "greenhouse"))
    run = object.__new__(PipelineRun)  # without DVC's graph
    run.name, run.root = "calm-otter", tmp_path
    run.params = Params(runtime=Runtime(grid=Grid(grams_per_kwh=100.0, pue=2.0)))
    doubled = run_view.grams(run)
    run.params = Params(runtime=Runtime(grid=Grid(grams_per_kwh=100.0, pue=1.0)))
    grams = run_view.grams(run)
    assert grams["dedup"] > 0
    assert doubled["dedup"] == pytest.approx(2 * grams["dedup"])
    run.params = Params(runtime=Runtime(grid=Grid(zone="NOWHERE")))
    assert run_view.grams(run) == {}


def test_the_forecast_says_what_is_known_of_what_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEDGER", "RUNS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(dvc, "graph", lambda root: {"mix": [], "evaluate": ["mix"]})
    monkeypatch.setattr(dvc, "stale", lambda root: {"mix": ["never ran"]})
    this = PipelineRun("calm-otter", tmp_path, Params(), [])
    rows, told = run_view.forecast(this)
    assert told == "2 of 2 stages may run, no run here to go by"
    assert [(row["stage"], row["seconds"], row["by"]) for row in rows] == [
        ("mix", "", "no run here to go by"), ("evaluate", "", "no run here to go by"),
    ]  # fmt: skip
    known = StageForecast("mix", Bounds(20.0, 30.0, 40.0), Bounds(0.001, 0.002, 0.003), "3 runs")
    monkeypatch.setattr(run_view, "expected", lambda books, stage, *_: known if stage == "mix" else None)
    rows, told = run_view.forecast(this)
    expected = "2 of 2 stages may run, 1 of them that ran or were calibrated here about 30 s (20 to 40) and 2 Wh "
    assert told.startswith(expected)
    monkeypatch.setattr(dvc, "graph", lambda root: {"mix": [], "finetune@classify": ["mix"]})
    _, told = run_view.forecast(PipelineRun("calm-otter", tmp_path, Params(), []))  # the time of its folds was not said
    assert told.endswith("; finetune@classify trains 1 to 5 more networks, until it is clear whether TF-IDF is better")
    assert rows[0] == {"stage": "mix", "seconds": "30", "Wh": "2", "by": "3 runs"}
