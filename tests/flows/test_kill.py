"""kill -9 in the middle of every stage, then run again: the same hashes, and nobody still believes in the dead run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.flows.pipeline_clone import PipelineClone, make_clone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(1500)]

STAGES = [
    *("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "pretrain@masked"),
    *("finetune@instruct", "finetune@classify", "evaluate"),
]


def kill_in_the_middle(clone: PipelineClone, stage: str, delay_s: float) -> bool:
    """Start the pipeline, wait for the stage's process, let it work for `delay_s`, kill -9 the pipeline's process.

    Returns whether the stage was still at work then.
    """
    pipeline = clone.start("flows.pipeline")
    words = ["-m", f"flows.{stage.split('@')[0]}", *stage.split("@")[1:]]
    found = None
    deadline = time.monotonic() + 240
    while found is None and time.monotonic() < deadline and pipeline.poll() is None:
        time.sleep(0.05)
        for one in psutil.Process(pipeline.pid).children(recursive=True):
            try:
                if one.cmdline()[-len(words) :] == words:
                    found = one
            except psutil.Error:
                continue
    assert found is not None, f"{stage} was never seen: {pipeline.stdout.read() if pipeline.poll() is not None else ''}"
    time.sleep(delay_s)
    at_work = found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    tree = psutil.Process(pipeline.pid).children(recursive=True)
    os.kill(pipeline.pid, signal.SIGKILL)
    pipeline.communicate()
    _, left = psutil.wait_procs(tree, timeout=10)
    left = [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert left == [], f"outlived a killed pipeline: {[one.cmdline() for one in left]}"
    return at_work


def test_one_seeded_kill_per_stage(finished_clone: PipelineClone, tmp_path_factory: pytest.TempPathFactory) -> None:
    clone = make_clone(tmp_path_factory.mktemp("killed"))
    dice = random.Random(20261125)
    # Into the stage function: past the start of the process, which takes about a second.
    at_work = [kill_in_the_middle(clone, stage, delay_s=1.0 + dice.random()) for stage in STAGES]
    assert sum(at_work) > len(STAGES) // 2, f"most stages had ended before they were killed: {at_work}"
    log = clone.run("flows.pipeline")
    assert "pipeline: Completed" in log
    assert clone.outputs() == finished_clone.outputs()
    assert "up to date" in clone.run("dvc", "status")
    assert list((clone.root / ".greenhouse/open").glob("*.json")) == []
    shown = json.loads(
        clone.ask("""
import json, mlflow
c = mlflow.MlflowClient()
runs = c.search_runs([c.get_experiment_by_name("greenhouse").experiment_id], max_results=1000)
print(json.dumps({
    "prefect": sorted({run.state.name for run in client.read_flow_runs()}),
    "tasks": sorted({run.state.name for run in client.read_task_runs() if run.state}),
    "mlflow": sorted({run.info.status for run in runs}),
}))
""").splitlines()[-1]
    )
    assert "Running" not in shown["prefect"] + shown["tasks"]
    assert "RUNNING" not in shown["mlflow"]
    assert "Crashed" in shown["prefect"]


DVC_THAT_DIES = """
import subprocess, sys
command = [sys.executable, "-m", "flows.ingest"]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


def test_a_stage_whose_dvc_died_before_it_could_ask_ends_too(fresh_clone: PipelineClone) -> None:
    """Killed while the stage's process still imports, when the kernel has not been told yet to take it along."""
    dead = subprocess.run(
        [sys.executable, "-c", DVC_THAT_DIES], cwd=fresh_clone.root, env=fresh_clone.environment(DVC_STAGE="ingest"),
        capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    pid = int(dead.stdout)
    deadline = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(pid)
    assert not (fresh_clone.root / ".greenhouse/work").exists(), "it began to work"


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_pretraining_resumes_from_its_last_checkpoint(finished_clone: PipelineClone) -> None:
    clone = finished_clone
    # A longer run, so that a kill lands between checkpoints.
    text = (clone.root / "params.yaml").read_text()
    clone.edit("params.yaml", "  causal: {}", "  causal: {steps: 120}")
    work = clone.root / ".greenhouse/work/pretrain@causal"

    def checkpoints() -> set[Path]:
        return {folder for folder in work.glob("*/step-*") if folder.name > "step-000000"}  # 0: before the first step

    earlier = checkpoints()  # of runs that another test cancelled
    pipeline = clone.start("flows.pipeline", "--until", "pretrain@causal")
    deadline = time.monotonic() + 240
    while not checkpoints() - earlier and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(pipeline.pid, signal.SIGKILL)
    pipeline.communicate()
    time.sleep(1)
    assert checkpoints() - earlier, "the kill came after the end"
    log = clone.run("flows.pipeline", "--until", "pretrain@causal")
    assert re.search(r"going on from step [1-9]", log), log[-3000:]
    resumed = clone.outputs()["models/pretrain/causal"]
    clone.run("dvc", "repro", "--force", "--single-item", "pretrain@causal")
    assert clone.outputs()["models/pretrain/causal"] == resumed
    (clone.root / "params.yaml").write_text(text)
    clone.run("flows.pipeline")
