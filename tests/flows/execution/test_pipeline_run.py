"""What a run leaves on record when it ends: how far off its forecasts were, and what waiting for its start saved."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.exceptions import TerminationSignal

from components.carbon.ledger.reader import read
from components.carbon.planning.forecast import StageForecast
from components.carbon.spans import Bounds
from components.core.files import read_json, rounded, write_json
from components.core.report import Report
from components.params import Mix, Params
from flows.execution import pipeline_run, stage_run
from flows.execution.result import StageResult
from flows.execution.stage import Stage
from flows.planning.stage_forecast import Spent
from flows.system import dvc, paths
from flows.tracking import mlflow_run


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A checkout with two stages in a temporary folder; what MLflow's parent run was ended with."""
    found: dict[str, Any] = {}

    def close(
        mlflow: object, name: str, status: str, metrics: dict[str, float], params: dict, tags: dict, files: list[Path],
        figures: dict[str, float], text: str,
    ) -> None:  # fmt: skip
        found.update(name=name, status=status, metrics=metrics, figures=figures, files=[file.name for file in files])
        found.update(tags=tags, lock=files[2])

    for name in ("STATE", "LEDGER", "LOGS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(dvc, "graph", lambda root: {"mix": [], "evaluate": ["mix"]})
    monkeypatch.setattr(dvc, "stale", lambda root: {"mix": ["never ran"]})
    monkeypatch.setattr(mlflow_run, "client", lambda: None)
    monkeypatch.setattr(mlflow_run, "close_parent", close)
    write_json(paths.STATE / "parents" / "calm-otter.json", {"mlflow": "m"})
    return found


def test_the_parent_gets_the_error_of_all_that_was_forecast_and_completed(
    closed: dict[str, Any], tmp_path: Path
) -> None:
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
        this.results["mix"] = StageResult("Completed", "", spent=vars(Spent(120.0, 0.9, 100.0, 1.0)))
        this.results["evaluate"] = StageResult("Completed", "", spent=vars(Spent(0.0, 0.0, 500.0, 9.0)))
        this.results["account"] = StageResult("Failed", "", spent=vars(Spent(10.0, 1.0, 1.0, 1.0)))
    figures = closed["figures"]
    assert (closed["name"], closed["status"]) == ("calm-otter", "FAILED")
    assert figures["forecast_error_pct/total_seconds"] == pytest.approx(20.0)
    assert figures["forecast_error_pct/total_kwh"] == pytest.approx(-10.0)
    (span,) = read(paths.LEDGER)
    assert span.outcome == "Failed"  # what orchestration used was in vain, too


def test_only_a_run_that_accounted_has_the_summarys_figures_and_each_has_its_own_cost(
    closed: dict[str, Any], tmp_path: Path
) -> None:
    """A run that was stopped finds the summary of the run before it."""
    write_json(tmp_path / "reports" / "summary.json", {"headline": {"ability/recall": 7.0}})
    for outcomes, told in (
        ({"mix": "Completed"}, False),
        ({"account": "Failed"}, False),
        ({"account": "Completed"}, True),
    ):
        with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
            this.results |= {stage: StageResult(name, "") for stage, name in outcomes.items()}
        assert ("ability/recall" in closed["metrics"]) is ("report.html" in closed["files"]) is told
        assert 0 < closed["metrics"]["cost/run_kwh"] < 1
        assert closed["metrics"] == rounded(closed["metrics"])  # as those of the summary beside it are
        assert closed["figures"]["run_grams"] > 0


def test_the_span_of_a_stopped_run_ends_as_the_run_does(closed: dict[str, Any], tmp_path: Path) -> None:
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
        this.stopped = this.results["mix"] = StageResult("BudgetReached", "")
    (span,) = read(paths.LEDGER)
    assert span.outcome == "BudgetReached"
    assert closed["status"] == "KILLED"


def test_what_a_run_that_ended_early_did_not_make_is_not_in_its_record(closed: dict[str, Any], tmp_path: Path) -> None:
    """Its dvc.lock has entries of the run before it: `compare` took their models and scores for this run's."""
    whole = {"schema": "2.0", "stages": {"mix": {"outs": []}, "evaluate": {"outs": []}}}
    write_json(tmp_path / "dvc.lock", whole)
    for name in ("BudgetReached", "Failed"):
        with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
            this.results["mix"] = StageResult("Completed", "")
            this.results["evaluate"] = StageResult(name, "")
            this.stopped = this.results["evaluate"] if name == "BudgetReached" else None
        assert yaml.safe_load(closed["lock"].read_text()) == whole | {"stages": {"mix": {"outs": []}}}
        assert closed["tags"]["unmade"] == "evaluate"
    assert read_json(tmp_path / "dvc.lock") == whole
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), ["mix"]) as this:
        this.results["mix"] = StageResult("Completed", "")
    assert (closed["lock"], "unmade" in closed["tags"]) == (tmp_path / "dvc.lock", False)


def test_a_failed_stage_whose_outputs_dvc_removed_says_how_to_get_them_back(
    closed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "lock", lambda root: {"mix": {"outs": [{"path": "data/mix"}]}})
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:  # an experiment: nothing was here
        assert "checkout" not in this._result("mix", 1, ["ERROR: no space"]).message
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
        messages = {stage: this._result(stage, 1, ["ERROR: no space"]).message for stage in ("mix", "evaluate")}
        (tmp_path / "data" / "mix").mkdir(parents=True)
        kept = this._result("mix", 1, ["ERROR: no space"]).message
    assert messages["mix"] == f"{kept} (`dvc checkout` brings back what mix made before, if DVC's cache has it)"
    assert "checkout" not in kept + messages["evaluate"]


def test_a_killed_stage_says_how_to_go_on(closed: dict[str, Any], tmp_path: Path) -> None:
    said = "ERROR: failed to reproduce 'mix': failed to run: exec python -m flows.stage mix, exited with -9"
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
        message = this._result("mix", 255, [said]).message
    assert message.startswith("mix: its process was killed, by somebody or by the system for want of memory; run again")


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (KeyboardInterrupt(), "KILLED", "Cancelled"),
        (SystemExit(143), "KILLED", "Cancelled"),
        (TerminationSignal(15), "KILLED", "Cancelled"),
        (RuntimeError("a mistake"), "FAILED", "Failed"),
    ],
)
def test_a_run_that_did_not_come_to_its_end_is_not_finished(
    closed: dict[str, Any], tmp_path: Path, error: BaseException, status: str, outcome: str
) -> None:
    this = pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), [])
    this.results["mix"] = StageResult("Completed", "")
    with pytest.raises(type(error)), this:
        raise error
    assert closed["status"] == status
    (span,) = read(paths.LEDGER)
    assert span.outcome == outcome
    assert this.stopped
    assert this.stopped.name == outcome


def test_an_mlflow_that_fails_does_not_hide_why_the_run_ended(
    closed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such server")

    monkeypatch.setattr(mlflow_run, "close_parent", fail)
    with pytest.raises(KeyboardInterrupt), pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []):
        raise KeyboardInterrupt
    assert "MLflow: OSError: no such server; the run is closed at the next start" in capsys.readouterr().out


def test_a_file_in_the_place_of_the_logs_does_not_leave_the_run_open(
    closed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in-the-way").write_text("")
    monkeypatch.setattr(paths, "LOGS", tmp_path / "in-the-way")
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []) as this:
        this.results["mix"] = StageResult("Completed", "")
    assert "the times of the stages are not kept: [Errno 20] Not a directory" in capsys.readouterr().out
    assert closed["status"]
    assert this.closed.is_set()


def test_a_run_that_did_not_wait_says_nothing_of_waiting(closed: dict[str, Any], tmp_path: Path) -> None:
    with pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), []):
        pass
    assert closed["status"] == "FINISHED"
    assert not [name for name in closed["figures"] if name.startswith(("delayed_start", "forecast_error"))]
    (span,) = read(paths.LEDGER)
    assert not [name for name in span.labels if name.startswith("delayed_start")]


def test_the_forecast_says_what_is_known_of_what_may_run(
    closed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    this = pipeline_run.PipelineRun("calm-otter", tmp_path, Params(), [])
    rows, told = this.forecast()
    assert told == "2 of 2 stages may run, none ever completed here"
    assert [(row["stage"], row["seconds"], row["by"]) for row in rows] == [
        ("mix", "", "no run here to go by"), ("evaluate", "", "no run here to go by"),
    ]  # fmt: skip
    known = StageForecast("mix", Bounds(20.0, 30.0, 40.0), Bounds(0.001, 0.002, 0.003), "3 runs")
    monkeypatch.setattr(pipeline_run, "expected", lambda books, stage, *_: known if stage == "mix" else None)
    rows, told = this.forecast()
    assert told == "2 of 2 stages may run, about 30 s and 2 Wh for the 1 that ran or were calibrated here"
    assert rows[0] == {"stage": "mix", "seconds": "30", "Wh": "2", "by": "3 runs"}


class Recorded:
    """A tracker that does at once what a real one queues, and the client it does it to."""

    run_id = "m"

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = {}
        self.status = ""

    def submit(self, work: Any) -> None:
        work(self)

    def close(self, status: str) -> None:
        self.status = status

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self.metrics |= {one.key: one.value for one in metrics}

    def log_inputs(self, *_: object) -> None:
        pass

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.tags[key] = value


def finished(outcome: StageResult, report: Report | None, root: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.setattr(paths, "ROOT", root)
    tracker = Recorded()
    inputs = SimpleNamespace(params={}, hashes={}, fingerprint="f")
    stage_run._finish_record(Stage("mix", Mix, lambda *_: Report()), "", Params(), inputs, tracker, outcome, report)  # type: ignore[arg-type]
    return tracker


def test_a_stage_logs_its_forecasts_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = vars(Spent(50.0, 2.0, 100.0, 1.0))
    done = StageResult("Completed", "mix: done", function_s=100.0, kwh=(0.5, 1.0, 2.0), spent=spent)
    tracker = finished(done, Report({"documents": 7}), tmp_path, monkeypatch)
    assert tracker.status == "FINISHED"
    assert tracker.metrics == {
        "documents": 7, "seconds/function": 100.0, "energy/kwh": 1.0, "energy/kwh_low": 0.5, "energy/kwh_high": 2.0,
        "forecast_error_pct/seconds": pytest.approx(-50.0), "forecast_error_pct/kwh": pytest.approx(100.0),
    }  # fmt: skip


def test_what_was_not_forecast_or_did_not_complete_has_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {"seconds/function", "energy/kwh", "energy/kwh_low", "energy/kwh_high"}
    first = StageResult("Completed", "mix: done", spent=vars(Spent(0.0, 0.0, 100.0, 1.0)))
    assert set(finished(first, Report(), tmp_path, monkeypatch).metrics) == used
    stopped = StageResult("BudgetReached", "1 g is spent", spent=vars(Spent(50.0, 2.0, 10.0, 0.1)))
    tracker = finished(stopped, None, tmp_path, monkeypatch)
    assert (set(tracker.metrics), tracker.status) == (used, "KILLED")
    assert tracker.tags == {"error": "1 g is spent", "outcome": "BudgetReached"}
