"""Clones of the project for the tests that run it: what a user has, at the size of tests/small.yaml."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from components import params as schema
from components.params import document, layout
from flows.system import params_file

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("PREFECT_", "MLFLOW_", "DVC_", "GREENHOUSE_", "GIT_", "HF_", "MPLCONFIGDIR", "TORCHINDUCTOR_")
"""Beginnings of variables that would point at another checkout; a test that settles its own process sets them all."""
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@localhost")
REMOTE = ("dvc", "remote", "add", "--local", "--default", "--force", "team")
"""Command that gives a clone its DVC remote; the folder follows."""

SWEEP = (
    "vocab_size=400", "train_megabytes=1.0", "depth=1", "widths=[16,24,32,48]", "budgets=[1.0e+9,2.0e+9,4.0e+9]",
    "steps=[2,200]", "checks=[2.0]", "seeds=2", "batch=4", "context=64", "bootstrap=20",
)  # fmt: skip
"""Settings of `greenhouse study scaling` at this size."""
LOGIN = {"PREFECT_API_AUTH_STRING": "test:login"}
"""Of the server that the commands of a clone share, as a team's may have one."""

SERVER = """
import sys
from flows.system import paths
from flows.system.prefect_server import prefect_server
with prefect_server() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@dataclass
class PipelineClone:
    """A clone: `run` starts a command in it as a user would.

    Within `prefect()` one Prefect server serves all commands; otherwise each that needs one starts one for itself.
    """

    root: Path
    api: str = ""

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, without what would point at another checkout. HOME is a folder that must stay empty."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        kept |= {"PREFECT_API_URL": self.api} | LOGIN if self.api else {}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # as in an activated venv
        return kept | {"HOME": str(self.root.parent / "home"), "PATH": path, "PYTHONPATH": str(self.root), **more}

    def start(self, *command: str, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen:
        """Start `python -m ...` or `greenhouse ...` in the clone, in a process group of its own."""
        module = "flows.cli" if command[0] == "greenhouse" else command[0]  # as the console script does
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", module, *command[1:]], cwd=self.root, env=self.environment(**more),
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str, prefix: tuple[str, ...] = (), expect: int = 0, **more: str) -> str:
        """Run `python -m ...` or `greenhouse ...` in the clone; its output. Fails if it does not exit with `expect`."""
        process = self.start(*command, prefix=prefix, **more)
        output, _ = process.communicate(timeout=540)
        assert process.returncode == expect, f"{command} exited {process.returncode}, not {expect}:\n{output[-6000:]}"
        return output

    def run_code(self, code: str) -> str:
        """What a few lines of Python print inside the clone."""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.root, env=self.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    @contextmanager
    def prefect(self) -> Iterator[None]:
        """Within: a Prefect server of this clone that all its commands use, as one of a team would be."""
        environment = self.environment(PREFECT_RUNNER_POLL_FREQUENCY="2", **LOGIN)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=self.root, env=environment,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert process.stdout
            self.api = next(line for line in process.stdout if line.startswith("http")).strip()
            yield
        finally:
            self.api = ""
            process.communicate(input="", timeout=60)

    def prefect_rows(self, query: str) -> list[tuple]:
        """Rows of Prefect's database, read as a file: a client, and a server where none runs, take seconds to start."""
        with closing(sqlite3.connect(self.root / ".greenhouse" / "prefect" / "prefect.db")) as database:
            return database.execute(query).fetchall()

    @property
    def mlflow(self) -> Any:
        """A client of the clone's MLflow database in this process."""
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.root / '.greenhouse' / 'mlflow.db'}")

    def mlflow_runs(self, query: str = "") -> list[Any]:
        """The clone's runs in MLflow, the newest first."""
        client = self.mlflow
        experiment = client.get_experiment_by_name("greenhouse")
        return list(client.search_runs([experiment.experiment_id], query, max_results=1000))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old` in a file of the clone; it must be there."""
        text = (self.root / path).read_text()
        assert old in text, f"{path} does not hold {old!r}"
        (self.root / path).write_text(text.replace(old, new, 1))

    def set(self, **values: Any) -> None:
        """Values into params.yaml, by dotted keys written with double underscores: `numerics__processes=2`."""
        path, given = self.root / "params.yaml", {key.replace("__", "."): value for key, value in values.items()}
        path.write_text(params_file.edited(path.read_text(), given))

    @contextmanager
    def setting(self, **values: Any) -> Iterator[None]:
        """Within: these values, as `set` takes them. After: the file, dvc.lock and all outputs as they were."""
        with self.edited("params.yaml"):
            self.set(**values)
            yield

    @contextmanager
    def without(self, path: str, aside: Path) -> Iterator[None]:
        """Within: an output's file is neither in the workspace nor in DVC's cache."""
        file = self.root / path
        md5 = hashlib.md5(file.read_bytes()).hexdigest()
        places = [file, *self.root.rglob(f"files/md5/{md5[:2]}/{md5[2:]}")]
        assert len(places) > 1
        aside.mkdir()
        for number, place in enumerate(places):
            place.rename(aside / str(number))
        try:
            yield
        finally:
            for number, place in enumerate(places):
                (aside / str(number)).rename(place)

    @contextmanager
    def edited(self, path: str, *changes: tuple[str, str]) -> Iterator[None]:
        """Within: the changes made. After: the file, dvc.lock and all outputs as they were."""
        original, lock = (self.root / path).read_text(), (self.root / "dvc.lock").read_text()
        for old, new in changes:
            self.edit(path, old, new)
        try:
            yield
        finally:
            (self.root / path).write_text(original)
            (self.root / "dvc.lock").write_text(lock)
            self.run("dvc", "checkout", "--force")

    def outputs(self) -> dict[str, str]:
        """Path -> DVC hash of every out in dvc.lock."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def write_params(root: Path, values: dict[str, Any] | None = None) -> Path:
    """The parameter files as they ship, but for some values; the path of params.yaml."""
    (root / "defaults.yaml").write_text(document.defaults_text())
    (root / "params.yaml").write_text(params_file.edited(document.params_text(), values or {}))
    return root / "params.yaml"


def until(condition: Callable[[], object], seconds: float = 240) -> bool:
    """Whether it came true within these seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(found)


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody reaps does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def make_clone(folder: Path) -> PipelineClone:
    """A clone of the working tree (uncommitted work too), with tests/small.yaml over its params.yaml, committed."""
    clone = PipelineClone(folder / "greenhouse")
    (folder / "home").mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name == "dvc.lock" or not (ROOT / name).exists():
            continue
        (clone.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone.root / name)
    small = layout.leaves(schema.read_tree(ROOT / "tests" / "small.yaml"))
    (clone.root / "params.yaml").write_text(params_file.edited((ROOT / "params.yaml").read_text(), small))
    clone.git("init", "--quiet", "--initial-branch", "main")
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "as cloned")
    return clone


def cloned(clone: PipelineClone, folder: Path) -> PipelineClone:
    """A teammate's clone of a clone's commits, whose DVC remote is the folder `remote` beside it."""
    (folder / "home").mkdir(parents=True)
    clone.git("clone", "--quiet", ".", str(folder / "greenhouse"))
    mate = PipelineClone(folder / "greenhouse")
    mate.run(*REMOTE, str(folder.parent / "remote"))
    return mate
