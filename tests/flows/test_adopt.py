"""`greenhouse adopt`: another trainer's model in this clone, with its record or what is left of its run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import greenhouse_record
from components.core.files import read_json, write_json
from components.studies import adoption, leftovers
from flows.compare import different
from flows.tracking.recorded_run import MissingPartError, _clone
from flows.tracking.snapshots import Snapshot
from greenhouse_record.record import read
from tests.components.studies.test_leftovers import hub, write
from tests.errors import shows
from tests.flows.pipeline_clone import IDENTITY, PipelineClone, make_clone
from tests.flows.tracking.test_signed_folder import key_pair

PROGRAM = f"""
import os, pathlib, sys
stops = "stop" in sys.argv
sys.path.append({str(Path(greenhouse_record.__file__).parents[1])!r})
out, rows = pathlib.Path("model"), pathlib.Path("data/rows.txt").read_bytes()
out.mkdir(exist_ok=True)
state = out / "state.pt"
begun = state.exists()
state.write_bytes(rows[:8])
pathlib.Path("log.txt").write_text(str(begun))
if (stops or os.environ.get("DIE")) and not begun:
    sys.exit(9)
from greenhouse_record.recording import recorded
with recorded("data", "model") as run:
    run.log(step=1, loss=2.5)
more = os.urandom(8) if "by-chance" in sys.argv else str(begun).encode() if "of-resume" in sys.argv else b""
(out / "weights.pt").write_bytes(rows[::-1] + more)
"""


def record(root: Path, *more: str, out: str = "model", args: tuple[str, ...] = (), **variables: str) -> int:
    """Exit status of the program in `root` under the recorder."""
    words = ["--data", "data", "--out", out, *more, "--", sys.executable, "train.py", *args]
    code = [sys.executable, "-m", "greenhouse_record", *words]
    variables["PYTHONPATH"] = str(Path(greenhouse_record.__file__).parents[1])
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}  # else it gets the run
    return subprocess.run(code, cwd=root, capture_output=True, env=known | variables).returncode


@pytest.fixture(scope="module")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a trainer whose first try failed and whose second resumed it, both recorded."""
    root = begun(tmp_path_factory.mktemp("recorded") / "theirs")
    assert record(root, DIE="1") == 9
    assert record(root, "--resume", "auto") == 0
    return root


@pytest.fixture
def run_folder(recorded_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(recorded_run, tmp_path / recorded_run.name)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> PipelineClone:
    """A clone in which nothing has run, for tests that adopt models of unlike names."""
    return make_clone(tmp_path_factory.mktemp("adopting"))


def begun(root: Path) -> Path:
    """A repository with the trainer, committed; nothing has run."""
    write(
        root, {"train.py": PROGRAM, "data/rows.txt": "to be or not to be", ".gitignore": "data\nmodel\n.greenhouse\n"}
    )
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return commit(root)


def commit(root: Path) -> Path:
    """The repository with all of it committed."""
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "x")):
        subprocess.run(["git", *IDENTITY, *words], cwd=root, check=True)
    return root


def adopted(root: Path) -> Snapshot:
    """What `greenhouse adopt` knows of the model in a repository."""
    run = read(next(root.glob(".greenhouse/records/*.jsonl")))
    facts = adoption.facts_of(leftovers.read(root / "model"), run)
    return Snapshot("adopted/x", "adopted", {"adopted@x": {"outs": []}}, facts["commit"], adopted=facts)


@pytest.mark.slow
def test_a_recorded_run_is_answered_for_signed_and_run_again(fresh_clone: PipelineClone, run_folder: Path) -> None:
    greenhouse = fresh_clone.run
    key, signed = key_pair(run_folder.parent), run_folder.parent / "signed"
    write(fresh_clone.root, {"models/adopted/mine/weights.pt": "as a kill before the end left it"})
    shown = greenhouse("greenhouse", "adopt", str(run_folder / "model"), "--name", "mine")
    assert "1 run that failed" in shown
    assert "against a recorder who lies no record helps" in shown
    assert "weights.pt may be a pickle" in shown
    assert "loss 2.500" in greenhouse("greenhouse", "card", "adopted/mine")
    bill = greenhouse("greenhouse", "cost")
    rows = {line.split()[-1]: line.split()[-5] for line in bill.splitlines() if "adopted@mine try" in line}
    assert list(rows) == ["Failed", "Completed"]
    (all_tries,) = (float(line.split()[4]) for line in bill.splitlines() if line.startswith("  adopted@mine  "))
    assert all_tries == pytest.approx(sum(map(float, rows.values())), rel=0.02)
    assert f"its own stage {all_tries:.3g} Wh" in " ".join(shown.split()), "one figure everywhere"
    assert "identical: model/state.pt, model/weights.pt" in greenhouse("greenhouse", "verify", "adopted/mine")
    greenhouse("greenhouse", "export", "adopted/mine", "--to", "signed", "--key", str(key), "--out", str(signed))
    check = ("greenhouse", "verify", str(signed), "--key", f"{key}.pub")
    said = greenhouse(*check, expect=3)
    assert "trained as claimed: rebuilt here to the same bytes" in said.splitlines()
    assert "a record of 2 tries" in said
    assert "by its own trainer, which no stage here repeats" in said
    (verified,) = (fresh_clone.root / ".greenhouse/findings/verified").glob("*.json")
    write_json(verified, read_json(verified) | {"at": "2026-01-01T10:05+00:00"})  # as one that was done again
    assert "rebuild.verified.at: signed " in greenhouse(*check, expect=3)
    assert "not as it was recorded (" not in shown
    (run_folder / "train.py").write_text(f"{PROGRAM}\nsys.exit(3)")
    commit(run_folder)
    changed = greenhouse("greenhouse", "adopt", str(run_folder / "model"), "--name", "later")
    assert "train.py: gone or not as it was recorded (1 such file)" in changed
    assert "identical: model/state.pt" in greenhouse("greenhouse", "verify", "adopted/mine"), "HEAD there moved on"
    weights = fresh_clone.root / "models/adopted/mine/weights.pt"
    written = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(bytes([written[0] ^ 1]) + written[1:])
    assert "differs: models/adopted/mine/weights.pt" in greenhouse("greenhouse", "verify", "adopted/mine", expect=1)
    assert "adopted/mine: not the bytes that DVC recorded" in greenhouse("greenhouse", "card", "adopted/mine")
    weights.write_bytes(written)
    (run_folder / "data" / "rows.txt").write_text("to be, or not to be")
    said = greenhouse(*check, expect=2)
    assert "1 file of data not as the record names them, the first data/rows.txt" in said
    assert "not established is: licences" in said.splitlines()[-1]
    assert "missing: data/rows.txt is not as it was" in greenhouse("greenhouse", "verify", "adopted/mine", expect=2)
    greenhouse("greenhouse", "promote", "adopted/mine", "--withdraw", "mine=it quotes a customer")
    assert "it quotes a customer" in greenhouse(*check, expect=1)


RESUMED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "stop": ((), 2, "missing: one run that makes it: "),
    "by-chance": (
        (),
        1,
        "its trainer does not repeat itself: two runs here differ in 1 of these files, so of its resume",
    ),
    "of-resume": ((), 1, "two runs here are the same to the bit; known to differ from then is its resume"),
    "plain": (("from-step=8",), 0, "identical: model/state.pt, model/weights.pt"),
    "plain of-resume": (("from-step=8",), 1, "is its resume, its tries had different commands ("),
}
"""Arguments of a run that was interrupted -> those that its resume had more, exit status of verify, what it says."""


@pytest.mark.slow
@pytest.mark.parametrize("words", RESUMED)
def test_of_a_resumed_run_it_is_told_whether_trainer_or_resume_differs(
    clone: PipelineClone, tmp_path: Path, words: str
) -> None:
    (more, status, said), root, args = RESUMED[words], begun(tmp_path / "theirs"), tuple(words.split())
    name = words.replace(" ", "-")
    assert record(root, args=args, DIE="1") == 9
    assert record(root, "--resume", "auto", args=args + more) == 0
    shown = clone.run("greenhouse", "adopt", str(root / "model"), "--name", name)
    assert said in clone.run("greenhouse", "verify", f"adopted/{name}", expect=status)
    assert ("alone does not rebuild it: its tries had different" in " ".join(shown.split())) is bool(more)


@pytest.mark.slow
def test_code_that_was_not_committed_is_told_and_compared(tmp_path: Path) -> None:
    a, b = (begun(tmp_path / name) for name in "ab")
    assert record(a) == 0
    (b / "train.py").write_text(PROGRAM + "# changed\n")
    (b / "data/rows.txt").write_text("to do or not to do")
    assert record(b, args=("twice",)) == 0
    one, other = adopted(a), adopted(b)
    assert one.adopted["lacking"] == ""
    assert other.commit.endswith("+changes")
    assert "code was not committed" in other.adopted["lacking"]
    told = "\n".join(different(one, other))
    for part in ("train.py twice", "changes: none -> ", "train.py: ", "data/rows.txt: "):
        assert part in told
    assert different(one, one)[:3] == ["parameters: the same", "code: the same", "data: the same"]
    (start,) = (attempt.start for attempt in read(next(b.glob(".greenhouse/records/*.jsonl"))).attempts)
    (diff,) = b.glob(".greenhouse/records/*.diff")
    diff.write_bytes(diff.read_bytes().replace(b"changed", b"altered"))
    with pytest.raises(MissingPartError, match="was edited"), _clone(b, start):
        pass
    nobody = Snapshot("adopted/y", "adopted", {}, adopted=adoption.facts_of(leftovers.read(a / "model"), None))
    assert "    not known of B: nobody recorded the run" in different(one, nobody)


@pytest.mark.slow
def test_what_was_changed_after_the_record_is_not_adopted(clone: PipelineClone, run_folder: Path) -> None:
    adopt = ("greenhouse", "adopt", str(run_folder / "model"))
    weights, path = run_folder / "model/weights.pt", next(run_folder.glob(".greenhouse/records/*.jsonl"))
    lines, written = path.read_bytes().splitlines(keepends=True), weights.read_bytes()
    weights.write_bytes(b"better")
    shows(clone.run(*adopt, expect=1), "adopt.checked.2", "weights.pt")
    weights.write_bytes(written)
    path.write_bytes(b"".join(line.replace(b'"outcome":"Failed"', b'"outcome":"Completed"') for line in lines))
    shows(clone.run(*adopt, expect=1), "record.read.2")
    assert not (clone.root / "models/adopted/model").exists()


@pytest.mark.slow
def test_of_a_run_that_nobody_recorded_the_rest_is_told(clone: PipelineClone, tmp_path: Path) -> None:
    left = write(tmp_path / "out", hub(**{"checkpoint-12/trainer_state.json": {"global_step": 12}}))
    shown = clone.run("greenhouse", "adopt", str(left), "--name", "left")
    assert "Not known: the order in which data was read: this trainer keeps no data order." in shown
    assert "missing: its command and data" in clone.run("greenhouse", "verify", "adopted/left", expect=2)
    shows(clone.run("greenhouse", "adopt", str(left), "--name", "left", expect=1), "adopt.take.2", "left")
    clone.run("greenhouse", "adopt", str(left), "--name", "twin")
    used = clone.run_code("from flows.tracking.garbage import used_objects; print(*used_objects([], {}))").split()
    assert yaml.safe_load((clone.root / "models/adopted/twin.dvc").read_text())["outs"][0]["md5"] in used, "is kept"
    compared = clone.run("greenhouse", "compare", "adopted/left", "adopted/twin")
    assert "A: none" in compared
    clone.run("greenhouse", "export", "adopted/left", "--to", "hub", "--out", str(tmp_path / "hub"))
    assert "text-generation training: 12 steps |" in (tmp_path / "hub" / "README.md").read_text()
    card = clone.run("greenhouse", "card", "adopted/left", "--json")
    assert json.loads(card)["cost"]["not_known"] == "nobody recorded the run"


def test_a_link_that_leads_out_of_the_folder_is_not_followed(clone: PipelineClone, tmp_path: Path) -> None:
    """A private key went with the model into DVC, hub and signed exports."""
    (tmp_path / "key").write_text("private")
    folder = tmp_path / "theirs"
    write(folder, hub())
    (folder / "vocab.txt").symlink_to(tmp_path / "key")
    shows(clone.run("greenhouse", "adopt", str(folder), expect=1), "raise_if_linked_out", folder / "vocab.txt")
    assert not (clone.root / "models/adopted/theirs").exists()


def test_the_pipeline_does_without_adopting() -> None:
    program = "import sys, flows.pipeline\nassert not {'components.studies.adoption', 'flows.adopt'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], check=True)
