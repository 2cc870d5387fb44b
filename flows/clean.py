"""`greenhouse clean`: what is there, how much it is, and only then removing it."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from components.core.errors import UserError
from components.core.files import folder_md5, md5s_below
from flows.system import dvc, environment, git, paths
from flows.system.disk import Removable, human, is_own, removable, together
from flows.system.run_folder import open_runs
from flows.system.work_folder import in_use
from flows.tracking import garbage
from flows.tracking.snapshots import ObjectCache, Snapshot, committed, dvc_files, find
from flows.tracking.snapshots import experiments as snapshots_of_experiments

LEFTOVERS = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
SOURCES = ("components", "flows", "recorder", "tests", "benchmarks", ".ci")
OUTPUTS = ("data", "models", "reports")
KEPT = (*OUTPUTS, "exports", "downloads", ".dvc/config.local")
"""Places that may hold what people put there or asked for: what no record names there stays, and is listed."""
LISTED = 40
"""Lines at most about what is left."""
STATE_PARTS = (
    "caches", "code", "dvc", "dvc-config", "findings", "ledger", "logs", "mlartifacts", "mlflow.db", "mlflow.lock",
    "prefect", "runs", "servers.json", "versions.json", "work", "worktrees", paths.MARKER,
)  # fmt: skip
"""Names in a state folder that this project writes, and copies of its databases before an upgrade."""


def of_paths(files: Iterable[Path]) -> list[Removable]:
    """The files that exist, as items. Raises `UserError`: one is not this checkout's own."""
    return [removable(shown(path), path) for path in files if path.exists() or path.is_symlink()]


def shown(path: Path) -> str:
    """A path as a person wants to read it: relative to the checkout where it lies in it, else whole."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else str(path)


# -- leftovers ---------------------------------------------------------------------------------------------------------


def leftovers() -> list[Path]:
    """Caches of tools and compiled Python."""
    compiled = [path for source in SOURCES for path in sorted((paths.ROOT / source).rglob("__pycache__/*.pyc"))]
    written = {path: re.fullmatch(r"\..+\.(\d+)\.tmp", path.name) for path in sorted(paths.STATE.rglob(".*.tmp"))}
    killed = [path for path, match in written.items() if match and not psutil.pid_exists(int(match[1]))]
    return [*(paths.ROOT / name for name in LEFTOVERS), *compiled, *killed]


def idle_work_folders() -> list[Path]:
    """Work folders (`work/<stage>/<fingerprint>`) that hold more than a lock, and whose lock is free."""
    holding = sorted({path.parent for path in paths.WORK.glob("*/*/*") if path.name != "lock"})
    return [folder for folder in holding if not in_use(folder)]


# -- everything --------------------------------------------------------------------------------------------------------


def everything(ledger_too: bool) -> list[Removable]:
    """All that a record says Greenhouse made in this checkout, experiments too; the environment last."""
    files = [*leftovers(), *paths.ROOT.glob("greenhouse*.egg-info/*"), paths.ROOT / "dvc.lock", paths.ROOT / ".dvc/tmp"]
    items = outputs() + cached() + of_paths([*files, *(state_parts(ledger_too) if owns_state() else [])])
    installed = [paths.ROOT / ".venv"] if list((paths.ROOT / ".venv").glob("installed*")) else []
    return items + (experiments() if owns_state() else []) + of_paths(installed)


def owns_state() -> bool:
    """Whether the state folder and the repository's experiments are this checkout's, not those it is a worktree of."""
    return paths.state_owner() == paths.ROOT


def state_parts(ledger_too: bool) -> list[Path]:
    """What this project writes into a state folder."""
    copies = paths.STATE.glob("mlflow*-before-*.db")
    known = [*(paths.STATE / name for name in STATE_PARTS), *paths.STATE.glob("mlflow.db-*"), *copies]
    return [path for path in known if ledger_too or path not in (paths.LEDGER, paths.STATE / paths.MARKER)]


def outputs() -> list[Removable]:
    """The files of each output of dvc.lock, as one item."""
    return [
        together(out, [*(removable(out, file) for file in files), _emptied(paths.ROOT / out)])
        for out, files in recorded_files().items()
    ]


def recorded_files() -> dict[str, list[Path]]:
    """Output of dvc.lock -> the files in it that have the bytes that dvc.lock records."""
    store, found = ObjectCache(), dict[str, list[Path]]()
    for out, md5 in Snapshot("workspace", "workspace", dvc.lock()).outputs().items():
        path = paths.ROOT / out
        if out.split("/")[0] in OUTPUTS and path.exists():
            listed = store.files(md5) if not md5.endswith(".dir") or store.path(md5).exists() else {}
            there = md5s_below(path)
            listed = listed or (there if folder_md5(there) == md5 else {})
            if files := [path / name if name else path for name, value in there.items() if listed.get(name) == value]:
                found[out] = files
    return found


def _emptied(folder: Path) -> Removable:
    """Folders below one, itself and those above it in the checkout, as far as nothing is left in them."""

    def remove() -> None:
        below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True) if folder.is_dir() else []
        for path in [*below, folder, *folder.parents]:
            if path == paths.ROOT or not path.is_dir() or path.is_symlink() or any(path.iterdir()):
                if path in folder.parents:
                    return
                continue
            path.rmdir()

    return Removable("", 0, remove)


def cached() -> list[Removable]:
    """Objects of DVC's cache that a dvc.lock of this repository names, and none of its .dvc files.

    Others may have no other copy, such as adopted models, or data of another branch.
    """
    store = ObjectCache()
    if not is_own(store.folder):
        return []

    def named(states: Iterable[Snapshot]) -> set[str]:
        found = {md5 for state in states for md5 in state.outputs().values()}
        there = [md5 for md5 in found if md5.endswith(".dir") and store.path(md5).exists()]
        return found | {md5 for folder in there for md5 in store.files(folder).values()}

    locks = [Snapshot("workspace", "workspace", dvc.lock()), *committed(), *map(find, snapshots_of_experiments())]
    kept, whole = named(dvc_files()), paths.ROOT / ".dvc/cache"
    ours = sorted(store.path(md5) for md5 in named(locks) - kept if store.path(md5).exists())
    objects = [removable("", path) for path in ours]
    runs = of_paths([whole / "runs"]) if store.folder.is_relative_to(whole) else []
    return [together(f"{len(objects)} objects of DVC's cache", [*objects, *runs, _emptied(whole)])]


def left_alone() -> list[str]:
    """A line for what --all leaves: whose it is, or that no record of this checkout names it."""
    lines = [] if owns_state() else [f"Left: {paths.STATE}, the state folder of {paths.state_owner()}; clean it there."]
    going = {file for files in recorded_files().values() for file in files}
    for name in KEPT:
        place = paths.ROOT / name
        there = [place] if place.is_file() else [path for path in sorted(place.rglob("*")) if not path.is_dir()]
        lines += [f"Left, named by no record: {path}" for path in there if path not in going]
    if (paths.ROOT / ".venv").exists() and not list((paths.ROOT / ".venv").glob("installed*")):
        lines.append(f"Left, not made by `make`: {paths.ROOT / '.venv'}")
    if owns_state():
        others = {*paths.STATE.glob("*")} - {*state_parts(True)}
        lines += [f"Left, not made by this project: {path}" for path in sorted(others)]
    return lines[:LISTED] + ([f"and {len(lines) - LISTED} more, all left"] if len(lines) > LISTED else [])


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
    ways = {"--leftovers": leftover_items, "--unused": lambda: garbage.unused()[0], "--all": lambda: everything(False)}
    for flag, items_of in ways.items():
        try:
            freed, unknown = human(sum(item.num_bytes for item in items_of())), ""
        except UserError as error:  # the others are known all the same
            freed, unknown = "?", f"\n{'':>12}{error}"
        print(f"{freed:>10}  {SHORT[flag]}: `greenhouse clean {flag}`{unknown}")


SHORT = {
    "--leftovers": "build leftovers, and work folders in which killed stages would resume",
    "--unused": "DVC's cache and MLflow's models that nothing names any more",
    "--all": "what Greenhouse made by its records, .venv and dvc.lock too, but the energy ledger",
}


GOES = "dvc.lock goes, even if git tracks it (`git checkout dvc.lock` undoes that), and .venv (`make demo` makes one)."
"""What --all takes that other commands count on."""


def clean(*, leftovers: bool = False, unused: bool = False, all: bool = False, ledger: bool = False) -> int:
    """Disk use, and giving room back: what is there, how much it is, and only then removing it.

    greenhouse clean                   what each of these would free
    greenhouse clean --leftovers       build leftovers, and the work folders in which killed stages would resume
    greenhouse clean --unused          DVC's cache and MLflow's models that nothing names any more
    greenhouse clean --all             what its records say it made, .venv and dvc.lock too; the ledger with --ledger

    Each lists what it would remove, in bytes, and asks; `YES=1` in front answers. `--unused` keeps the workspace, git
    tags, runs and models that are `champion` or `challenger` or carry the MLflow tag `keep`, and experiments named like
    such a run.

    Args:
        leftovers: remove what tools and killed stages left.
        unused: remove what nothing names any more.
        all: remove what records of this checkout say that Greenhouse made; the rest is listed and stays.
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
        return carry_out(everything(ledger), [GOES, *ledger_notes, *left_alone()], "purge")
    items, notes = garbage.unused()
    return carry_out(items, notes, "yes")
