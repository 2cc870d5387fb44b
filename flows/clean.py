"""`greenhouse clean`: what is there, how much it is, and only then removing it."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from components.core.errors import UserError
from flows.system import environment, git, paths
from flows.system.disk import Removable, human, removable
from flows.system.run_folder import open_runs
from flows.system.work_folder import in_use
from flows.tracking import garbage

LEFTOVERS = ("build", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
SOURCES = ("components", "flows", "recorder", "tests", "benchmarks", ".ci")
MADE = ("data", "models", "reports", "exports", "downloads", "dvc.lock", ".dvc/cache", ".dvc/tmp", ".dvc/config.local")


def of_paths(files: Iterable[Path]) -> list[Removable]:
    """The files that exist, as items. Raises `UserError`: one is not this checkout's own."""
    return [removable(shown(path), path) for path in files if path.exists() or path.is_symlink()]


def shown(path: Path) -> str:
    """A path as a person wants to read it: relative to the project where it lies in it."""
    for base in (paths.ROOT, paths.STATE.parent):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


# -- leftovers ---------------------------------------------------------------------------------------------------------


def leftovers() -> list[Path]:
    """Caches of tools and compiled Python."""
    compiled = [path for source in SOURCES for path in sorted((paths.ROOT / source).rglob("__pycache__"))]
    return [*(paths.ROOT / name for name in LEFTOVERS), *compiled]


def idle_work_folders() -> list[Path]:
    """Work folders (`work/<stage>/<fingerprint>`) that hold more than a lock, and whose lock is free."""
    holding = sorted({path.parent for path in paths.WORK.glob("*/*/*") if path.name != "lock"})
    return [folder for folder in holding if not in_use(folder)]


# -- everything --------------------------------------------------------------------------------------------------------


def everything(ledger_too: bool) -> list[Removable]:
    """All that Greenhouse made in this checkout, experiments too; the environment last."""
    state = [path for path in sorted(paths.STATE.glob("*")) if ledger_too or path != paths.LEDGER]
    files = [*leftovers(), *paths.ROOT.glob("*.egg-info"), *state, *(paths.ROOT / name for name in MADE)]
    return of_paths(files) + experiments() + of_paths([paths.ROOT / ".venv"])


def experiments() -> list[Removable]:
    """DVC's experiments: git references under refs/exps, and worktrees that a kill left."""
    refs = git.experiment_refs()

    def remove() -> None:
        for ref in refs:
            git.git("update-ref", "-d", ref)
        git.git("worktree", "prune")

    return [Removable(f"{len(refs)} references of DVC experiments", 0, remove)] if refs else []


def refuse_while_running() -> None:
    """Raise `UserError` if a run or the servers are up: they would lose their files."""
    if environment.running_servers():
        raise UserError("`greenhouse up` is running; stop it first (Ctrl-C there)")
    if running := {run.name for run in open_runs() if run.alive} | git.worktrees_in_use():
        raise UserError(f"runs are going on: {', '.join(sorted(running))}; wait for them or stop them first")


# -- asking ------------------------------------------------------------------------------------------------------------


def show(items: list[Removable], notes: list[str], most: int = 12) -> int:
    """List the items, largest first, those after `most` together. Returns the sum of bytes."""
    total = sum(item.num_bytes for item in items)
    ordered = sorted(items, key=lambda item: -item.num_bytes)
    for item in ordered[:most]:
        size = human(item.num_bytes) if item.num_bytes else ""  # an experiment or what is in a remote has none here
        print(f"{size:>10}  {item.label}")
    if rest := ordered[most:]:
        print(f"{human(sum(item.num_bytes for item in rest)):>10}  {len(rest)} more")
    print(f"{human(total):>10}  in all")
    for note in notes:
        print(note)
    return total


def agreed(word: str) -> bool:
    """Whether the user says so: `YES=1`, or `word` typed at a terminal."""
    if os.environ.get("YES") == "1":
        return True
    if not sys.stdin.isatty():
        print("nothing was done: there is no terminal to ask at; YES=1 in front of the command agrees")
        return False
    return input(f"Type {word} to go on: ").strip() == word


def carry_out(items: list[Removable], notes: list[str], word: str, most: int = 12) -> int:
    """Show, ask, remove. Returns the exit status."""
    if not items:
        print("nothing to remove")
        return 0
    total = show(items, notes, most)
    if not agreed(word):
        return 1
    for item in items:
        item.remove()
    print(f"removed {human(total)}")
    return 0


def leftover_items() -> list[Removable]:
    """Leftovers of tools and killed stages."""
    state = [paths.CACHES / name for name in ("matplotlib", "inductor")]
    return of_paths([*leftovers(), *state, *idle_work_folders()])


def use() -> None:
    """Print what each way of cleaning would free."""
    ways = {"--leftovers": leftover_items(), "--unused": garbage.unused()[0], "--all": everything(False)}
    for flag, items in ways.items():
        freed = human(sum(item.num_bytes for item in items))
        print(f"{freed:>10}  {SHORT[flag]}: `greenhouse clean {flag}`")


SHORT = {
    "--leftovers": "build leftovers, and work folders in which killed stages would resume",
    "--unused": "DVC's cache and MLflow's models that nothing names any more",
    "--all": "everything Greenhouse made, .venv and dvc.lock too, but the energy ledger",
}


GOES = "dvc.lock goes, even if git tracks it (`git checkout dvc.lock` undoes that), and .venv (`make demo` makes one)."
"""What --all takes that other commands count on."""


def clean(*, leftovers: bool = False, unused: bool = False, all: bool = False, ledger: bool = False) -> int:
    """Disk use, and giving room back: what is there, how much it is, and only then removing it.

    greenhouse clean                   what each of these would free
    greenhouse clean --leftovers       build leftovers, and the work folders in which killed stages would resume
    greenhouse clean --unused          DVC's cache and MLflow's models that nothing names any more
    greenhouse clean --all             everything Greenhouse made, .venv and dvc.lock too; the ledger with --ledger

    Each lists what it would remove, in bytes, and asks; `YES=1` in front answers. `--unused` keeps the workspace, git
    tags, runs and models that are `champion` or `challenger` or carry the MLflow tag `keep`, and experiments named like
    such a run.

    Args:
        leftovers: remove what tools and killed stages left.
        unused: remove what nothing names any more.
        all: remove everything Greenhouse made.
        ledger: with --all, the energy ledger too.
    """
    if leftovers + unused + all > 1 or (ledger and not all):
        raise UserError("--leftovers, --unused and --all go one at a time, and --ledger with --all; leave the rest out")
    if leftovers:
        return carry_out(leftover_items(), ["Stages that were interrupted will start anew. Results are kept."], "yes")
    if not (unused or all):
        use()
        return 0
    refuse_while_running()
    if all:
        kept = f"Kept: the energy ledger, {shown(paths.LEDGER)} (--ledger removes it)."
        ledger_notes = ["The energy ledger goes too." if ledger else kept]
        return carry_out(everything(ledger), [GOES, *ledger_notes], "purge")
    items, notes = garbage.unused()
    return carry_out(items, notes, "yes")
