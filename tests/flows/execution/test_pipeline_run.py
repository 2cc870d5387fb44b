"""What a run leaves on record when it ends: how far off its forecasts were, and what waiting for its start saved."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.exceptions import TerminationSignal

from components.carbon.ledger.reader import read
from components.core.errors import UserError
from components.core.files import read_json, rounded, write_json
from components.params import Params
from flows.execution import pipeline_run
from flows.planning.stage_forecast import Spent
from flows.system import dvc, paths
from flows.system.command import OUT_OF_MEMORY
from flows.system.run_folder import EventWriter, RunFolder, StageResult
from flows.tracking import mlflow_run


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two stages in a temporary folder."""
    for name in ("STATE", "LEDGER", "RUNS"):  # not ROOT: the runs are experiments
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(dvc, "graph", lambda root: {"mix": [], "evaluate": ["mix"]})
    monkeypatch.setattr(dvc, "stale", lambda root: {"mix": ["never ran"]})
    return tmp_path


def ending() -> dict[str, Any]:
    """What the run left for its record."""
    return RunFolder("calm-otter").ending()


MAKER = """
import subprocess, sys, time
from pathlib import Path
from flows.system.work_folder import sole_writer
if len(sys.argv) == 2:  # as DVC, which records what its stage has made
    subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[1], "stage"])
    time.sleep(0.5)
    Path("recorded").touch()
else:
    with sole_writer(Path("work/mix/same")):
        print("works", flush=True)
        time.sleep(0.5)
"""


def test_what_another_run_makes_is_waited_for_until_its_dvc_has_recorded_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "WORK", checkout / "work")
    lines: list[str] = []
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        command, path = [sys.executable, "-c", MAKER, MAKER], os.pathsep.join(sys.path)
        with subprocess.Popen(
            command, cwd=checkout, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout
            other.stdout.readline()
            monkeypatch.setattr(dvc, "inputs", lambda *_: dvc.Inputs({"dep": "other"}))
            this._wait_for_the_same("mix", lines.append)
            assert not lines  # it makes something else
            monkeypatch.setattr(dvc.Inputs, "fingerprint", "same")
            this._wait_for_the_same("mix", lines.append)
            assert (checkout / "recorded").exists()
    (line,) = lines
    assert line.startswith("another run makes the same (process ")


def test_the_parent_gets_the_error_of_all_that_was_forecast_and_completed(checkout: Path) -> None:
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        this.results["mix"] = StageResult("Completed", "", spent=vars(Spent(120.0, 0.9, 100.0, 1.0)))
        this.results["evaluate"] = StageResult("Completed", "", spent=vars(Spent(0.0, 0.0, 500.0, 9.0)))
        this.results["account"] = StageResult("Failed", "", spent=vars(Spent(10.0, 1.0, 1.0, 1.0)))
    figures = ending()["figures"]
    assert ending()["status"] == "FAILED"
    assert figures["forecast_error_pct/total_seconds"] == pytest.approx(20.0)
    assert figures["forecast_error_pct/total_kwh"] == pytest.approx(-10.0)
    (span,) = read(paths.LEDGER)
    assert span.outcome == "Failed"  # what orchestration used was in vain, too


def test_only_a_run_that_accounted_has_the_summarys_figures_and_each_has_its_own_cost(checkout: Path) -> None:
    """A run that was stopped finds the summary of the run before it."""
    write_json(checkout / "reports" / "summary.json", {"headline": {"ability/recall": 7.0}})
    ends = ({"mix": "Completed"}, False), ({"account": "Failed"}, False), ({"account": "Completed"}, True)
    for outcomes, told in ends:
        with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
            this.results |= {stage: StageResult(name, "") for stage, name in outcomes.items()}
        end = ending()
        assert ("ability/recall" in end["metrics"]) is ("reports/summary.json" in end["files"]) is told
        assert 0 < end["metrics"]["cost/run_kwh"] < 1
        assert end["metrics"] == rounded(end["metrics"])  # as those of the summary beside it are
        assert end["figures"]["run_grams"] > 0


def test_the_span_of_a_stopped_run_ends_as_the_run_does(checkout: Path) -> None:
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        this.stopped = this.results["mix"] = StageResult("BudgetReached", "")
    (span,) = read(paths.LEDGER)
    assert span.outcome == "BudgetReached"
    assert ending()["status"] == "KILLED"


def test_what_a_run_that_ended_early_did_not_make_is_not_in_its_record(checkout: Path) -> None:
    """Its dvc.lock has entries of the run before it: `compare` took their models and scores for this run's."""
    whole = {"schema": "2.0", "stages": {"mix": {"outs": []}, "evaluate": {"outs": []}}}
    write_json(checkout / "dvc.lock", whole)
    for name in ("BudgetReached", "Failed"):
        with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
            this.results["mix"] = StageResult("Completed", "")
            this.results["evaluate"] = StageResult(name, "")
            this.stopped = this.results["evaluate"] if name == "BudgetReached" else None
        (lock,) = RunFolder("calm-otter").kept.rglob("dvc.lock")
        assert yaml.safe_load(lock.read_text()) == whole | {"stages": {"mix": {"outs": []}}}
        assert ending()["tags"]["unmade"] == "evaluate"
    assert read_json(checkout / "dvc.lock") == whole
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), ["mix"]) as this:
        this.results["mix"] = StageResult("Completed", "")
    assert read_json(RunFolder("calm-otter").kept / "dvc.lock") == whole
    assert "unmade" not in ending()["tags"]


def failed(this: pipeline_run.PipelineRun, stage: str) -> str:
    """What a stage says whose `dvc repro` failed."""
    folder = this.folder.stage(stage)
    folder.clear()
    folder.dvc_log.write_text("ERROR: no space\n")
    return this._result(folder, 1, {}).message


def test_a_failed_stage_whose_outputs_dvc_removed_says_how_to_get_them_back(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc, "lock", lambda root: {"mix": {"outs": [{"path": "data/mix"}]}})
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:  # an experiment: nothing was here
        assert "checkout" not in failed(this, "mix")
    monkeypatch.setattr(paths, "ROOT", checkout)
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        messages = {stage: failed(this, stage) for stage in ("mix", "evaluate")}
        (checkout / "data" / "mix").mkdir(parents=True)
        kept = failed(this, "mix")
    assert messages["mix"] == f"{kept} (`dvc checkout` brings back what mix made before, if DVC's cache has it)"
    assert "checkout" not in kept + messages["evaluate"]


def test_a_killed_stage_says_how_to_go_on(checkout: Path) -> None:
    """It began, as its events say, and left no result."""
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        messages = dict[bool, str]()
        for began in (False, True):
            folder = this.folder.stage("mix")
            folder.clear()
            folder.dvc_log.write_text("no module\nERROR: failed to run: exec python -m flows.stage mix, exited with -9")
            if began:
                EventWriter(folder, fingerprint="f", params={}, hashes={})
            messages[began] = this._result(folder, 255, {}).message
    assert messages[True].startswith("mix: its process ended without a result: killed, by somebody or by the system")
    assert messages[True].endswith("run again, it resumes")
    assert messages[False].startswith("mix: dvc repro ended with status 255: failed to run: exec python -m flows.stage")


def test_a_stage_that_a_library_aborted_for_want_of_memory_says_so(checkout: Path) -> None:
    """Polars and C++ end the process, with their own words in DVC's log alone."""
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        folder = this.folder.stage("mix")
        folder.clear()
        folder.dvc_log.write_text("memory allocation of 48000000 bytes failed\nstack backtrace:\nERROR: failed to run")
        EventWriter(folder, fingerprint="f", params={}, hashes={})
        assert this._result(folder, 255, {}).message == f"mix: {OUT_OF_MEMORY}"


def test_what_dvc_did_without_the_stage_is_known_by_its_entry_in_dvc_lock(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, checked = {"mix": {"outs": ["new"]}, "own": {"outs": ["new"]}}, list[str]()
    monkeypatch.setattr(dvc, "lock", lambda root: locked)
    monkeypatch.setattr(dvc, "raise_if_damaged", lambda stages, root: checked.extend(stages))
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        for stage in locked:
            this.folder.stage(stage).clear()
            this.folder.stage(stage).dvc_log.touch()
        ends = [
            this._result(this.folder.stage(stage), 0, before).name
            for stage, before in (("mix", {"outs": ["new"]}), ("mix", {"outs": ["old"]}), ("mix", {}), ("own", {}))
        ]
    assert ends == ["Cached", "Restored", "Restored", "Completed"]
    assert checked == ["mix", "mix", "own"]
    told = this.final_state({"ingest": "Cached", "dedup": "Restored", "filter": "Restored", "mix": "Completed"}).message
    assert told == "1 stage ran, 2 came from DVC's cache", "12 of 12 may run, and none did"


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
    checkout: Path, error: BaseException, status: str, outcome: str
) -> None:
    this = pipeline_run.PipelineRun("calm-otter", checkout, Params(), [])
    this.results["mix"] = StageResult("Completed", "")
    with pytest.raises(type(error)), this:
        raise error
    assert ending()["status"] == status
    (span,) = read(paths.LEDGER)
    assert span.outcome == outcome
    assert this.stopped
    assert this.stopped.name == outcome


def test_an_mlflow_that_fails_does_not_hide_why_the_run_ended(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such server")

    monkeypatch.setattr(mlflow_run, "client", fail)
    this = pipeline_run.PipelineRun("calm-otter", checkout, Params(), [])
    with suppress(KeyboardInterrupt), this:
        this.start_record(lambda run_id: None)
        raise KeyboardInterrupt
    assert "OSError: no such server; it is recorded at the next start" in capsys.readouterr().out
    assert (this.closed.is_set(), ending()["status"], RunFolder("calm-otter").closed) == (True, "KILLED", False)


def test_a_file_in_the_way_of_its_end_does_not_leave_the_run_open(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        this.results["mix"] = StageResult("Completed", "")
        (RunFolder("calm-otter").path / "timings.json").mkdir()
    assert "the end of the run is not kept: [Errno 21] Is a directory" in capsys.readouterr().out
    assert this.closed.is_set()


@pytest.mark.parametrize(("outcome", "refused"), [("Completed", ""), ("Completed", "no name"), ("Failed", "")])
def test_an_experiment_that_cannot_be_saved_has_failed_everywhere(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, refused: str
) -> None:
    """It was red in Prefect, green in MLflow and Completed in its cost; and DVC refused one that had stopped."""
    saved: list[str] = []

    def save(root: Path, name: str) -> None:
        saved.append(name)
        if refused:
            raise UserError(refused)

    monkeypatch.setattr(pipeline_run.experiment, "save", save)
    with pipeline_run.PipelineRun("calm-otter", checkout, Params(), []) as this:
        this.results["mix"] = StageResult(outcome, "")
        this.save()
    assert saved == ["calm-otter"] * (outcome == "Completed")
    (span,) = read(paths.LEDGER)
    assert span.outcome == ("Failed" if refused else outcome)
    assert ending()["status"] == ("FINISHED" if span.outcome == "Completed" else "FAILED")
    assert this.final_state({"mix": outcome}).name == span.outcome
