"""What a kill or a power cut leaves of a run never stops the work that follows: it is recorded, closed and said."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from components.core.files import write_json
from flows.system import environment, git, paths, processes
from flows.tracking.mlflow_run import name_of
from tests.flows.pipeline_clone import PipelineClone


def test_a_worktree_whose_process_is_gone_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    monkeypatch.setattr(paths, "WORKTREES", tmp_path)
    for name, process in (("gone", ended), ("here", processes.process_tag()), ("cut", "")):
        (tmp_path / f"{name}.json").write_text("{" if name == "cut" else f'{{"process": "{process}"}}')
    (tmp_path / "gone" / "docs").mkdir(parents=True)  # removal was killed: git knows nothing of it any more
    assert git.worktrees_in_use() == {"here"}
    git.remove_dead_worktrees()
    assert [path.stem for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": "x", "started": 3}'])
def test_a_damaged_record_of_the_servers_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(environment, "SERVERS", tmp_path / "servers.json")
    environment.SERVERS.write_text(text)
    assert environment.running_servers() == {}


def test_servers_of_the_checkout_that_this_one_is_a_copy_of_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "SERVERS", tmp_path / "servers.json")
    record = {"pid": os.getpid(), "started": processes.start_of(os.getpid()), "MLFLOW_TRACKING_URI": "http://here"}
    write_json(environment.SERVERS, record | {"state": str(environment.STATE)})
    assert environment.running_servers() == {"MLFLOW_TRACKING_URI": "http://here"}
    write_json(environment.SERVERS, record | {"state": "/original/.greenhouse"})
    assert environment.running_servers() == {}


def statuses(clone: PipelineClone) -> list[str]:
    """The states of the clone's runs in MLflow."""
    return sorted(run.info.status for run in clone.mlflow_runs())


def wait_for_work(clone: PipelineClone) -> None:
    """Until a stage of the clone is at work."""
    deadline = time.monotonic() + 240
    while not list((clone.root / ".greenhouse/runs").glob("*/*/events.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)


def unclosed(clone: PipelineClone) -> list[str]:
    """Names of the clone's runs that have no mark of their end."""
    runs = (clone.root / ".greenhouse/runs").iterdir()
    return [run.name for run in runs if not (run / "closed").exists()]


def assert_killed_in_mlflow(clone: PipelineClone, log: str) -> None:
    """The pipeline's one run is KILLED, none is RUNNING, and no record of it is left."""
    parents = [run for run in clone.mlflow_runs() if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["KILLED"], log
    assert "RUNNING" not in statuses(clone)
    assert unclosed(clone) == []


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


@pytest.mark.pipeline
@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_a_kill_left_is_recorded_by_the_next_stage_and_by_verify(migrated_clone: PipelineClone) -> None:
    for command in (("dvc", "repro", "ingest"), ("greenhouse", "run", "--until", "ingest")):
        process = migrated_clone.start(*command)
        wait_for_work(migrated_clone)
        tree = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert psutil.wait_procs(tree, timeout=30)[1] == []
        (left,) = unclosed(migrated_clone)
        log = migrated_clone.run("dvc", "repro", "ingest")
        assert f"closing {left}" in log
        ended = {name_of(run): run.info.status for run in migrated_clone.mlflow_runs("tags.run LIKE '%'")}
        assert ended[left] == "KILLED"
        assert "RUNNING" not in statuses(migrated_clone)
        (repro,) = unclosed(migrated_clone)  # another stage might have followed
        said = migrated_clone.run("greenhouse", "verify", "causal", expect=1)
        assert f"closing {repro}" in said
        for gone in ("data", "dvc.lock", ".greenhouse/runs", ".dvc/cache"):
            path = migrated_clone.root / gone
            shutil.rmtree(path) if path.is_dir() else path.unlink()
