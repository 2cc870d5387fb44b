"""What MLflow is sent of a stage: its files, and time and energy whichever way it ended."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from components.core.files import read_json
from components.core.report import Report
from components.params import Grid, Params, Runtime
from flows.execution.pipeline_run import PipelineRun
from flows.execution.result import StageResult
from flows.execution.stage_run import figures
from flows.execution.stages import STAGES
from flows.system import paths
from flows.system.processes import process_tag
from flows.tracking.mlflow_run import dotted, experiment_id, log_files
from tests.components.finished_project import project

SPENT = {"forecast_s": 8.0, "forecast_kwh": 0.002, "seconds": 10.0, "kwh": 0.002}


def test_a_stage_that_failed_or_stopped_has_its_energy_too() -> None:
    used = {"seconds/function": 10.0, "energy/kwh": 0.002, "energy/kwh_low": 0.001, "energy/kwh_high": 0.004}
    for name in ("Failed", "BudgetReached", "Cancelled"):
        outcome = StageResult(name, "it ended", function_s=10.0, spent=SPENT, kwh=(0.001, 0.002, 0.004))
        assert figures(outcome, None) == used
    outcome = StageResult("Completed", "done", function_s=10.0, spent=SPENT, kwh=(0.001, 0.002, 0.004))
    errors = {"forecast_error_pct/seconds": pytest.approx(-20.0), "forecast_error_pct/kwh": 0.0}
    assert figures(outcome, Report({"loss": 2.0})) == {"loss": 2.0} | used | errors


def test_mlflow_takes_the_name_of_every_parameter() -> None:
    """A guard names a condition, `shots=8`, and MLflow has rules for names."""
    from mlflow.utils.validation import _validate_param

    rows = dotted(Params().model_dump(mode="json") | {"mix": {"weights": {"ünïcode & more": 1}}})
    for name, value in rows.items():
        _validate_param(name, value[:100])
    assert rows["promote.rules.causal.guards.few_shot/accuracy/shots_8"] == "0.1"


@pytest.mark.usefixtures("mlflow_tables")
def test_the_account_is_kept_with_its_run(tmp_path: Path) -> None:
    root = tmp_path / "greenhouse"
    from components.stages.account.stage import account as write_books

    write_books(root=root, ledger_folder=project(root), params=Params())
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    log_files(client, run, root / "reports/account", [root / path for path in STAGES["account"].artifacts])
    kept = tmp_path / "artifacts" / run / "artifacts"
    assert (kept / "report.html").read_bytes() == (root / "reports/report.html").read_bytes()
    assert read_json(kept / "summary.json")["headline"]
    assert len(list((kept / "cards").glob("*/README.md"))) == 4
    assert (kept / "plots" / "energy.png").exists()
    assert not (kept / "plots" / "forecast.png").exists()  # nothing was forecast


def test_the_table_of_a_run_has_the_grams_of_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LEDGER", project(tmp_path / "greenhouse"))
    run = object.__new__(PipelineRun)  # without DVC's graph
    run.name, run.root = "calm-otter", tmp_path
    run.params = Params(runtime=Runtime(grid=Grid(grams_per_kwh=100.0, pue=2.0)))
    doubled = run.grams()
    run.params = Params(runtime=Runtime(grid=Grid(grams_per_kwh=100.0, pue=1.0)))
    grams = run.grams()
    assert grams["dedup"] > 0
    assert doubled["dedup"] == pytest.approx(2 * grams["dedup"])
    run.params = Params(runtime=Runtime(grid=Grid(zone="NOWHERE")))
    assert run.grams() == {}


@pytest.mark.usefixtures("mlflow_tables")
def test_a_parent_run_begins_with_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "greenhouse"
    from components.stages.account.stage import account as write_books
    from flows.execution.result import headline, kept_files, summary_text
    from flows.tracking import mlflow_run, snapshots

    write_books(root=root, ledger_folder=project(root), params=Params())
    outs = [{"path": "data/mix", "md5": "0123456789abcdef0123456789abcdef.dir"}]
    (root / "dvc.lock").write_text(json.dumps({"stages": {"mix": {"outs": outs}}}))
    monkeypatch.setattr(mlflow_run, "STATE", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client, runs = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), []
    for name, steps, seed in (("calm-otter", 100, 1), ("keen-wren", 60, 1), ("seeds-2", 90, 2), ("wry-newt", 80, 1)):
        tags = {"kind": "pipeline", "git.commit": "abc+changes"}
        runs.append(mlflow_run.parent_run(client, name, process_tag(), tags))
        params, files = {"finetune": {"instruct": {"steps": steps}, "seed": seed}}, kept_files(root, accounted=True)
        figures = {"orchestration_seconds": 1.0}
        mlflow_run.close_parent(
            client, name, "FINISHED", headline(root), params, {}, files, figures, summary_text(root)
        )
    first, second, _, last = (client.get_run(run) for run in runs)
    assert first.info.run_name == "calm-otter"
    assert second.info.run_name == "finetune.instruct.steps 100 -> 60 (keen-wren)"
    assert last.info.run_name == "finetune.instruct.steps 60 -> 80 (wry-newt)", (
        "not against the seeds of the run before"
    )
    note = second.data.tags["mlflow.note.content"]
    assert note.startswith("finetune.instruct.steps 100 -> 60\n\n(against calm-otter)\n\n```\ntrained on")
    assert second.data.tags["mlflow.source.git.commit"] == "abc"
    assert second.inputs
    assert [data.dataset.name for data in second.inputs.dataset_inputs] == ["data/mix"]
    names = sorted(second.data.metrics)
    assert len(names) <= 12
    assert names[0].startswith("ability/")
    assert {"figures.json", "report.html", "cards"} <= {file.path for file in client.list_artifacts(runs[1])}
    monkeypatch.setattr(snapshots, "client", lambda: client)
    assert snapshots.find("keen-wren").outputs() == {"data/mix": outs[0]["md5"]}


RACE = """
import sys, threading
import flows
from flows.tracking import mlflow_run, model_origin

sys.setswitchinterval(1e-5)
errors = []


def attempt(function):
    try:
        function()
    except Exception as error:
        errors.append(error)


functions = [mlflow_run.client, lambda: model_origin.registered_alias("m", "champion"), mlflow_run.client]
threads = [threading.Thread(target=attempt, args=(function,)) for function in functions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not errors, errors
"""


@pytest.mark.usefixtures("mlflow_tables")
def test_threads_that_need_mlflow_at_once_import_it_one_after_the_other(tmp_path: Path) -> None:
    """A stage's tracker and the stage itself did, and the import ended in a deadlock."""
    address = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    subprocess.run([sys.executable, "-c", RACE], check=True, cwd=paths.ROOT, env=os.environ | address, timeout=300)


def test_a_moved_or_copied_checkout_keeps_its_artifacts_with_it(
    tmp_path: Path, mlflow_pattern: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow notes absolute addresses; what it noted, and what comes, follow the checkout."""
    for name in ("here", "there"):
        state = tmp_path / name
        if name == "there":
            shutil.copytree(tmp_path / "here", state)
        else:
            state.mkdir()
            shutil.copy(mlflow_pattern, state)
        monkeypatch.setattr("flows.tracking.mlflow_run.STATE", state)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{state}/mlflow.db")
        client = mlflow.MlflowClient(f"sqlite:///{state}/mlflow.db")
        run = client.create_run(experiment_id(client))
        client.log_text(run.info.run_id, name, "note.txt")
        assert (state / "mlartifacts" / run.info.run_id / "artifacts" / "note.txt").read_text() == name
    runs = client.search_runs([experiment_id(client)])
    assert len(runs) == 2
    assert all(one.info.artifact_uri.startswith((tmp_path / "there").as_uri()) for one in runs)
    assert len(list((tmp_path / "here/mlartifacts").iterdir())) == 1
