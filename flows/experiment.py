"""A run with other identity values than params.yaml: an experiment that leaves the workspace as it is.

It runs in a worktree of HEAD plus the uncommitted changes to tracked files (and dvc.lock, which a first run leaves
untracked), shares the DVC cache, does only what the override touches, and is saved as a DVC experiment under the name
of its Prefect run. `dvc exp show` lists it, `dvc exp apply NAME` brings it into the workspace.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from components.errors import UserError
from components.params import Params
from flows import house, open_runs

SOURCE_FOLDERS = ("components", "flows", "exams", "dvc.yaml")


@contextmanager
def worktree(name: str, params: Params, say: Callable[[str], None] = print) -> Iterator[Path]:
    """A checkout of the workspace's state with `params` in place; removed at the end, also after a failure.

    Raises:
        UserError: untracked source files would be missing in it; they are named.
    """
    refuse_untracked_sources()
    root = house.WORKTREES / name
    root.parent.mkdir(parents=True, exist_ok=True)
    open_runs.opened(name, worktree=str(root))
    _git("worktree", "add", "--quiet", "--detach", str(root), "HEAD")
    try:
        _bring_changes(root)
        edit_params(root / "params.yaml", params)
        _share_cache(root)
        yield root
    finally:
        open_runs.remove_worktree(root)


def refuse_untracked_sources() -> None:
    """A worktree holds tracked files alone: refuse to run without a file that the workspace has."""
    listed = _git("ls-files", "--others", "--exclude-standard", "--", *SOURCE_FOLDERS).split("\n")
    if untracked := [path for path in listed if path]:
        raise UserError(
            f"untracked source files would be missing in the experiment: {', '.join(untracked)}; `git add` them first"
        )


def _bring_changes(root: Path) -> None:
    """Apply the uncommitted changes of tracked files, and bring the files a first run leaves untracked."""
    # Without external diff tools and renames, so that `git apply` understands it whatever the user's settings.
    diff = subprocess.run(
        ["git", "diff", "--no-ext-diff", "--binary", "HEAD"], cwd=house.ROOT, check=True, capture_output=True
    )
    if diff.stdout:
        subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], cwd=root, input=diff.stdout, check=True)
    for path in ("dvc.lock", ".dvc/config.local"):
        if (house.ROOT / path).exists() and not (root / path).exists():
            shutil.copy(house.ROOT / path, root / path)


def edit_params(path: Path, params: Params) -> None:
    """Write `params` into a params.yaml, keeping its comments and the form of values that stay."""
    yaml = YAML()
    yaml.width = 10_000
    yaml.preserve_quotes = True
    tree = yaml.load(path.read_text())
    _merge(tree, params.model_dump(mode="json"))
    with open(path, "w") as file:
        yaml.dump(tree, file)


def _merge(tree: dict, values: dict) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict) and value:
            for gone in set(tree[key]) - set(value):
                del tree[key][gone]
            _merge(tree[key], value)
        elif key not in tree or tree[key] != value:
            tree[key] = value


def _share_cache(root: Path) -> None:
    """Use the main checkout's DVC cache, and bring the outputs it has (a missing one is made by its stage)."""
    cache = subprocess.run(
        house.dvc("cache", "dir"), cwd=house.ROOT, env=os.environ, check=True, capture_output=True, text=True
    ).stdout.strip()  # fmt: skip
    absolute = (house.ROOT / cache).resolve()
    subprocess.run(
        house.dvc("cache", "dir", "--local", str(absolute)), cwd=root, env=os.environ, check=True, capture_output=True
    )
    subprocess.run(house.dvc("checkout", "--quiet"), cwd=root, env=os.environ, capture_output=True)


def save(root: Path, name: str) -> None:
    """Save what the worktree holds as the DVC experiment `name`.

    Raises:
        UserError: DVC refuses; its last line is shown.
    """
    command = house.dvc("exp", "save", "--name", name, "--force", "--include-untracked", "dvc.lock")
    saved = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True)
    if saved.returncode:
        raise UserError(
            f"dvc exp save {name}: {saved.stderr.strip().splitlines()[-1:]}; the run's MLflow record is complete"
        )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=house.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
