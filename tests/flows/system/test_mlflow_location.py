"""Absolute addresses in MLflow's database follow the checkout."""

import errno
import os
import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from flows.system.mlflow_location import COLUMNS, follow_checkout
from tests.errors import refused, refuses
from tests.flows.pipeline_clone import PipelineClone

MODEL = """
import flows
import mlflow
from pathlib import Path
from flows.tracking.mlflow_run import client, experiment_id
c = client()
run = c.create_run(experiment_id(c)).info
c.log_text(run.run_id, "stages: {}", "dvc.lock")
model = c.create_logged_model(run.experiment_id, "causal", run.run_id)
place = Path(model.artifact_location.removeprefix("file://"), "model.safetensors")
place.parent.mkdir(parents=True)
place.write_bytes(b"weights")
c.create_registered_model("greenhouse-causal-1")
c.create_model_version("greenhouse-causal-1", f"models:/{model.model_id}", run.run_id, model_id=model.model_id)
"""
"""Records a run and a model with its weights, as a stage does."""


def addresses(state: Path) -> dict[str, list[str]]:
    """Column -> all that it holds in the database of a state folder."""
    with closing(sqlite3.connect(state / "mlflow.db")) as connection:
        return {
            f"{table}.{column}": [row[0] for row in connection.execute(f"SELECT {column} FROM {table} ORDER BY 1")]
            for table, columns in COLUMNS.items()
            for column in columns
        }


@pytest.fixture
def state(tmp_path: Path, mlflow_pattern: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with MLflow's database, which MLflow in this process uses."""
    state = tmp_path / "an original" / ".greenhouse"
    state.mkdir(parents=True)
    shutil.copy(mlflow_pattern, state)
    follow_checkout(state)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", f"sqlite:///{state}/mlflow.db")
    return state


def record(experiment: str, place: str) -> None:
    """A run with a model, in an experiment at that place."""
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment(experiment, artifact_location=place)).info
    model = client.create_logged_model(run.experiment_id, "causal", run.run_id)
    client.create_registered_model(experiment)
    client.create_model_version(experiment, f"models:/{model.model_id}", run.run_id, model_id=model.model_id)


@pytest.mark.parametrize("folder", ["mlartifacts", "mlartifacts/1"])
def test_every_address_is_of_the_checkout_that_reads_it(state: Path, folder: str) -> None:
    """`mlartifacts/1` is where MLflow's server puts the experiment 1; its files are there, so that stays."""
    record("greenhouse", (state / folder).as_uri())
    before = addresses(state)
    follow_checkout(state)
    assert addresses(state) == before
    copy = state.parents[1] / "a copy's" / ".greenhouse"
    shutil.copytree(state, copy)
    follow_checkout(copy)
    after = addresses(copy)
    old, new = state.as_uri(), copy.as_uri()
    assert after["runs.artifact_uri"][0].startswith(f"{new}/{folder}/")
    moved = {
        key: [one.replace(old, new).replace(str(state), str(copy)) for one in ones] for key, ones in before.items()
    }
    assert after == moved
    assert not [one for ones in after.values() for one in ones if "original" in one]
    assert addresses(state) == before


def test_places_that_a_person_chose_stay(state: Path) -> None:
    chosen = ["s3://team/mlartifacts", "file:///team/mlartifacts", f"{state.as_uri()}x/mlartifacts"]
    for number, place in enumerate(chosen):
        record(f"own-{number}", place)
    before = addresses(state)
    copy = state.parents[1] / "copy"
    shutil.copytree(state, copy)
    follow_checkout(copy)
    after = addresses(copy)
    assert after["runs.artifact_uri"] == before["runs.artifact_uri"]


def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    follow_checkout(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mlflow.db").touch()
    follow_checkout(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    refuses(lambda: follow_checkout(tmp_path), "follow_checkout.2", "mlflow.db", "file is not a database")


def test_a_database_that_cannot_be_corrected_is_not_worked_with(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record("greenhouse", "file:///elsewhere/.greenhouse/mlartifacts")
    monkeypatch.setattr("flows.system.mlflow_location.WAIT_S", 0.1)
    with closing(sqlite3.connect(state / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refuses(lambda: follow_checkout(state), "follow_checkout.1", "mlflow.db", "database is locked")


def test_what_keeps_a_database_from_being_written_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All was put down to a permission."""
    record("greenhouse", "file:///elsewhere/.greenhouse/mlartifacts")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with refused("follow_checkout.1", "mlflow.db: File too large", "`ulimit -f`", "disk I/O error"):
            follow_checkout(state)
        monkeypatch.setattr("flows.system.command.tempfile.TemporaryFile", lambda dir: full())
        with refused("follow_checkout.1", "No space left on device", "free space on the disk", "disk I/O error"):
            follow_checkout(state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    follow_checkout(state)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.pipeline
def test_gc_in_a_copied_checkout_leaves_the_original_as_it_was(toy_clone: PipelineClone, toy_mlflow: None) -> None:
    """It followed the addresses in the copied database, and deleted the weights of the original."""
    toy_clone.run_code(MODEL)
    (weights,) = toy_clone.root.glob(".greenhouse/mlartifacts/**/model.safetensors")
    copy = PipelineClone(toy_clone.root.with_name("copy"))
    shutil.copytree(toy_clone.root, copy.root, symlinks=True)
    before = addresses(toy_clone.root / ".greenhouse")
    assert "greenhouse-causal-1 version 1" in copy.run("greenhouse", "clean", "--unused", YES="1")
    assert not list(copy.root.glob(".greenhouse/mlartifacts/**/model.safetensors"))
    assert weights.read_bytes() == b"weights"
    assert addresses(toy_clone.root / ".greenhouse") == before
