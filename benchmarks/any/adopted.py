"""Recorded runs in a clone of the committed code: adopted, signed, checked, and run once more without the kill."""

import os
from pathlib import Path

from benchmarks.any.runs import Run
from benchmarks.any.trainers import ENVIRONMENT
from benchmarks.proof.clone import Clone, key_pair
from components.studies.attestation.verdict import ON_RECORD

STEPS = {"adopt": 0, "sign": 0, "check": ON_RECORD}
"""Step that a run must pass to be counted -> its exit status; the run again is counted by itself."""
OF_RUN_AGAIN = {
    "the same bytes": "identical: ",
    "the resume's differ": "known to differ from then is its resume",
    "the trainer's own differ": "its trainer does not repeat itself",
}
"""What a run again shows -> what `greenhouse verify` says then."""
TOLD = ("identical", "differs", "missing", "not the same")


def rows(clone: Clone, runs: list[Run], folder: Path) -> list[dict[str, object]]:
    """A row for each run and step: its exit status, and the lines that say what came of it."""
    (key, public), found = key_pair(folder), list[dict[str, object]]()
    for run in runs:
        name = run.trainer.name.split()[0].lower()
        signed = str(folder / "signed" / name)
        steps = {
            "adopt": ("adopt", str(run.folder / run.trainer.out), "--name", name),
            "sign": ("export", f"adopted/{name}", "--to", "signed", "--key", str(key), "--out", signed),
            "check": ("verify", signed, "--key", str(public)),
            "run again": ("verify", f"adopted/{name}"),
        }  # fmt: skip
        for step, words in steps.items():
            status, lines = tried(clone, *words)
            told = "; ".join([line for line in lines if line.startswith(TOLD)] or lines[-1:])
            row = {"trainer": run.trainer.name, "step": step, "status": status}
            found.append(row | {"said": told.replace(str(run.folder), ".")})
    return found


def tried(clone: Clone, *words: str) -> tuple[int, list[str]]:
    """Exit status and lines of `greenhouse WORDS` in the clone."""
    path = os.pathsep.join([str(clone.root), str(clone.root / "recorder")])
    done = clone.tried("greenhouse", *words, **ENVIRONMENT, PYTHONPATH=path, NANOCHAT_BASE_DIR="base")
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()
