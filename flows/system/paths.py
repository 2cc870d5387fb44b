"""Where things are: the checkout, and the state folder it shares with its worktrees.

`ROOT` is the checkout the code runs in (a worktree has its own). `STATE` is `.greenhouse/` of the *main* checkout, also
for worktrees and the folders in which `dvc exp run --temp` and `--queue` run, or what $GREENHOUSE_STATE names:
databases, logs, ledger, work folders; what DVC must neither delete nor hash.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from components.core.errors import UserError, clause

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params.yaml"
EXPERIMENT = "greenhouse"
MARKER = "checkout.json"
"""File of a state folder that says whose it is: {"checkout": the folder of the checkout that made it}."""


DVC_EXPERIMENTS = ".dvc/tmp/exps"
"""Where DVC clones a checkout for `dvc exp run --temp` and `--queue`; it removes the clone when the experiment ends."""


def lasting(root: Path) -> Path:
    """The checkout that outlives what runs in `root`: itself, or the one whose clone by DVC it is."""
    return next((above for above in root.parents if root.is_relative_to(above / DVC_EXPERIMENTS)), root)


def _state() -> Path:
    """$GREENHOUSE_STATE, else `.greenhouse/` of the checkout that owns this one: itself, or what a worktree, or
    a temporary clone by DVC, is of.

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
        of_checkout = state.name == ".greenhouse" and (state.parent / ".git").exists()
        if names and MARKER not in names and not of_checkout:
            raise UserError(f"GREENHOUSE_STATE={known}: a folder with other things in it; name an empty or a new one")
        return state
    root = lasting(ROOT)
    try:
        shown = subprocess.run(
            ["git", "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"],
            cwd=root, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError("git: no such command; install git, DVC and experiments need it") from None
    if shown.returncode and "dubious ownership" in shown.stderr:
        raise UserError(
            f"{root}: belongs to another user, so git refuses it; clone it as yourself, chown it, or trust it: "
            f"git config --global --add safe.directory '{root}'"
        )
    lines = shown.stdout.splitlines()
    if shown.returncode or Path(lines[0]) != root:
        raise UserError(f"{root}: no git repository; clone the project with git, or run `git init` here")
    state = Path(lines[1]).parent / ".greenhouse"
    if state.is_symlink():
        raise UserError(f"{state}: a link is not followed; `export GREENHOUSE_STATE={state.resolve()}`, or remove it")
    return state


try:
    STATE = _state()
except UserError as error:  # every command imports this module first, before it can catch anything
    sys.exit(str(error))
LEDGER = STATE / "ledger"
LOGS = STATE / "logs"
"""Of servers; those of a stage lie with its run."""
RUNS = STATE / "runs"
FINDINGS, CACHES = STATE / "findings", STATE / "caches"
"""What was found out of models and texts by work that nobody wants to do twice; what libraries keep."""
WORK = STATE / "work"
WORKTREES = STATE / "worktrees"
DVC_CACHE, DVC_CONFIG = STATE / "dvc", STATE / "dvc-config"
"""DVC's site cache, from which it unpickles, and its configuration: apart, since DVC opens the former to everyone."""


SERVERS = STATE / "servers.json"
"""Written by `make up`, for its owner alone: {"pid", "started" (`start_of`), "state" (`STATE`; in a copied checkout it
is that of the original, and so are the servers), the addresses, the logins it made}."""


def mark_state() -> None:
    """Write into a state folder whose it is, if that does not stand there: deleting is its checkout's alone."""
    marker = STATE / MARKER
    if not marker.exists():
        owner = STATE.parent if STATE.name == ".greenhouse" and (STATE.parent / ".git").exists() else lasting(ROOT)
        with suppress(OSError):  # a full disk, say; what is written there next says so
            marker.write_text(json.dumps({"checkout": str(owner)}) + "\n")


def state_owner() -> Path:
    """The checkout that a state folder is of: the one it lies in, else the one that its marker names."""
    if STATE.parent == ROOT:
        return ROOT
    try:
        return Path(json.loads((STATE / MARKER).read_text())["checkout"])
    except (OSError, ValueError, LookupError, TypeError):
        return STATE.parent
