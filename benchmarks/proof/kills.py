"""Commands of proof and forgetting, killed: does each come to the same end when it is started again, and leave nothing?

Each runs once undisturbed. Then its process is killed (SIGKILL) at moments drawn evenly from that time, what it started
ends by itself, and it is started again. The end is all that it made or said; what is left over are files beside that
end, folders of work, worktrees and processes.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.proof.clone import Clone, kept_environment
from components.core.files import read_json, sha256_file, write_json

NUM_KILLS, PATIENCE_S = 5, 30.0
OUTPUTS = "import json; from flows.tracking.snapshots import find; print(json.dumps(find('workspace').outputs()))"
WORK = (".greenhouse/work", ".greenhouse/worktrees", ".greenhouse/open")
"""Folders of the state that are empty while nothing works."""


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    Attributes:
        words: of the command line. end: what it made in a clone; what it says is compared where it makes nothing.
        makes: a folder beside the clone that it makes. changes: whether the clone is another afterwards.
    """

    name: str
    words: tuple[str, ...]
    end: Callable[[Clone], object] = lambda clone: None
    makes: Path | None = None
    changes: bool = False


def commands(folder: Path, key: Path, public: Path, query: str) -> list[Command]:
    """Those of proof, then those of forgetting; each may use what the one before made.

    Args:
        folder: a new one, to be signed.
    """
    signed = ("export", "instruct", "--to", "signed", "--key", str(key), "--out", str(folder))
    return [
        Command("export --to signed", signed, lambda clone: _signed(folder), makes=folder),
        Command("verify FOLDER", ("verify", str(folder), "--key", str(public))),
        Command("verify --segments", ("verify", "causal", "--segments", "3")),
        Command("forget --apply", ("forget", query, "--apply"), _applied, changes=True),
        Command("forget --purge", ("forget", query, "--purge"), _purged, changes=True),
    ]


def _signed(folder: Path) -> dict[str, str]:
    """Files of a signed folder; no two signatures are the same."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: sha256_file(path) for name, path in sorted(files.items()) if name != "model.sig"}


def _applied(clone: Clone) -> dict[str, object]:
    """Outputs and lists after a removal; salts and times aside."""
    (removal,) = read_json(clone.root / "forgotten.json")["removals"].values()
    known = {name: sorted(removal[name]) for name in ("ids", "objects", "models")}
    lists = {name: (clone.root / name).read_text() for name in ("opt_out.txt", "withdrawn.json")}
    return known | lists | {"outputs": json.loads(clone.ask(OUTPUTS))}


def _purged(clone: Clone) -> dict[str, list[str]]:
    """What DVC and MLflow still hold."""
    root, models = clone.root, clone.root / ".greenhouse/mlartifacts"
    return {
        "objects": sorted(str(path.relative_to(root)) for path in root.glob(".dvc/cache/files/md5/*/*")),
        "weights": sorted(sha256_file(path) for path in models.rglob("*.safetensors")),
    }


def left_over(clone: Clone) -> list[str]:
    """Files beside the clone and in it that git neither keeps nor ignores, folders of work, worktrees, processes."""
    beside = [f"beside: {path.name}" for path in clone.root.parent.iterdir()]
    listed = ["git", "worktree", "list", "--porcelain"]
    git = [["git", "status", "--porcelain", "--untracked-files=all"], listed]
    told = [line for words in git for line in subprocess.check_output(words, cwd=clone.root, text=True).splitlines()]
    work = [f"{folder}: {path.name}" for folder in WORK for path in (clone.root / folder).glob("*/*")]
    return sorted([*beside, *(line for line in told if line.startswith(("??", "worktree "))), *work])


def processes(clone: Clone) -> list[str]:
    """Command lines of processes that work in the clone."""
    found = list[str]()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(clone.root):
                found.append(" ".join(process.cmdline())[:100])
    return found


def started(clone: Clone, command: Command, said: Path) -> subprocess.Popen:
    """The command, at work in the clone; what it says goes to a file."""
    words = [sys.executable, "-m", "flows.cli", *command.words]
    with said.open("w") as out:
        return subprocess.Popen(words, cwd=clone.root, env=kept_environment(clone), stdout=out, stderr=out)


def killed(clone: Clone, command: Command, moment_s: float, said: Path) -> bool:
    """Kill the command at a moment, and wait for the end of what it started; whether it was still at work."""
    process = started(clone, command, said)
    time.sleep(moment_s)
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while processes(clone) and time.monotonic() < deadline:
        time.sleep(0.1)
    return process.wait() == -signal.SIGKILL


def ended(clone: Clone, command: Command, said: Path) -> tuple[object, float]:
    """What the command came to, and the seconds that it took."""
    began = time.monotonic()
    status = started(clone, command, said).wait()
    seconds, lines = time.monotonic() - began, said.read_text().strip().splitlines()
    assert status == 0, f"{command.name} ended with {status}: {lines[-3:]}"
    return command.end(clone) or lines[-1], seconds


def measure(clone: Clone, folder: Path, keys: tuple[Path, Path], query: str) -> list[dict]:
    """A row per kill; a benchmark that was stopped goes on after the last one.

    Args:
        clone: one that has run. folder: one to be signed. query: names a document that was trained on.
    """
    dice, said, kept = random.Random(46), clone.root.with_name("said.txt"), clone.root.with_name("kills.json")
    known: dict[str, dict] = read_json(kept) if kept.exists() else {}
    write_json(kept, known)
    for command in commands(folder, *keys, query):
        moments = [dice.random() for _ in range(NUM_KILLS)]
        whole = clone.root.with_name(f"before {command.name.replace('/', ' ')}")
        if command.name not in known:
            if command.changes and not whole.exists():
                _copy(clone.root, whole)
            undo(clone, command, whole)
            end, usual_s = ended(clone, command, said)
            known[command.name] = {"end": end, "usual_s": usual_s, "usual": left_over(clone), "rows": []}
        row = known[command.name]
        for number in range(len(row["rows"]), NUM_KILLS):
            moment_s, alive = row["usual_s"] * moments[number], list[str]()
            while True:
                undo(clone, command, whole)
                was_killed, alive = killed(clone, command, moment_s, said), processes(clone)
                if was_killed:
                    break
                moment_s *= 0.8  # it was quicker than before
            same, now = again(clone, command, said, row["end"])
            more = [*sorted(set(left_over(clone)) - set(row["usual"])), *(f"process: {line}" for line in alive)]
            row["rows"].append({
                "command": command.name, "number": number, "moment_s": round(moment_s, 2),
                "of_s": round(row["usual_s"], 2), "same_end": same, "left": "; ".join(more), "said": now,
            })  # fmt: skip
            write_json(kept, known)
            print(row["rows"][-1], flush=True)
    return [one for row in known.values() for one in row["rows"]]


def again(clone: Clone, command: Command, said: Path, end: object) -> tuple[bool, str]:
    """Whether a command that was killed comes to the same end, and what it says if it fails.

    It may have made its folder before the kill, and would refuse to make it again.
    """
    if command.makes and command.makes.exists():
        return command.end(clone) == end, "made before the kill"
    try:
        return ended(clone, command, said)[0] == end, ""
    except AssertionError as error:
        return False, str(error)


def undo(clone: Clone, command: Command, whole: Path) -> None:
    """All is as before the command."""
    if command.makes:
        shutil.rmtree(command.makes, ignore_errors=True)
    if command.changes:
        shutil.rmtree(clone.root)
        _copy(whole, clone.root)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
