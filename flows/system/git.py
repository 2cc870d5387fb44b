"""Git commands in the checkout and its worktrees."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.core.errors import UserError
from components.core.files import read_json
from flows.system import paths, processes
from flows.system.processes import output
from flows.system.run_folder import write_private


def git(*arguments: str) -> str:
    """Output of a git command in the checkout.

    Raises:
        UserError: it fails.
    """
    return os.fsdecode(output(["git", *arguments], paths.ROOT))


def answer(*arguments: str) -> str:
    """Output of a git command, stripped; empty if it fails."""
    with suppress(UserError):
        return git(*arguments).strip()
    return ""


def commit() -> str:
    """The commit the checkout is at, with `+changes` if tracked files differ from it."""
    changed = answer("status", "--porcelain", "--untracked-files=no")
    return answer("rev-parse", "HEAD") + ("+changes" if changed else "")


def experiment_refs() -> dict[str, str]:
    """Reference -> commit of all that DVC keeps of experiments."""
    lines = answer("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    return {ref: commit for ref, _, commit in (line.rpartition(" ") for line in lines)}


def history() -> Iterator[tuple[str, bytes]]:
    """Path and content of every file's every version that git keeps, reached or not, and of messages of commits."""
    lines = (line.partition(" ") for line in answer("rev-list", "--objects", "--all").splitlines())
    names = {oid: name for oid, _, name in lines if name}
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    with subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while line := process.stdout.readline().decode():
            oid, kind, size = line.split()
            data = process.stdout.read(int(size) + 1)[:-1]
            if kind != "tree":
                yield names.get(oid, kind), data


def num_objects() -> int:
    """The number of objects that `history` yields."""
    kinds = answer("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    return len(kinds) - kinds.count("tree")


def other_worktrees() -> list[Path]:
    """The checkouts of this repository besides this one."""
    lines = answer("worktree", "list", "--porcelain").splitlines()
    roots = [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")]
    return [root for root in roots if root != paths.ROOT]


@contextmanager
def worktree(name: str, revision: str = "HEAD") -> Iterator[Path]:
    """A checkout of a commit, on record as long as it is there; removed at the end, also after a failure."""
    root = paths.WORKTREES / name
    write_private(_process_of(root), {"process": processes.process_tag()})
    try:
        git("worktree", "add", "--quiet", "--detach", str(root), revision)
        yield root
    finally:
        remove_worktree(root)


def remove_worktree(root: Path) -> None:
    """Remove a worktree of ours and git's record of it."""
    known_by = paths.lasting(paths.ROOT)  # a temporary clone by DVC knows none
    with suppress(UserError):  # git has no record of it
        output(["git", "worktree", "remove", "--force", str(root)], known_by)
    shutil.rmtree(root, ignore_errors=True)  # of a removal that was killed git knows nothing any more
    with suppress(UserError):
        output(["git", "worktree", "prune"], known_by)
    _process_of(root).unlink(missing_ok=True)


def worktrees_in_use() -> set[str]:
    """Names of worktrees whose process runs."""
    return {record.stem for record in paths.WORKTREES.glob("*.json") if _in_use(record)}


def remove_dead_worktrees() -> None:
    """Remove worktrees whose process is gone."""
    for record in paths.WORKTREES.glob("*.json"):
        if not _in_use(record):
            remove_worktree(record.with_suffix(""))


def _in_use(record: Path) -> bool:
    """Whether the process that a record of a worktree names runs; one cut short by a power cut names none."""
    try:
        process = read_json(record)["process"]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return processes.is_process_tag(process) and processes.tag_alive(process)


def _process_of(root: Path) -> Path:
    """The file that names the process which a worktree is of."""
    return root.with_name(f"{root.name}.json")


def copy_changes(root: Path) -> None:
    """Apply the uncommitted changes of tracked files to a worktree."""
    # Without external diff tools and renames, so that `git apply` understands it whatever the
    # user's settings.
    if diff := output(["git", "diff", "--no-ext-diff", "--binary", "HEAD"], paths.ROOT):
        output(["git", "apply", "--whitespace=nowarn", "-"], root, diff)
