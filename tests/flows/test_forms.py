"""Triggered through the UI's own API: overrides become experiments, stale forms are refused, a cancel ends the tree."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flows.system import processes
from flows.tracking.mlflow_run import name_of
from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(900)]

CLIENT = """
import copy, json, os, sys, time
from flows.deployments import deployment_name
from flows.system import paths
from prefect.client.orchestration import get_client
from prefect.states import Cancelling
client = get_client(sync_client=True)
client.__enter__()
def finished(run_id, seconds=400):
    for _ in range(seconds * 4):
        run = client.read_flow_run(run_id)
        if run.state and run.state.is_final():
            return run
        time.sleep(0.25)
    raise SystemExit(f"{run.name} is still {run.state.name}")
def deployment(name):
    # One of an earlier server may still stand in the database: wait for the form of params.yaml as it is now.
    from components.params import load
    from flows.execution.form import params_hash
    for _ in range(240):
        try:
            found = client.read_deployment_by_name(f"{name}/{deployment_name(name)}")
            if found.parameters["params_hash"] == params_hash(load(paths.ROOT / "params.yaml")):
                return found
        except Exception:
            pass
        time.sleep(0.25)
    raise SystemExit(f"no deployment {name} that is filled from params.yaml")
"""


@pytest.fixture(scope="module")
def served(finished_clone: PipelineClone) -> Iterator[PipelineClone]:
    """The finished clone, its deployments served."""
    with open(finished_clone.root.parent / "serve.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.deployments"], cwd=finished_clone.root,
            env=finished_clone.environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, preexec_fn=processes.dies_with_parent(),
        )  # fmt: skip
    yield finished_clone
    process.terminate()
    process.wait(60)


def ask(clone: PipelineClone, code: str) -> dict:
    """Run a few lines against the served clone; what they print last, as JSON."""
    return json.loads(clone.run_code(CLIENT + code).splitlines()[-1])


def test_an_override_from_the_form_is_an_experiment(served: PipelineClone) -> None:
    clone = served
    before, status = clone.outputs(), clone.git("status", "--porcelain")
    shown = ask(clone, """
form = deployment("pipeline")
values = copy.deepcopy(form.parameters)
values["params"]["settings"] = ["account.licence=MIT"]
run = finished(client.create_flow_run_from_deployment(form.id, parameters=values).id)
tasks = {task.name: task.state.name for task in client.read_task_runs() if task.flow_run_id == run.id}
values["params"]["vocabulary"] = 7
try:
    client.create_flow_run_from_deployment(form.id, parameters=values)
    refused = ""
except Exception as error:
    refused = str(error)
told = {"name": run.name, "state": run.state.name, "message": run.state.message, "tasks": tasks, "refused": refused}
print(json.dumps(told))
""")  # fmt: skip
    assert shown["state"] == "Completed", shown
    told = "saved as DVC experiment {0}: `greenhouse compare workspace {0}`, `dvc exp apply {0}`"
    assert shown["message"] == "scores: the same evaluation; " + told.format(shown["name"])
    assert {stage for stage, state in shown["tasks"].items() if state == "Completed"} == {"account"}, shown
    assert shown["tasks"]["pretrain@causal"] == shown["tasks"]["finetune@instruct"] == "Cached"
    assert "params.vocabulary" in shown["refused"]
    assert "minimum of 300" in shown["refused"]
    assert clone.outputs() == before
    assert clone.git("status", "--porcelain") == status
    assert clone.git("worktree", "list").count("\n") == 1
    assert "up to date" in clone.run("dvc", "status")
    rows = list(csv.DictReader(io.StringIO(clone.run("dvc", "exp", "show", "--csv"))))
    assert shown["name"] in {row["Experiment"] for row in rows}
    assert "MIT" in {value for row in rows for key, value in row.items() if key.endswith("account.licence")}
    assert shown["name"] in {name_of(run) for run in clone.mlflow_runs()}


def test_a_form_older_than_params_yaml_is_refused(served: PipelineClone) -> None:
    original = (served.root / "params.yaml").read_text()
    try:
        shown = ask(served, """
old = deployment("pipeline").parameters
params = paths.ROOT / "params.yaml"
text = params.read_text()
assert "vocab_size: 512 " in text
params.write_text(text.replace("vocab_size: 512 ", "vocab_size: 500 "))
form = deployment("pipeline")
run = finished(client.create_flow_run_from_deployment(form.id, parameters=old).id)
now = form.parameters["params"]["vocabulary"]
told = ""
for _ in range(80):  # its process sends the last lines as it ends
    if "Failed" in told:
        break
    time.sleep(0.25)
    told = "\\n".join(line.message for line in client.read_logs() if line.flow_run_id == run.id)
print(json.dumps({"now": now, "state": run.state.name, "message": run.state.message, "log": told}))
""")  # fmt: skip
    finally:
        (served.root / "params.yaml").write_text(original)
    assert shown["now"] == 500
    assert shown["state"] == "Failed"
    for text in (shown["message"], shown["log"]):
        shows(text, "refuse_stale_form")
    assert "Traceback" not in shown["log"]


@pytest.mark.long
def test_cancel_ends_the_tree_and_the_run_can_be_resumed(served: PipelineClone) -> None:
    clone = served
    shown = ask(clone, """
import psutil
form = deployment("pipeline")
values = copy.deepcopy(form.parameters)
values["params"]["settings"] = ["pretrain.causal.steps=400"]
run = client.create_flow_run_from_deployment(form.id, parameters=values)
def trainers():
    found = []
    for one in psutil.process_iter():
        try:
            if one.cmdline()[-4:] == ["-m", "flows.stage", "pretrain", "causal"] and "experiment" not in one.cmdline():
                if one.cwd().startswith(os.environ["GREENHOUSE_STATE"]):
                    found.append(one)
        except psutil.Error:
            pass
    return found
from pathlib import Path
work = Path(os.environ["GREENHOUSE_STATE"]) / "work/pretrain@causal"
for _ in range(800):
    if trainers() and list(work.glob("*/step-*")):
        break
    time.sleep(0.1)
client.set_flow_run_state(run.id, Cancelling(), force=True)
for _ in range(600):
    if not trainers():
        break
    time.sleep(0.1)
left = len(trainers())
run = finished(run.id, 150)
for _ in range(600):  # Prefect says so when it has sent the signal; the worktree goes as the process ends
    if not list((Path(os.environ["GREENHOUSE_STATE"]) / "worktrees").glob("*")):
        break
    time.sleep(0.1)
kept = len(list(work.glob("*/step-*")))
print(json.dumps({"left": left, "name": run.name, "state": run.state.name, "kept": kept}))
""")  # fmt: skip
    assert shown["left"] == 0, shown
    assert shown["state"] == "Cancelled"
    assert shown["kept"] >= 1
    said = clone.run("greenhouse", "compare", "workspace", shown["name"], expect=1)  # not the workspace's own models
    assert f"{shown['name']} ended early (KILLED): not made were pretrain@causal, " in said
    assert clone.git("worktree", "list").count("\n") == 1
