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

from components.core.errors import UserError
from components.params import Files, Params
from flows.system import dvc, params_file, paths, recovery

SOURCE_FOLDERS = ("components", "flows", "eval_sets", "dvc.yaml")


@contextmanager
def worktree(name: str, params: Params, say: Callable[[str], None] = print) -> Iterator[Path]:
    """A checkout of the workspace's state with `params` in place; removed at the end, also after a failure.

    Raises:
        UserError: untracked files would be missing in it, which are named; git or DVC fails, whose words are shown.
    """
    refuse_untracked_sources()
    refuse_untracked_inputs(params)
    root = paths.WORKTREES / name
    root.parent.mkdir(parents=True, exist_ok=True)
    recovery.opened(name, worktree=str(root))
    try:
        _git("worktree", "add", "--quiet", "--detach", str(root), "HEAD")
        _bring_changes(root)
        params_file.write(root / "params.yaml", params)
        _share_cache(root)
        yield root
    finally:
        recovery.remove_worktree(root)


def refuse_untracked_sources() -> None:
    """A worktree holds tracked files alone: refuse to run without a file that the workspace has."""
    listed = _git("ls-files", "--others", "--exclude-standard", "--", *SOURCE_FOLDERS).split("\n")
    if untracked := [path for path in listed if path]:
        raise UserError(
            f"untracked source files would be missing in the experiment: {', '.join(untracked)}; `git add` them first"
        )


def refuse_untracked_inputs(params: Params) -> None:
    """Refuse to run without a file that `params` name by a relative path and that neither git nor DVC tracks."""
    missing = sorted({path for name in named_inputs(params) for path in _untracked(name)})
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(
            f"untracked files that the parameters name would be missing in the experiment: {shown}; `git add` them "
            "(`--force` if .gitignore names them), or give their absolute path"
        )


def named_inputs(params: Params) -> list[str]:
    """Files and folders of the checkout that `params` name: relative paths, which in a worktree mean other files."""
    sources = [source.path for source in params.ingest.sources if isinstance(source, Files)]
    named = [
        *(params.ingest.watch, params.ingest.opt_out, params.filter.decontaminate.items),
        *(params.evaluate.minimal_pairs, params.runtime.grid.series, *sources),
    ]
    return [name for name in named if name and not Path(name).is_absolute() and (paths.ROOT / name).exists()]


def _untracked(name: str) -> list[str]:
    """Files at or below a path that git does not track; none if a tracked `.dvc` file stands for the path."""
    path = os.path.relpath(paths.ROOT / name, paths.ROOT)
    if path.startswith(os.pardir):
        raise UserError(
            f"{name} leads out of the checkout: an experiment would not find it there; give its absolute path"
        )
    stand_ins = [f":(literal){one}.dvc" for one in (Path(path), *Path(path).parents) if one != Path(".")]
    if stand_ins and _git("ls-files", "--", *stand_ins):
        return []
    listed = _git("ls-files", "--others", "-z", "--", f":(literal){path}")
    return [one for one in listed.split("\0") if one]


def _bring_changes(root: Path) -> None:
    """Apply the uncommitted changes of tracked files, and bring the files a first run leaves untracked."""
    # Without external diff tools and renames, so that `git apply` understands it whatever the user's settings.
    if diff := _output(["git", "diff", "--no-ext-diff", "--binary", "HEAD"], paths.ROOT):
        _output(["git", "apply", "--whitespace=nowarn", "-"], root, diff)
    for path in ("dvc.lock", ".dvc/config.local"):
        if (paths.ROOT / path).exists() and not (root / path).exists():
            shutil.copy(paths.ROOT / path, root / path)


def _share_cache(root: Path) -> None:
    """Use the main checkout's DVC cache, and bring the outputs it has (a missing one is made by its stage)."""
    cache = (paths.ROOT / os.fsdecode(_output(dvc.command("cache", "dir"), paths.ROOT)).strip()).resolve()
    _output(dvc.command("cache", "dir", "--local", str(cache)), root)
    _output(dvc.command("checkout", "--allow-missing"), root)


def save(root: Path, name: str) -> None:
    """Save what the worktree holds as the DVC experiment `name`.

    Raises:
        UserError: DVC refuses; its last line is shown.
    """
    try:
        _output(dvc.command("exp", "save", "--name", name, "--force", "--include-untracked", "dvc.lock"), root)
    except UserError as error:
        raise UserError(f"{error}; the run's MLflow record is complete") from None


def _git(*arguments: str) -> str:
    return os.fsdecode(_output(["git", *arguments], paths.ROOT))


def _output(command: list[str], root: Path, given: bytes = b"") -> bytes:
    """What git or DVC prints when run in `root` with `given` as its input.

    Raises:
        UserError: it fails; the line that says why is shown.
    """
    done = subprocess.run(command, cwd=root, env=os.environ, input=given, capture_output=True)
    if done.returncode:
        said = os.fsdecode(done.stderr.strip() or done.stdout.strip() or b"no output").splitlines()
        line = next((one for one in said if one.startswith(("ERROR: ", "fatal: ", "error: "))), said[0])
        words = " ".join(command[2:] if command[1] == "-m" else command)
        raise UserError(f"{words} ended with status {done.returncode}: {line.removeprefix('ERROR: ')}")
    return done.stdout
