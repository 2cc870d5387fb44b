"""Entry of all commands, which finds the code of the right checkout. Standard library only."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def enter_checkout(line: Sequence[str]) -> None:
    """Have the console script run the code of the checkout that holds the current folder, not where it is installed.

    Args:
        line: of this process, interpreter first: a worker of a pool has the `sys.argv` of its
            parent.
    """
    if len(line) < 2 or Path(line[1]).name != "greenhouse":
        return
    cwd = Path.cwd()
    root = next((folder for folder in (cwd, *cwd.parents) if (folder / "flows/cli.py").is_file()), None)
    if root is None:
        sys.exit(f"greenhouse: {cwd} is in no checkout of Greenhouse; change into one, or clone the project")
    if root.resolve() != ROOT:
        code = f"import sys; sys.path.insert(0, {str(root)!r}); from flows.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *sys.argv[1:]])
