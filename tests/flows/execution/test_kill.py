"""kill -9 in the middle of every stage, then run again: the hashes of another clone, and no run is left open."""

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

from tests.flows.pipeline_clone import PipelineClone, is_running, until

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(1500)]

DATA = ["ingest", "dedup", "filter", "bias", "mix", "tokenize"]
TOGETHER = [["pretrain@causal", "pretrain@masked"], ["finetune@instruct", "finetune@classify"]]
"""Stages that the pipeline runs at the same time."""
ALONE = [[stage] for stage in (*DATA, *TOGETHER[0], *TOGETHER[1], "evaluate")]
ONE_CORE = ("taskset", "--cpu-list", "0") if sys.platform == "linux" else ()
PIPELINE, REPRO = ("greenhouse", "run"), ("dvc", "repro")
NO_SERVER = {"PREFECT_API_URL": ""}


def at_work(clone: PipelineClone, parent: subprocess.Popen, stage: str) -> list[psutil.Process]:
    """The stage's process below `parent`, if it holds the lock of its work folder."""
    if not list((clone.root / ".greenhouse" / "work" / stage).glob("*/lock")):
        return []
    words = ["-m", "flows.stage", *stage.split("@")]
    found = []
    for one in psutil.Process(parent.pid).children(recursive=True):
        with suppress(psutil.Error):
            found += [one] if one.cmdline()[-len(words) :] == words else []
    return found


def kill_in_the_middle(clone: PipelineClone, stages: list[str], delay_s: float, by_pipeline: bool) -> list[bool]:
    """Start the pipeline or `dvc repro`, let the stages work for `delay_s`, kill -9 the process that was started.

    Returns for each stage whether it was still at work then.
    """
    command, prefix, more = (PIPELINE, (), {}) if by_pipeline else ((*REPRO, *stages), ONE_CORE, NO_SERVER)
    parent = clone.start(*command, prefix=prefix, PYTHONUNBUFFERED="1", **more)  # nothing said is lost with a process
    found: dict[str, psutil.Process] = {}

    def all_at_work() -> bool:
        found.update({stage: one for stage in stages for one in at_work(clone, parent, stage)})
        return len(found) == len(stages) or parent.poll() is not None

    until(all_at_work)
    assert len(found) == len(stages), f"{stages}: {parent.stdout.read() if parent.poll() is not None else 'not seen'}"
    time.sleep(delay_s)
    busy = [is_running(one.pid) for one in found.values()]
    tree = psutil.Process(parent.pid).children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    _, left = psutil.wait_procs(tree, timeout=60)
    left = [one for one in left if is_running(one.pid)]
    assert left == [], f"outlived a killed pipeline: {[one.cmdline() for one in left]}"
    return busy


def task_states(clone: PipelineClone) -> set[str]:
    """States of the task runs, when the server has recorded the last ones: it gets them as events, a moment later."""
    states = "select state_name from task_run"
    until(lambda: ("Running",) not in clone.prefect_rows(states), 60)
    return {state for (state,) in clone.prefect_rows(states)}


@pytest.mark.long
@pytest.mark.parametrize(
    ("kills", "by_pipeline"),
    [([["filter"], TOGETHER[0], ["evaluate"]], [TOGETHER[0], ["evaluate"]]), (ALONE, ALONE), (ALONE, [])],
    ids=["one of each kind", "all under the pipeline", "all under dvc"],
)
def test_one_seeded_kill_per_stage(
    kills: list[list[str]],
    by_pipeline: list[list[str]],
    migrated_clone: PipelineClone,
    finished_outputs: Callable[[], dict[str, str]],
) -> None:
    """With one worker, and under `dvc repro` on one core: neither is seen in the bytes."""
    clone = migrated_clone
    clone.edit("params.yaml", "  workers: 2", "  workers: 1")
    dice = random.Random(20261125)

    def kill(stages: list[str]) -> list[bool]:
        return kill_in_the_middle(clone, stages, dice.random(), stages in by_pipeline)

    busy = [each for stages in kills[:2] for each in kill(stages)]  # the first pipeline with a server of its own
    with clone.prefect():  # the others with one that lives on, and so records the last events
        busy += [each for stages in kills[2:] for each in kill(stages)]
        assert sum(busy) > len(busy) // 2, f"most stages had ended before they were killed: {busy}"
        clone.run(*REPRO, prefix=ONE_CORE, **NO_SERVER)
        assert clone.outputs() == finished_outputs()
        assert "up to date" in clone.run("dvc", "status")
        assert "nothing to do" in clone.run("greenhouse", "run")
        task_runs = task_states(clone)
    flow_runs = {state for (state,) in clone.prefect_rows("select state_name from flow_run")}
    assert all((run / "closed").exists() for run in (clone.root / ".greenhouse/runs").iterdir())
    assert "Running" not in flow_runs | task_runs
    assert ("Crashed" in flow_runs) == bool(by_pipeline)
    runs = clone.mlflow_runs()
    assert "RUNNING" not in {run.info.status for run in runs}
    whole = [run for run in runs if (run.data.tags["kind"], run.info.status) == ("dvc repro", "FINISHED")]
    parents = [run.info.run_id for run in whole if "mlflow.parentRunId" not in run.data.tags]
    stages = [
        sorted(run.info.run_name for run in whole if run.data.tags.get("mlflow.parentRunId") == parent)
        for parent in parents
    ]
    assert ["account", "evaluate"] in stages, "the last `dvc repro` is one run"


DVC_THAT_DIES = """
import subprocess, sys
command = [sys.executable, "-m", "flows.stage", "ingest"]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


def test_a_stage_whose_dvc_died_before_it_could_ask_ends_too(fresh_clone: PipelineClone) -> None:
    """Killed while the stage's process still imports, when the kernel has not been told yet to take it along."""
    dead = subprocess.run(
        [sys.executable, "-c", DVC_THAT_DIES], cwd=fresh_clone.root, env=fresh_clone.environment(DVC_STAGE="ingest"),
        capture_output=True, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    assert until(lambda: not is_running(int(dead.stdout)), 60)
    assert not (fresh_clone.root / ".greenhouse/work").exists(), "it began to work"
