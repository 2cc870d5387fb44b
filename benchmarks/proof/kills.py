"""Commands of proof and forgetting, killed: does each come to the same end when it is started again, and leave nothing?

Each runs once undisturbed. Then its process is killed (SIGKILL) at moments drawn evenly from that time, what it started
ends by itself, and it is started again. The end is all that it made or said; what is left over are files beside that
end, folders of work, worktrees and processes.
"""

import itertools
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill_and_resume import Job, after, hashes
from benchmarks.proof.clone import Clone, kept_environment
from benchmarks.proof.forget import OUTPUTS
from components.core.files import read_json, sha256_file, write_json

NUM_KILLS = 5
WORK = (".greenhouse/work", ".greenhouse/worktrees")
"""Folders of the state that are empty while nothing works."""


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    Attributes:
        words: of the command line. end: what it made in a clone; what it says is compared where it makes nothing.
        makes: a folder beside the clone that it makes. begins: the clone's state before it, and leaves: after it, if
            another command begins with that.
    """

    name: str
    words: tuple[str, ...]
    end: Callable[[Clone], object] = lambda clone: None
    makes: Path | None = None
    begins: str = "made"
    leaves: str = ""


def commands(folder: Path, key: Path, public: Path, query: str) -> list[Command]:
    """Those of proof, then those of forgetting; each may use what the one before made.

    Args:
        folder: a new one, to be signed.
    """
    signed = ("export", "instruct", "--to", "signed", "--key", str(key), "--out", str(folder))
    return [  # no two signatures are the same
        Command("export --to signed", signed, lambda clone: hashes(folder, but=("model.sig",)), makes=folder),
        Command("verify FOLDER", ("verify", str(folder), "--key", str(public))),
        Command("forget --apply", ("forget", query, "--apply"), _applied, leaves="applied"),
        Command("forget --purge", ("forget", query, "--purge"), _purged, begins="applied"),
    ]


def _applied(clone: Clone) -> dict[str, object]:
    """Outputs and lists after a removal; salts and times aside."""
    (removal,) = read_json(clone.root / "forgotten.json")["removals"].values()
    known = {name: sorted(removal[name]) for name in ("ids", "objects", "models")}
    lists = {name: (clone.root / name).read_text() for name in ("opt_out.txt", "withdrawn.json")}
    return known | lists | {"outputs": json.loads(clone.ask(OUTPUTS))}


def _purged(clone: Clone) -> list[list[str]]:
    """What DVC and MLflow still hold."""
    objects = hashes(clone.root, ".dvc/cache/files")
    models = (clone.root / ".greenhouse/mlartifacts").rglob("*.safetensors")
    return [sorted(objects), sorted(map(sha256_file, models))]


def left_over(clone: Clone) -> set[str]:
    """Files beside the clone and in it that git neither keeps nor ignores, folders of work, worktrees."""
    told = set[str]()
    for words in (("status", "--porcelain", "--untracked-files=all"), ("worktree", "list", "--porcelain")):
        told |= set(subprocess.check_output(["git", *words], cwd=clone.root, text=True).splitlines())
    work = {f"{folder}: {path.name}" for folder in WORK for path in (clone.root / folder).glob("*/*")}
    beside = {f"beside: {path.name}" for path in clone.root.parent.iterdir()}
    return work | beside | {line for line in told if line.startswith(("??", "worktree "))}


def measure(clone: Clone, folder: Path, keys: tuple[Path, Path], query: str) -> list[dict]:
    """A row per kill; a benchmark that was stopped goes on after the last one.

    Args:
        clone: one that has run. folder: one to be signed. query: names a document that was trained on.
    """
    dice, kept = random.Random(46), clone.root.with_name("kept")
    if not (kept / "made").exists():
        _copy(clone.root, kept / "made")
    known: dict[str, dict] = read_json(kept / "kills.json") if (kept / "kills.json").exists() else {}
    every = commands(folder, *keys, query)
    moments = {command.name: [dice.random() for _ in range(NUM_KILLS)] for command in every}
    for command in every:
        if command.name not in known:
            undo(clone, command)
            usual_s = job_of(clone, command).run()
            if command.leaves:
                _copy(clone.root, kept / command.leaves)
            usual = {"usual_s": usual_s, "usual": sorted(left_over(clone)), "end": end_of(clone, command), "rows": []}
            write_json(kept / "kills.json", known | {command.name: usual})
            known[command.name] = usual
    for number, command in itertools.product(range(NUM_KILLS), every):  # each is killed once, then each again
        rows = known[command.name]["rows"]
        if number == len(rows):
            row = killed(clone, command, moments[command.name][number], known[command.name])
            rows.append({"command": command.name, "number": number} | row)
            write_json(kept / "kills.json", known)
            print(rows[-1], flush=True)
    return [one for row in known.values() for one in row["rows"]]


def job_of(clone: Clone, command: Command) -> Job:
    """The command in the clone."""
    words, said = clone.words("greenhouse", *command.words), clone.root.parent / "kept" / "said.txt"
    return Job(words, clone.root, clone.root, kept_environment(clone), said)


def killed(clone: Clone, command: Command, moment: float, known: dict) -> dict:
    """One kill: when it was, whether the command started again comes to the same end, and what is left over."""
    moment_s, job = known["usual_s"] * moment, job_of(clone, command)
    undo(clone, command)
    while not (kill := job.kill(after(moment_s), alone=True)).in_time:
        moment_s *= 0.8  # it was quicker than before
        undo(clone, command)
    same, said = again(clone, command, job, known["end"])
    more = [*sorted(left_over(clone) - set(known["usual"])), *(f"process: {line}" for line in kill.left)]
    times = {"moment_s": round(moment_s, 2), "of_s": round(known["usual_s"], 2)}
    return times | {"same_end": same, "left": "; ".join(more), "said": said}


def end_of(clone: Clone, command: Command) -> object:
    """What a command came to."""
    return command.end(clone) or job_of(clone, command).said.read_text().strip().splitlines()[-1]


def again(clone: Clone, command: Command, job: Job, end: object) -> tuple[bool, str]:
    """Whether a command that was killed comes to the same end, and what it says if it fails.

    It may have made its folder before the kill, and would refuse to make it again.
    """
    said = "made before the kill" if command.makes and command.makes.exists() else ""
    try:
        if not said:
            job.run()
        return end_of(clone, command) == end, said
    except AssertionError as error:
        return False, str(error)


def undo(clone: Clone, command: Command) -> None:
    """All is as before the command."""
    if command.makes:
        shutil.rmtree(command.makes, ignore_errors=True)
    _copy(clone.root.parent / "kept" / command.begins, clone.root)


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
