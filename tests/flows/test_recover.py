"""What a kill or a power cut leaves of a run never stops the work that follows: it is recorded, closed and said."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from flows.system import git, paths, processes
from tests.flows.pipeline_clone import PipelineClone, until


def test_a_worktree_whose_process_is_gone_is_removed_and_no_other(checkout: Path, ended: str) -> None:
    (folder := paths.WORKTREES).mkdir(parents=True)
    for name, process in (("gone", ended), ("here", processes.process_tag()), ("cut", "")):
        (folder / f"{name}.json").write_text("{" if name == "cut" else f'{{"process": "{process}"}}')
    (folder / "gone" / "docs").mkdir(parents=True)  # removal was killed: git knows nothing of it any more
    assert git.worktrees_in_use() == {"here"}
    git.remove_dead_worktrees()
    assert [path.stem for path in folder.iterdir()] == ["here"]


def wait_for_work(clone: PipelineClone) -> None:
    """Until a stage of the clone is at work."""
    until(lambda: list((clone.root / ".greenhouse/runs").glob("*/*/events.jsonl")))


def assert_killed_in_mlflow(clone: PipelineClone, log: str) -> None:
    """The pipeline's one run is KILLED, none is RUNNING, and no record of it is left."""
    parents = [run for run in clone.mlflow_runs() if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["KILLED"], log
    assert "RUNNING" not in {run.info.status for run in clone.mlflow_runs()}
    runs = clone.root / ".greenhouse/runs"
    assert len([*runs.glob("*/closed")]) == len([*runs.glob("*/run.json")]) > 0


@pytest.mark.pipeline
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_pipeline_that_is_told_to_end_is_killed_in_mlflow(migrated_clone: PipelineClone) -> None:
    """By SIGTERM, told twice, as whoever ends a process group does; test_interrupt.py has Ctrl-C."""
    process = migrated_clone.start("greenhouse", "run", "--until", "ingest")
    wait_for_work(migrated_clone)
    tree = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=300)
    assert psutil.wait_procs(tree, timeout=15)[1] == []
    assert_killed_in_mlflow(migrated_clone, log)
