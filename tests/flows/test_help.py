"""`--help` of every command teaches, starts nothing, and imports nothing that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(
    path.stem for path in (ROOT / "flows").glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")
)
NO_COMMANDS = {"install", "deployments", "pipeline"}
"""The Makefile and `make up` start the first ones; the pipeline's command is in flows/terminal.py."""
SLOW = {"dvc", "mlflow", "polars", "prefect", "scipy", "sklearn", "torch", "transformers"}
HELP = """
import contextlib, io, json, os, runpy, sys
import components.params, flows.system.command

# Each in a process of its own, forked with what all of them import.
for command in sys.argv[1:]:
    if os.fork() == 0:
        said, sys.argv = io.StringIO(), [command, "--help"]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                runpy.run_module(f"flows.{command}", run_name="__main__", alter_sys=True)
                status = 0
            except SystemExit as end:
                status = end.code
        print(json.dumps([command, status, said.getvalue(), sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
def test_help_teaches_and_starts_nothing() -> None:
    commands = [name for name in COMMANDS if name not in NO_COMMANDS]
    done = subprocess.run([sys.executable, "-c", HELP, *commands], cwd=ROOT, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [command for command, *_ in rows] == commands, done.stderr
    for command, status, said, imported in rows:
        assert status == 0, said
        assert said.startswith(f"usage: python -m flows.{command}")
        assert len(said.split()) > 25, f"{command} says what it does"
        assert not SLOW & set(imported), f"{command} imports it before its arguments are parsed"
