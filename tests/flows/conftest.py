"""Clones of the project that tests share or get to themselves; what a clone is, pipeline_clone.py and toy.py say."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import cli
from flows.system import paths, processes
from flows.tracking.snapshots import ObjectCache
from tests.flows.pipeline_clone import PipelineClone, make_clone, write_params
from tests.flows.toy import BIN, DVC_YAML, PROGRAM
from tests.shared_folder import shared

OUTPUTS = "finished-outputs.json"
BOTH_DATABASES = """
import flows
from flows.system.prefect_server import prefect_server
with prefect_server():
    import mlflow
    mlflow.MlflowClient().search_experiments()
"""


@pytest.fixture
def checkout_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Moves the checkout of this process to a folder: its root, and `.greenhouse` in it with all that lies there."""

    def move(root: Path) -> Path:
        own = {name: value for name, value in vars(paths).items() if isinstance(value, Path)}
        for name, value in own.items():
            for old, new in ((own["STATE"], root / ".greenhouse"), (own["ROOT"], root)):
                if value.is_relative_to(old):
                    monkeypatch.setattr(paths, name, new / value.relative_to(old))
                    break
        return root

    return move


@pytest.fixture
def checkout(checkout_at: Callable[[Path], Path], tmp_path: Path) -> Path:
    """`tmp_path` as the checkout of this process, with the parameter files as they ship."""
    write_params(tmp_path)
    return checkout_at(tmp_path)


@pytest.fixture
def greenhouse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a verb in this process; what it prints."""

    def verb(*words: object) -> str:
        assert cli.answer([*map(str, words)]) == 0
        return capsys.readouterr().out

    return verb


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DVC's cache in a folder of its own, without a remote; `put` fills it."""
    monkeypatch.setattr(ObjectCache, "__post_init__", lambda self: setattr(self, "folder", tmp_path / "md5"))
    monkeypatch.setattr(ObjectCache, "pull", lambda self, hashes: None)
    return tmp_path / "md5"


@pytest.fixture
def fresh_clone(tmp_path: Path) -> PipelineClone:
    """A clone in which nothing has run."""
    return make_clone(tmp_path)


@pytest.fixture
def migrated_clone(tmp_path: Path, databases: Path) -> PipelineClone:
    """A clone in which nothing has run, but its databases are there: to make them takes longer than many a test."""
    clone = make_clone(tmp_path)
    shutil.copytree(databases, clone.root / ".greenhouse")
    return clone


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State folder of a clone in which Prefect and MLflow have made their databases, and nothing else."""
    with shared(tmp_path_factory, "databases") as state:
        if not state.exists():
            clone = make_clone(tmp_path_factory.mktemp("migrated"))
            clone.run_code(BOTH_DATABASES)
            state.mkdir(mode=0o700)
            for name in ("mlflow.db", "versions.json"):
                shutil.copy(clone.root / ".greenhouse" / name, state)
            shutil.copytree(clone.root / ".greenhouse" / "prefect", state / "prefect")
    return state


@pytest.fixture(scope="session")
def mlflow_pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables and nothing in them: to make them takes longer than many a test."""
    with shared(tmp_path_factory, "mlflow.db") as path:
        if not path.exists():
            from mlflow import MlflowClient

            MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_tables(mlflow_pattern: Path, tmp_path: Path) -> None:
    """An MLflow database in `tmp_path`."""
    shutil.copy(mlflow_pattern, tmp_path / "mlflow.db")


@pytest.fixture(scope="session")
def finished_clone(tmp_path_factory: pytest.TempPathFactory, databases: Path) -> Iterator[PipelineClone]:
    """A clone in which the pipeline has run once, with two workers, and a Prefect server for it.

    Tests share both: each leaves params, dvc.lock and git as they were. What they run in it has one worker, which
    changes no byte (test_kill.py): two that import torch to evaluate twenty items take longer than this one process.
    """
    clone = make_clone(tmp_path_factory.mktemp("finished"))
    shutil.copytree(databases, clone.root / ".greenhouse")
    with clone.prefect():
        with shared(tmp_path_factory, OUTPUTS) as outputs:
            (clone.root / "first-run.log").write_text(clone.run("greenhouse", "run"))
            outputs.write_text(json.dumps(clone.outputs()))
        clone.edit("params.yaml", "  workers: 2", "  workers: 1")
        clone.git("commit", "--quiet", "--all", "--message", "one worker")
        yield clone


@pytest.fixture
def finished_outputs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], dict[str, str]]:
    """Gives path -> DVC hash of what the pipeline makes undisturbed; call it late: another process may still run it."""

    def outputs() -> dict[str, str]:
        with shared(tmp_path_factory, OUTPUTS) as path:
            known = json.loads(path.read_text()) if path.exists() else {}
        return known or request.getfixturevalue("finished_clone").outputs()

    return outputs


@pytest.fixture(scope="session")
def toy_pattern(tmp_path_factory: pytest.TempPathFactory) -> PipelineClone:
    """The miniature clone that each test gets a copy of."""
    with shared(tmp_path_factory, "toy") as folder:
        if not folder.exists():
            clone = make_clone(tmp_path_factory.mktemp("toy"))
            (clone.root / "dvc.yaml").write_text(DVC_YAML)
            (clone.root / "components" / "toy.py").write_text(PROGRAM)
            clone.run("dvc", "repro", **BIN)
            clone.git("add", "--all")
            clone.git("commit", "--quiet", "--message", "in miniature")
            clone.git("tag", "first")
            clone.root.parent.rename(folder)
    return PipelineClone(folder / "greenhouse")


@pytest.fixture
def toy_clone(toy_pattern: PipelineClone, tmp_path: Path) -> PipelineClone:
    """A clone whose DAG is the miniature one, run once, dvc.lock committed and tagged `first`."""
    shutil.copytree(toy_pattern.root.parent, tmp_path / "copy", symlinks=True)
    return PipelineClone(tmp_path / "copy" / toy_pattern.root.name)


@pytest.fixture
def toy_mlflow(toy_clone: PipelineClone, mlflow_pattern: Path) -> None:
    """An MLflow database in the miniature clone, for tests of what would make one: most commands do not."""
    state = toy_clone.root / ".greenhouse"
    state.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(mlflow_pattern, state / "mlflow.db")


@pytest.fixture
def ended() -> str:
    """The tag of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = processes.process_tag(process.pid)
    process.communicate(b"\n")
    return tag
