"""What MLflow is sent of a stage and of a run: files, parameters, what changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from components.core.files import read_json
from components.params import Params
from flows.execution.stages import STAGES
from flows.system import paths
from flows.system.run_folder import RunFolder
from flows.tracking.mlflow_run import dotted, energy, log_files, shown_name
from tests.components.finished_project import project


def test_mlflow_takes_the_name_of_every_parameter() -> None:
    """A guard may name a condition, `shots=8`, and MLflow has rules for names."""
    from mlflow.utils.validation import _validate_param

    guards = {"promote": {"guards": {"few_shot/accuracy/shots=8": 0.1}}}
    rows = dotted(Params().model_dump(mode="json") | {"mix": {"weights": {"ünïcode & more": 1}}} | guards)
    for name, value in rows.items():
        _validate_param(name, value[:100])
    assert rows["promote.guards.few_shot/accuracy/shots_8"] == "0.1"


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


@pytest.mark.usefixtures("mlflow_tables")
def test_a_parent_run_begins_with_what_changed(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "greenhouse"
    from components.stages.account.stage import account as write_books
    from flows.tracking import mlflow_run, snapshots
    from flows.tracking.run_files import headline, run_files, summary_text

    write_books(root=root, ledger_folder=project(root), params=Params())
    outs = [{"path": "data/mix", "md5": "0123456789abcdef0123456789abcdef.dir"}]
    (root / "dvc.lock").write_text(json.dumps({"stages": {"mix": {"outs": outs}}}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client, runs = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), []
    for name, branch, steps, seed in (
        ("calm-otter", "instruct", 100, 1), ("keen-wren", "instruct", 60, 1), ("seeds-2", "instruct", 90, 2),
        ("wry-newt", "instruct", 80, 1), ("hot-jay", "classify", 30, 3), ("cool-jay", "classify", 20, 3),
        ("lone-owl", "instruct", 100, 1),
    ):  # fmt: skip
        run = RunFolder(name)
        run.open("pipeline", commit="abc+changes")
        if name == "lone-owl":  # the same parameters, other text
            other_outs = [outs[0] | {"md5": "f" * 32 + ".dir"}]
            (root / "dvc.lock").write_text(json.dumps({"stages": {"mix": {"outs": other_outs}}}))
        runs.append(mlflow_run.parent_run(client, run))
        assert mlflow_run.parent_run(client, run) == runs[-1]
        columns = {"text": "body"} if name == "cool-jay" else {}
        params = {"finetune": {branch: {"steps": steps, "columns": columns}, "seed": seed}}
        files = run_files(root, accounted=True)
        figures, text = {"orchestration_seconds": 1.0}, summary_text(root)
        mlflow_run.close_parent(
            client, runs[-1], name, "FINISHED", headline(root) | {"classify": 0.9}, params, {}, files, figures, text
        )
    first, second, _, last, _, classified, other = (client.get_run(run) for run in runs)
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
    assert second.data.tags["changed"] == "steps 100 -> 60 (finetune.instruct)"
    assert second.data.tags["primary"] == "0.500±.10 instruct"
    assert classified.info.run_name == "finetune.classify.steps 30 -> 20, 1 more (cool-jay)"
    assert "-> unset" not in classified.data.tags["changed"], "`columns {} -> unset` stood there"
    assert classified.data.tags["primary"] == "0.900 classify"  # it stood there with the score of another model
    assert other.data.tags["changed"] == "other data/mix", "it was empty, as where a text had been forgotten"
    note = other.data.tags["mlflow.note.content"]
    assert note.startswith("No parameter differs: other data/mix.\n\n(against calm-otter)")
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
    """Two did, and the import ended in a deadlock."""
    address = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    subprocess.run([sys.executable, "-c", RACE], check=True, cwd=paths.ROOT, env=os.environ | address, timeout=300)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (["dedup.lines 1 -> 2"], "dedup.lines 1 -> 2"),
        (["dedup.lines 1 -> 2", "mix.seed 1 -> 2"], "dedup.lines 1 -> 2, 1 more"),
        (["finetune.classify.columns.text unset -> body"], "finetune.classify.columns.text=body"),
        (["finetune.classify.seed 1 -> 2001", "mix.seed 1 -> 2001"], "seed 2001 in 2 sections"),
    ],
)
def test_names_of_runs_tell_them_apart(changes: list[str], name: str) -> None:
    assert shown_name(changes) == name


def test_the_energy_of_a_run_that_redid_a_part_stands_beside_that_of_all_stages() -> None:
    assert energy({"cost/run_kwh": 0.00031, "cost/behind_kwh": 0.0034}) == "0.31 Wh (3.4 in all)"
    assert energy({"cost/run_kwh": 0.00341, "cost/behind_kwh": 0.0034}) == "3.41 Wh", "a whole run, and what led it"
    assert energy({"cost/run_kwh": 0.00031}) == "0.31 Wh", "a run that was killed"
    assert energy({}) == ""
