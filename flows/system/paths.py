"""Where things are: the checkout, and the state folder it shares with its worktrees.

`ROOT` is the checkout the code runs in (a worktree has its own). `STATE` is `.greenhouse/` of the *main* checkout, also
for worktrees, or what $GREENHOUSE_STATE names: databases, logs, ledger, work folders; what DVC must neither delete nor
hash.
"""

import os
import subprocess
import sys
from pathlib import Path

from components.core.errors import UserError, clause

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "greenhouse"


def _state() -> Path:
    """$GREENHOUSE_STATE, else `.greenhouse/` of the checkout that owns this one: itself, or what a worktree is of.

    Raises:
        UserError: git is missing or refuses the folder, this is no git repository, or what is named is no folder of its
            own: what is in it is kept from other users.
    """
    if known := os.environ.get("GREENHOUSE_STATE"):
        state = Path(known).expanduser().resolve()
        try:
            names = {path.name for path in state.iterdir()}
        except FileNotFoundError:
            return state
        except OSError as error:
            raise UserError(f"GREENHOUSE_STATE={known}: {clause(error)}; name a folder") from None
        if names and not names & {"dvc-config", "mlflow.db", "ledger"}:
            raise UserError(f"GREENHOUSE_STATE={known}: a folder with other things in it; name an empty or a new one")
        return state
    try:
        shown = subprocess.run(
            ["git", "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError("git: no such command; install git, DVC and experiments need it") from None
    if shown.returncode and "dubious ownership" in shown.stderr:
        raise UserError(
            f"{ROOT}: belongs to another user, so git refuses it; clone it as yourself, chown it, or trust it: "
            f"git config --global --add safe.directory '{ROOT}'"
        )
    lines = shown.stdout.splitlines()
    if shown.returncode or Path(lines[0]) != ROOT:
        raise UserError(f"{ROOT}: no git repository; clone the project with git, or run `git init` here")
    return Path(lines[1]).parent / ".greenhouse"


try:
    STATE = _state()
except UserError as error:  # every command imports this module first, before it can catch anything
    sys.exit(str(error))
LEDGER = STATE / "ledger"
LOGS = STATE / "logs"
WORK = STATE / "work"
WORKTREES = STATE / "worktrees"
DVC_CACHE, DVC_CONFIG = STATE / "dvc", STATE / "dvc-config"
"""DVC's site cache, from which it unpickles, and its configuration: apart, since DVC opens the former to everyone."""


SERVERS = STATE / "servers.json"
"""Written by `make up`, for its owner alone: {"pid", "started" (`start_of`), the addresses, the logins it made}."""
