"""A run with other identity values than params.yaml: an experiment that leaves the workspace as it is.

It runs in a worktree of HEAD plus the uncommitted changes to tracked files (and dvc.lock, which a
first run leaves untracked), shares the DVC cache, does only what the override touches, and is saved
as a DVC experiment under the name of its Prefect run. `dvc exp show` lists it, `dvc exp apply NAME`
brings it into the workspace.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import UserError
from components.params import Files, Params
from flows.system import dvc, git, params_file, paths

SOURCE_FOLDERS = ("components", "flows", "recorder", "eval_sets", "dvc.yaml")
OUTPUTS = ("data/", "models/")
"""Where stages write: DVC brings these into a worktree."""


@contextmanager
def worktree(name: str, params: Params) -> Iterator[Path]:
    """A checkout of the workspace's state with `params` in place; removed at the end, also after a failure.

    Raises:
        UserError: untracked files would be missing in it, which are named; git or DVC fails, whose
            words are shown.
    """
    refuse_untracked_sources()
    refuse_untracked_inputs(params)
    with git.worktree(name) as root:
        git.copy_changes(root)
        for path in ("dvc.lock", ".dvc/config.local"):  # which a first run leaves untracked
            if (paths.ROOT / path).exists() and not (root / path).exists():
                shutil.copy(paths.ROOT / path, root / path)
        params_file.write(root / "params.yaml", params)
        _share_cache(root)
        yield root


def refuse_until(stage: str, params: Params, configured: Params) -> None:
    """`dvc exp save` would record stages left out as made from the new values: an experiment runs to the end."""
    if params.identity() != configured.identity():
        raise UserError(
            f"until {stage}: changed values make an experiment, which always runs to the end; leave out either the "
            "stage or the values, or write the values into params.yaml first"
        )


def refuse_untracked_sources() -> None:
    """A worktree holds tracked files alone: refuse to run without a file that the workspace has."""
    listed = git.git("ls-files", "--others", "--exclude-standard", "--", *SOURCE_FOLDERS).split("\n")
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
    tuned = params.finetune.stages().values()
    tuning = [name for branch in tuned for name in (branch.data, branch.base) if not name.startswith(OUTPUTS)]
    names = [
        *(params.ingest.watch, params.ingest.opt_out, params.filter.decontaminate.items),
        *(params.runtime.grid.series, *sources),
        *tuning,
    ]
    return [name for name in names if name and not Path(name).is_absolute() and (paths.ROOT / name).exists()]


def _untracked(name: str) -> list[str]:
    """Files at or below a path that git does not track; none if a tracked `.dvc` file stands for the path."""
    path = os.path.relpath(paths.ROOT / name, paths.ROOT)
    if path.startswith(os.pardir):
        raise UserError(
            f"{name} leads out of the checkout: an experiment would not find it there; give its absolute path"
        )
    stand_ins = [f":(literal){parent}.dvc" for parent in (Path(path), *Path(path).parents) if parent != Path(".")]
    if stand_ins and git.git("ls-files", "--", *stand_ins):
        return []
    listed = git.git("ls-files", "--others", "-z", "--", f":(literal){path}")
    return [name for name in listed.split("\0") if name]


def _share_cache(root: Path) -> None:
    """Use the main checkout's DVC cache, and bring the outputs it has (a missing one is made by its stage)."""
    cache = (paths.ROOT / dvc.run("cache", "dir").strip()).resolve()
    dvc.run("cache", "dir", "--local", str(cache), root=root)
    dvc.run("checkout", "--allow-missing", root=root)


def save(root: Path, name: str) -> None:
    """Save what the worktree holds as the DVC experiment `name`.

    Raises:
        UserError: DVC refuses; its last line is shown.
    """
    dvc.run("exp", "save", "--name", name, "--force", "--include-untracked", "dvc.lock", root=root)
