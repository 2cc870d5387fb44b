"""Recorded runs in a clone of the committed code: adopted, signed, checked, and run once more without the kill."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.any.runs import Run
from benchmarks.any.trainers import ENVIRONMENT
from benchmarks.proof.__main__ import key_pair
from benchmarks.proof.clone import Clone, kept_environment
from flows.system.paths import ROOT

STEPS = ("adopt", "sign", "check")
"""What a run must pass to be counted; the run again is counted by itself."""
TOLD = ("identical", "differs", "missing", "not the same")


class Adopter:
    """A clone that adopts, with a key pair."""

    def __init__(self, folder: Path) -> None:
        self.root, self.signed = folder / "clone", folder / "signed"
        self.key, self.public = key_pair(folder)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.root)], check=True)

    def rows(self, run: Run) -> list[dict[str, object]]:
        """A row for each step: its exit status, and the line that says what came of it."""
        name = run.trainer.name.split()[0].lower()
        signed = self.signed / name
        steps = {
            "adopt": ("adopt", str(run.folder / run.trainer.out), "--name", name),
            "sign": ("export", f"adopted/{name}", "--to", "signed", "--key", str(self.key), "--out", str(signed)),
            "check": ("verify", str(signed), "--key", str(self.public)),
            "run again": ("verify", f"adopted/{name}"),
        }  # fmt: skip
        return [{"trainer": run.trainer.name, "step": step} | self.said(run, *words) for step, words in steps.items()]

    def said(self, run: Run, *words: str) -> dict[str, object]:
        """Exit status and the telling line of a command of the clone."""
        clone = kept_environment(Clone(self.root))
        found = {
            "PYTHONPATH": os.pathsep.join([str(self.root), str(self.root / "recorder")]),
            "NANOCHAT_BASE_DIR": "base",
        }
        variables = clone | ENVIRONMENT | found
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words], cwd=self.root, env=variables, capture_output=True, text=True
        )
        lines = (done.stdout + done.stderr).strip().splitlines()
        told = [line for line in lines if line.startswith(TOLD)] or lines[-1:]
        return {"status": done.returncode, "said": "; ".join(told).replace(str(run.folder), ".")}
