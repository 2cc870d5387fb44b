"""Git commands in the checkout and its worktrees."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.core.errors import UserError
from flows.system import paths, recovery
from flows.system.processes import output


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


@contextmanager
def worktree(name: str, at: str = "HEAD") -> Iterator[Path]:
    """A checkout of a commit, on record as long as it is there; removed at the end, also after a failure."""
    root = paths.WORKTREES / name
    root.parent.mkdir(parents=True, exist_ok=True)
    recovery.opened(name, worktree=str(root))
    try:
        git("worktree", "add", "--quiet", "--detach", str(root), at)
        yield root
    finally:
        recovery.remove_worktree(root)
        recovery.closed(name)


def copy_changes(root: Path) -> None:
    """Apply the uncommitted changes of tracked files to a worktree."""
    # Without external diff tools and renames, so that `git apply` understands it whatever the user's settings.
    if diff := output(["git", "diff", "--no-ext-diff", "--binary", "HEAD"], paths.ROOT):
        output(["git", "apply", "--whitespace=nowarn", "-"], root, diff)
