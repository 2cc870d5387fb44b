"""kill -9 in the middle of every stage, then run again: the hashes of another clone, and no run is left open."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(1500)]

STAGES = [
    *("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "pretrain@masked"),
    *("finetune@instruct", "finetune@classify", "evaluate"),
]


ONE_CORE = ("taskset", "--cpu-list", "0") if sys.platform == "linux" else ()
PIPELINE, REPRO = ("flows.pipeline",), ("dvc", "repro")


def kill_in_the_middle(clone: PipelineClone, stage: str, delay_s: float, by_pipeline: bool) -> bool:
    """Start the pipeline or `dvc repro`, let the stage work for `delay_s`, kill -9 the process that was started.

    Returns whether the stage was still at work then.
    """
    parent = clone.start(*PIPELINE) if by_pipeline else clone.start(*REPRO, stage, prefix=ONE_CORE)
    words = ["-m", f"flows.{stage.split('@')[0]}", *stage.split("@")[1:]]
    work = clone.root / ".greenhouse" / "work" / stage
    found = None
    deadline = time.monotonic() + 240
    while not (found and list(work.glob("*/lock"))) and time.monotonic() < deadline and parent.poll() is None:
        time.sleep(0.02)
        for one in psutil.Process(parent.pid).children(recursive=True):
            with suppress(psutil.Error):
                found = one if one.cmdline()[-len(words) :] == words else found
    assert found is not None, f"{stage} was never seen: {parent.stdout.read() if parent.poll() is not None else ''}"
    time.sleep(delay_s)
    at_work = found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    tree = psutil.Process(parent.pid).children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    output, _ = parent.communicate()
    assert by_pipeline or "no server runs" in output
    _, left = psutil.wait_procs(tree, timeout=60)
    left = [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert left == [], f"outlived a killed pipeline: {[one.cmdline() for one in left]}"
    return at_work


KILLED = [
    pytest.param({"dedup", "pretrain@causal", "evaluate"}, id="three under the pipeline"),
    pytest.param(set(STAGES), id="all under the pipeline", marks=pytest.mark.long),
    pytest.param(set(), id="all under dvc", marks=pytest.mark.long),
]


@pytest.mark.parametrize("by_pipeline", KILLED)
def test_one_seeded_kill_per_stage(
    by_pipeline: set[str], fresh_clone: PipelineClone, finished_outputs: Callable[[], dict[str, str]]
) -> None:
    """With one worker, and under `dvc repro` on one core: neither is seen in the bytes."""
    clone = fresh_clone
    clone.edit("params.yaml", "  workers: 2", "  workers: 1")
    dice = random.Random(20261125)
    at_work = [kill_in_the_middle(clone, stage, dice.random(), stage in by_pipeline) for stage in STAGES]
    assert sum(at_work) > len(STAGES) // 2, f"most stages had ended before they were killed: {at_work}"
    clone.run(*REPRO, prefix=ONE_CORE)
    assert clone.outputs() == finished_outputs()
    assert "up to date" in clone.run("dvc", "status")
    with clone.prefect():
        assert "nothing to do" in clone.run("flows.pipeline")
        shown = json.loads(clone.ask(ENDS).splitlines()[-1])
    assert list((clone.root / ".greenhouse/open").glob("*.json")) == []
    assert "Running" not in shown["prefect"] + shown["tasks"]
    assert ("Crashed" in shown["prefect"]) == bool(by_pipeline)
    assert "RUNNING" not in shown["mlflow"]
    assert shown["repro"] == [["account", "evaluate"]]


ENDS = """
import json, mlflow
c = mlflow.MlflowClient()
runs = c.search_runs([c.get_experiment_by_name("greenhouse").experiment_id], max_results=1000)
parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
whole = [run.info.run_id for run in parents if (run.data.tags["kind"], run.info.status) == ("dvc repro", "FINISHED")]
print(json.dumps({
    "prefect": sorted({run.state.name for run in client.read_flow_runs()}),
    "tasks": sorted({run.state.name for run in client.read_task_runs() if run.state}),
    "mlflow": sorted({run.info.status for run in runs}),
    "repro": [sorted(run.info.run_name for run in runs if run.data.tags.get("mlflow.parentRunId") == one and
                     run.info.status == "FINISHED") for one in whole],
}))
"""


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
