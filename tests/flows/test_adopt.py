"""`greenhouse adopt`: another trainer's model in this clone, with its record or what is left of its run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import greenhouse_record
from tests.components.studies.test_leftovers import hub, write
from tests.flows.pipeline_clone import IDENTITY, PipelineClone
from tests.flows.tracking.test_signed_folder import key_pair

PROGRAM = f"""
import os, pathlib, sys
sys.path.append({str(Path(greenhouse_record.__file__).parents[1])!r})
out, rows = pathlib.Path("model"), pathlib.Path("data/rows.txt").read_bytes()
out.mkdir(exist_ok=True)
state = out / "state.pt"
begun = state.exists()
state.write_bytes(rows[:8])
if os.environ.get("DIE") and not begun:
    sys.exit(9)
from greenhouse_record.recording import recorded
with recorded("data", "model") as run:
    run.log(step=1, loss=2.5)
(out / "weights.pt").write_bytes(rows[::-1])
"""


def record(root: Path, *more: str, **variables: str) -> int:
    """Exit status of the program in `root` under the recorder."""
    words = ["--data", "data", "--out", "model", *more, "--", sys.executable, "train.py"]
    code = [sys.executable, "-m", "greenhouse_record.command", *words]
    variables["PYTHONPATH"] = str(Path(greenhouse_record.__file__).parents[1])
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}  # of other tests
    return subprocess.run(code, cwd=root, capture_output=True, env=known | variables).returncode


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A repository with a trainer whose first try failed and whose second resumed it, both recorded."""
    root = tmp_path / "theirs"
    write(root, {"train.py": PROGRAM, "data/rows.txt": "to be or not to be", ".gitignore": "model\n.greenhouse\n"})
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "x")):
        subprocess.run(["git", *IDENTITY, *words], cwd=root, check=True)
    assert record(root, DIE="1") == 9
    assert record(root, "--resume", "auto") == 0
    return root


@pytest.mark.slow
def test_a_recorded_run_is_answered_for_signed_and_run_again(fresh_clone: PipelineClone, run_folder: Path) -> None:
    greenhouse = fresh_clone.run
    key, signed = key_pair(run_folder.parent), run_folder.parent / "signed"
    shown = greenhouse("greenhouse", "adopt", str(run_folder / "model"), "--name", "mine")
    assert "1 runs that failed" in shown
    assert "against a recorder who lies no record helps" in shown
    assert "loss 2.500" in greenhouse("greenhouse", "card", "adopted/mine")
    assert "adopted@mine" in greenhouse("greenhouse", "cost")
    assert "identical: model/state.pt, model/weights.pt" in greenhouse("greenhouse", "verify", "adopted/mine")
    greenhouse("greenhouse", "export", "adopted/mine", "--to", "signed", "--key", str(key), "--out", str(signed))
    check = ("greenhouse", "verify", str(signed), "--key", f"{key}.pub")
    assert "a record of 2 tries" in greenhouse(*check)
    (run_folder / "data" / "rows.txt").write_text("to be, or not to be")
    assert "data/rows.txt is not as the record names it" in greenhouse(*check, expect=2)
    assert "missing: data/rows.txt is not as it was" in greenhouse("greenhouse", "verify", "adopted/mine", expect=2)
    greenhouse("greenhouse", "promote", "adopted/mine", "--withdraw", "mine=it quotes a customer")
    assert "it quotes a customer" in greenhouse(*check, expect=1)


@pytest.mark.slow
def test_what_was_changed_after_the_record_is_not_adopted(fresh_clone: PipelineClone, run_folder: Path) -> None:
    adopt = ("greenhouse", "adopt", str(run_folder / "model"))
    weights, path = run_folder / "model/weights.pt", next(run_folder.glob(".greenhouse/records/*.jsonl"))
    lines, written = path.read_bytes().splitlines(keepends=True), weights.read_bytes()
    weights.write_bytes(b"better")
    assert "weights.pt: not as model-" in fresh_clone.run(*adopt, expect=1)
    weights.write_bytes(written)
    path.write_bytes(b"".join(line.replace(b'"outcome":"Failed"', b'"outcome":"Completed"') for line in lines))
    assert "was edited" in fresh_clone.run(*adopt, expect=1)
    assert not (fresh_clone.root / "models").exists()


@pytest.mark.slow
def test_of_a_run_that_nobody_recorded_the_rest_is_told(fresh_clone: PipelineClone, tmp_path: Path) -> None:
    left = write(tmp_path / "out", hub(**{"checkpoint-12/trainer_state.json": {"global_step": 12}}))
    shown = fresh_clone.run("greenhouse", "adopt", str(left), "--name", "left")
    assert "Not known: the order in which data was read: this trainer keeps no data order." in shown
    assert "missing: its command and data" in fresh_clone.run("greenhouse", "verify", "adopted/left", expect=2)
    assert "adopted already" in fresh_clone.run("greenhouse", "adopt", str(left), "--name", "left", expect=1)
    fresh_clone.run("greenhouse", "adopt", str(left), "--name", "twin")
    compared = fresh_clone.run("greenhouse", "compare", "adopted/left", "adopted/twin")
    assert "A: none" in compared
    fresh_clone.run("greenhouse", "export", "adopted/left", "--to", "hub", "--out", str(tmp_path / "hub"))
    assert "text-generation training: 12 steps |" in (tmp_path / "hub" / "README.md").read_text()
    card = fresh_clone.run("greenhouse", "card", "adopted/left", "--json")
    assert json.loads(card)["cost"]["not_known"] == "nobody recorded the run"
