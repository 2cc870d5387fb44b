"""Recorded runs in a clone of the committed code: adopted, signed, checked, and run once more without the kill."""

import os
from pathlib import Path

from benchmarks.any.runs import Run
from benchmarks.any.trainers import ENVIRONMENT
from benchmarks.proof.clone import Clone, cloned, key_pair

STEPS = ("adopt", "sign", "check")
"""What a run must pass to be counted; the run again is counted by itself."""
OF_RUN_AGAIN = {
    "the same bytes": "identical: ",
    "the resume's differ": "known to differ from then is its resume",
    "the trainer's own differ": "its trainer does not repeat itself",
}
"""What a run again shows -> what `greenhouse verify` says then."""
TOLD = ("identical", "differs", "missing", "not the same")


def rows(runs: list[Run], folder: Path) -> list[dict[str, object]]:
    """A row for each run and step: its exit status, and the lines that say what came of it."""
    clone, (key, public) = cloned(folder / "clone"), key_pair(folder)
    found = list[dict[str, object]]()
    for run in runs:
        name = run.trainer.name.split()[0].lower()
        signed = str(folder / "signed" / name)
        steps = {
            "adopt": ("adopt", str(run.folder / run.trainer.out), "--name", name),
            "sign": ("export", f"adopted/{name}", "--to", "signed", "--key", str(key), "--out", signed),
            "check": ("verify", signed, "--key", str(public)),
            "run again": ("verify", f"adopted/{name}"),
        }  # fmt: skip
        found += [
            {"trainer": run.trainer.name, "step": step} | said(clone, run, *words) for step, words in steps.items()
        ]
    return found


def said(clone: Clone, run: Run, *words: str) -> dict[str, object]:
    """Exit status and the telling lines of a command of the clone."""
    path = os.pathsep.join([str(clone.root), str(clone.root / "recorder")])
    done = clone.tried("greenhouse", *words, **ENVIRONMENT, PYTHONPATH=path, NANOCHAT_BASE_DIR="base")
    lines = (done.stdout + done.stderr).strip().splitlines()
    told = [line for line in lines if line.startswith(TOLD)] or lines[-1:]
    return {"status": done.returncode, "said": "; ".join(told).replace(str(run.folder), ".")}
