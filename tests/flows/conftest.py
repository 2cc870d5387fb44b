"""Clones of the project for the tests that run it: what a user has, at the size of presets/test.yaml."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_HOME", "GREENHOUSE_STATE", "GREENHOUSE_RUN", "GIT_DIR")
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@localhost")


@dataclass
class House:
    """A clone: `run` starts a command in it as a user would."""

    root: Path

    def environment(self, **more: str) -> dict[str, str]:
        """This process's, without what would point at another house. HOME is a folder that must stay empty."""
        kept = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # as in an activated venv
        return kept | {"HOME": str(self.root.parent / "home"), "PATH": path, "PYTHONPATH": str(self.root), **more}

    def start(self, *command: str, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen:
        """Start `python -m ...` in the clone, in a process group of its own."""
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", *command], cwd=self.root, env=self.environment(**more), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str, prefix: tuple[str, ...] = (), expect: int = 0, **more: str) -> str:
        """Run `python -m ...` in the clone; its output. Fails if it does not exit with `expect`."""
        process = self.start(*command, prefix=prefix, **more)
        output, _ = process.communicate(timeout=540)
        assert process.returncode == expect, f"{command} exited {process.returncode}, not {expect}:\n{output[-6000:]}"
        return output

    def run_code(self, code: str) -> str:
        """What a few lines of Python print inside the house."""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.root, env=self.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    def ask(self, code: str) -> str:
        """What a few lines of Python print inside the house, with a Prefect client `client` at hand."""
        head = (
            "from flows import house; house.settle()\n"
            "from flows.servers import prefect_server\n"
            "with prefect_server():\n"
            "    from prefect.client.orchestration import get_client\n"
            "    with get_client(sync_client=True) as client:\n"
        )
        return self.run_code(head + "\n".join("        " + line for line in code.strip().splitlines()))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old` in a file of the clone; it must be there."""
        text = (self.root / path).read_text()
        assert old in text, f"{path} does not hold {old!r}"
        (self.root / path).write_text(text.replace(old, new, 1))

    @contextmanager
    def edited(self, path: str, *changes: tuple[str, str]) -> Iterator[None]:
        """Within: the changes made. After: the file as it was, and the house up to date with it."""
        original = (self.root / path).read_text()
        for old, new in changes:
            self.edit(path, old, new)
        try:
            yield
        finally:
            (self.root / path).write_text(original)
            self.run("flows.pipeline")

    def outputs(self) -> dict[str, str]:
        """Path -> DVC hash of every out in dvc.lock."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def make_house(folder: Path) -> House:
    """A clone of the working tree as it is (uncommitted work too), with presets/test.yaml as params.yaml, committed."""
    house = House(folder / "greenhouse")
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
        (house.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, house.root / name)
    shutil.copy(ROOT / "presets" / "test.yaml", house.root / "params.yaml")
    house.git("init", "--quiet", "--initial-branch", "main")
    house.git("add", "--all")
    house.git("commit", "--quiet", "--message", "as cloned")
    return house


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file to one worker (`--dist loadgroup`), and all files that share a grown house to the same."""
    grown = {item.path for item in items if "grown_house" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("grown house" if item.path in grown else str(item.path)))


@pytest.fixture
def fresh_house(tmp_path: Path) -> House:
    """A clone in which nothing has run."""
    return make_house(tmp_path)


@pytest.fixture(scope="session")
def grown_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A clone in which the pipeline has run once. Tests share it: each leaves params, dvc.lock and git as they were."""
    house = make_house(tmp_path_factory.mktemp("grown"))
    (house.root / "first-run.log").write_text(house.run("flows.pipeline"))
    return house
