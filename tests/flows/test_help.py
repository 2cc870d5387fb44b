"""`--help` of every command teaches, starts nothing, and imports nothing that takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(
    path.stem for path in (ROOT / "flows").glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")
)
NO_COMMANDS = {"install", "guard"}
"""The Makefile and the pipeline start these."""
SLOW = ("dvc", "mlflow", "polars", "prefect", "scipy", "sklearn", "torch", "transformers")


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in NO_COMMANDS])
def test_help_teaches_and_starts_nothing(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"flows.{command}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m flows.{command}")
    assert len(done.stdout.split()) > 25, "says what it does"
    assert not (set(SLOW) & set(done.stderr.split())), "imported before the arguments were parsed"
