"""What a kill or a power cut leaves of a run never stops the work that follows: it is closed, or set aside and said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import psutil
import pytest

from components.core.files import read_json, write_json
from flows.system import environment, processes, recovery
from flows.tracking import mlflow_run
from tests.flows.pipeline_clone import PipelineClone


@pytest.fixture
def state(tmp_path: Path, mlflow_tables: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with an MLflow database of its own."""
    for module in (recovery, mlflow_run):
        monkeypatch.setattr(module, "STATE", tmp_path)
    monkeypatch.setattr(recovery, "OPEN", tmp_path / "open")
    monkeypatch.setattr(recovery, "PARENTS", tmp_path / "parents")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return tmp_path


@pytest.fixture
def ended() -> str:
    """The tag of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = processes.process_tag(process.pid)
    process.communicate(b"\n")
    return tag


@pytest.fixture
def client(state: Path) -> mlflow.MlflowClient:
    return mlflow_run.client()


def running(client: mlflow.MlflowClient, **tags: str) -> str:
    """The id of a run that MLflow believes to be going on."""
    return client.create_run(mlflow_run.experiment_id(client), tags=tags).info.run_id


def status(client: mlflow.MlflowClient, run_id: str) -> str:
    return client.get_run(run_id).info.status


@pytest.mark.parametrize("text", ["", "{", "\0" * 40, "[]", "{}", '{"process": 7}', "\xff"])
def test_a_damaged_record_is_set_aside_with_one_sentence(state: Path, ended: str, text: str) -> None:
    for path in (state / "open" / "calm-otter.json", state / "parents" / "calm-otter.json"):
        path.parent.mkdir()
        path.write_bytes(text.encode("latin-1"))
    said: list[str] = []
    assert recovery.recover_records(said.append) == 0
    assert len(said) == 2
    assert all("damaged" in sentence and "set aside" in sentence for sentence in said)
    assert recovery.recover_records(said.append) == 0
    assert len(said) == 2
    assert [path.name for path in (state / "open").iterdir()] == ["calm-otter.damaged"]


def test_a_run_goes_on_over_a_damaged_record_of_its_own_name(state: Path, client: mlflow.MlflowClient) -> None:
    for path in (state / "open" / "dvc-repro-7.json", state / "parents" / "dvc-repro-7.json"):
        path.parent.mkdir()
        path.write_text("")
    path = recovery.opened("dvc-repro-7", mlflow="abc")
    assert read_json(path)["mlflow"] == "abc"
    run_id = mlflow_run.parent_run(client, "dvc-repro-7", processes.process_tag(), {})
    assert mlflow_run.parent_run(client, "dvc-repro-7", processes.process_tag(), {}) == run_id
    mlflow_run.close_parent(client, "dvc-repro-7", "FINISHED", {}, {}, {})
    assert status(client, run_id) == "FINISHED"


def test_runs_that_mlflow_no_longer_has_are_closed_with_one_sentence(
    state: Path, client: mlflow.MlflowClient, ended: str
) -> None:
    deleted = running(client)
    client.delete_run(deleted)
    for name, run_id in (("deleted", deleted), ("reset", "0" * 32)):
        write_json(state / "parents" / f"{name}.json", {"mlflow": run_id, "process": ended})
        write_json(state / "open" / f"{name}.mix.json", {"mlflow": run_id, "process": ended})
    said: list[str] = []
    assert recovery.recover_records(said.append) == 4
    assert list(state.glob("*/*.json")) == []
    assert sum("was deleted" in sentence for sentence in said) == 2
    assert sum("cannot be closed" in sentence for sentence in said) == 2


def test_runs_of_ended_processes_are_closed_and_live_ones_left(
    state: Path, client: mlflow.MlflowClient, ended: str
) -> None:
    run_ids = {name: running(client) for name in ("mix", "calm-otter", "live")}
    write_json(state / "open" / "calm-otter.mix.json", {"mlflow": run_ids["mix"], "process": ended})
    write_json(state / "parents" / "calm-otter.json", {"mlflow": run_ids["calm-otter"], "process": ended})
    write_json(state / "parents" / "live.json", {"mlflow": run_ids["live"], "process": processes.process_tag()})
    assert recovery.recover_records(lambda _: None) == 2
    assert [status(client, run_id) for run_id in run_ids.values()] == ["KILLED", "KILLED", "RUNNING"]
    assert [path.stem for path in state.glob("*/*.json")] == ["live"]


def test_a_server_that_is_away_costs_a_sentence_and_no_record(
    state: Path, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(state / "parents" / "calm-otter.json", {"mlflow": "m", "process": ended})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said: list[str] = []
    recovery.recover_records(said.append)
    assert len(said) == 1
    assert "does not answer" in said[0]
    assert [path.stem for path in state.glob("*/*.json")] == ["calm-otter"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": "x", "started": 3}'])
def test_a_damaged_record_of_the_servers_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(environment, "SERVERS", tmp_path / "servers.json")
    environment.SERVERS.write_text(text)
    assert environment.running_servers() == {}


def statuses(clone: PipelineClone) -> list[str]:
    """The states of the clone's runs in MLflow."""
    return sorted(run.info.status for run in clone.mlflow_runs())


def wait_for_a_record(clone: PipelineClone) -> None:
    """Until a stage of the clone has its run in MLflow."""
    records = clone.root / ".greenhouse" / "open"
    deadline = time.monotonic() + 240
    while not any("mlflow" in path.read_text() for path in records.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)


def assert_killed_in_mlflow(clone: PipelineClone, log: str) -> None:
    """The pipeline's one run is KILLED, none is RUNNING, and no record of it is left."""
    parents = [run for run in clone.mlflow_runs() if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["KILLED"], log
    assert "RUNNING" not in statuses(clone)
    assert list((clone.root / ".greenhouse" / "open").glob("*.json")) == []
    assert list((clone.root / ".greenhouse" / "parents").glob("*.json")) == []


@pytest.mark.pipeline
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_pipeline_that_is_told_to_end_is_killed_in_mlflow(migrated_clone: PipelineClone) -> None:
    """By SIGTERM, told twice, as whoever ends a process group does; test_interrupt.py has Ctrl-C."""
    process = migrated_clone.start("flows.pipeline", "--until", "ingest")
    wait_for_a_record(migrated_clone)
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
def test_plain_dvc_and_verify_close_what_a_kill_of_theirs_left(migrated_clone: PipelineClone) -> None:
    process = migrated_clone.start("dvc", "repro", "ingest")
    wait_for_a_record(migrated_clone)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (left,) = (migrated_clone.root / ".greenhouse" / "open").glob("*.json")
    assert statuses(migrated_clone) == ["RUNNING", "RUNNING"]
    log = migrated_clone.run("dvc", "repro", "ingest")
    assert f"closing {left.stem}" in log
    assert statuses(migrated_clone) == ["FINISHED", "FINISHED", "KILLED", "KILLED"]
    (repro,) = (migrated_clone.root / ".greenhouse" / "parents").glob("*.json")  # another stage might have followed
    said = migrated_clone.run("flows.verify", "causal", expect=1)
    assert f"closing {repro.stem}" in said
