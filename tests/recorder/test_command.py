"""greenhouse-record around real processes: what it meters, what it refuses, and what it keeps when something dies."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.carbon.ledger.reader import read as read_ledger
from greenhouse_record import recorded
from greenhouse_record.record import Record, changes, read
from greenhouse_record.surroundings import MOST_UNTRACKED, named_files
from tests.errors import refused, shows

ROOT = Path(__file__).resolve().parents[2]

BURN = "import time\nstart = time.process_time()\nwhile time.process_time() - start < {}: pass\n"
TRAIN = """
import os, subprocess, sys, time
os.makedirs("model", exist_ok=True)
open("model/weights", "a").write("w")
""" + BURN.format(0.2)
RECORD = [sys.executable, "-m", "greenhouse_record", "--data", "data", "--out", "model", "--interval", "0.1"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with data and a trainer that was changed since its commit."""
    for name in ("RANK", "GREENHOUSE_RECORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "recorder"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text").write_text("some text")
    (tmp_path / "train.py").write_text("")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def run(*words: str, code: int = 0) -> str:
    """What the recorder says around `python train.py`; before `--` the words are its own."""
    done = subprocess.run([*RECORD, *(words or ("--", sys.executable, "train.py"))], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


def record(project: Path) -> Record:
    (path,) = (project / ".greenhouse/records").glob("*.jsonl")
    return read(path)


def test_a_run_is_recorded_with_its_code_data_and_outputs(project: Path) -> None:
    said = run("--", sys.executable, "train.py", "--hub-token", "hunter2")
    assert said.startswith(f"greenhouse-record: {record(project).path}: exit 0, ")
    assert said.count("\n") == 1
    (attempt,), (span,) = record(project).attempts, read_ledger(project / ".greenhouse/records")
    assert (span.stage, span.outcome) == ("train", "Completed")
    assert span.energy.as_list() == attempt.end["uj"]
    start = attempt.start
    assert start["command"][1:] == ["train.py", "--hub-token", "***"]
    assert b"hunter2" not in record(project).path.read_bytes()
    diff = project / ".greenhouse/records" / f"{start['git']['diff']}.diff"
    assert '+open("model/weights", "a")' in diff.read_text()
    assert start["environment"]["packages"]["numpy"]
    assert (list(start["files"]), list(start["data"])) == (["train.py"], ["data/text"])
    assert (attempt.outcome, attempt.end["exit"]) == ("Completed", 0)
    assert changes({**start["data"], **attempt.outputs}, project, project / "model") == []
    (project / "data" / "text").write_text("other text")
    (project / "model" / "weights").unlink()
    (project / "model" / "more").touch()
    wrong = changes({**start["data"], **attempt.outputs}, project, project / "model")
    assert wrong == ["data/text", "model/weights", "model/more"]


def test_files_and_processes_that_are_left_out_are_said(project: Path) -> None:
    """A folder behind a link, the last of many files in no commit, and a process that outlives the command."""
    (project / "elsewhere").mkdir()
    (project / "data" / "linked").symlink_to(project / "elsewhere")
    for number in range(MOST_UNTRACKED + 1):
        (project / f"log-{number}").touch()
    (project / "zz_model.py").touch()
    reserve = "import glob, os\nassert os.path.getsize(*glob.glob('.greenhouse/records/*.reserve')) > 10_000\n"
    (project / "train.py").write_text(f"{TRAIN}subprocess.Popen(['sleep', '3'])\n{reserve}")
    said = run().splitlines()
    assert [line.partition(": ")[2].partition(" ")[0] for line in said[:2]] == [f"{project}/data/linked:", "2"]
    assert said[2].startswith("greenhouse-record: processes that the command started still run")
    (attempt,) = record(project).attempts
    assert "zz_model.py" in attempt.start["git"]["untracked"]
    assert not list(record(project).path.parent.glob("*.reserve"))


def test_a_recorder_that_inherits_ignored_children_waits_for_its_own(project: Path) -> None:
    """As under some servers, which ignore SIGCHLD so that children need no waiting."""
    ignored = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    ignored += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    words = [sys.executable, "-c", ignored, *RECORD[1:], "--", sys.executable, "train.py"]
    assert subprocess.run(words, capture_output=True).returncode == 0
    assert record(project).attempts[0].outcome == "Completed"


@pytest.mark.parametrize("command", [["./run.sh"], ["sh", "-c", "./run.sh --more"], [sys.executable, "-m", "pkg"]])
def test_code_that_a_command_names_is_hashed(project: Path, command: list[str]) -> None:
    (project / "pkg").mkdir()
    for name in ("run.sh", "pkg/__main__.py"):
        (project / name).write_text("#!/bin/sh\n")
        (project / name).chmod(0o755)
    (project / "python3").symlink_to(sys.executable)
    expected = ["pkg/__main__.py"] if "-m" in command else ["run.sh"]
    assert list(named_files(command, project, [])) == expected
    assert list(named_files(["./python3", "run.sh"], project, [])) == ["run.sh"], "an interpreter is no code of the run"


def test_children_between_readings_and_orphans_count(project: Path) -> None:
    """The orphan's parent is gone when it dies; the readings, of 10 ms ticks, agree with rusage."""
    burn = BURN.format(0.5) + "open('done', 'w')"
    orphan = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burn!r}])"
    wait = "while not os.path.exists('done'): time.sleep(0.05)\ntime.sleep(1)\n"
    child = f"subprocess.run([sys.executable, '-c', {BURN.format(0.3)!r}])"
    (project / "train.py").write_text(f"{TRAIN}{child}\nsubprocess.run([sys.executable, '-c', {orphan!r}])\n{wait}")
    run()
    (attempt,) = record(project).attempts
    span = attempt.start["span"]
    by_readings = sum(line["spans"][span]["cpu_us"] for line in attempt.of["reading"] if span in line["spans"]) / 1e6
    assert attempt.end["cpu_s"] == pytest.approx(by_readings, abs=0.1)
    assert attempt.end["cpu_s"] > 1.0


def test_failed_tries_and_resumes_belong_to_one_record(project: Path) -> None:
    (project / "train.py").write_text(TRAIN + "os.kill(os.getpid(), 9)")
    run(code=137)
    (project / "train.py").write_text(TRAIN)
    shows(run(code=1), "_tries_before.1", "--resume auto")
    (project / "model" / "more").write_text("from elsewhere")
    run("--resume", "auto", "--", sys.executable, "train.py", "--more")
    shutil.rmtree("model")
    run()
    first, second, third = record(project).attempts
    assert (first.outcome, first.end["exit"], second.outcome) == ("Killed", -9, "Completed")
    assert second.start["resumes"] == {"attempt": 1, "changed": ["model/more"]}
    assert third.start["resumes"] is None, "its output was gone"


def test_a_killed_recorder_leaves_a_record_and_the_next_start_says_so(project: Path) -> None:
    (project / "train.py").write_text(f"{TRAIN}import os\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    recorder = subprocess.Popen([*RECORD, "--", sys.executable, "train.py"])
    wait_for(lambda: (project / "pid").exists() and len(record(project).attempts[0].of["reading"]) > 1)
    recorder.kill()
    recorder.wait()
    (attempt,) = record(project).attempts
    assert (attempt.outcome, attempt.end) == ("Killed", None)
    pid = int((project / "pid").read_text())
    (project / "train.py").write_text(TRAIN)
    said = run("--resume", "auto", "--", sys.executable, "train.py", code=1)
    shows(said, "_tries_before.3", f"process {pid}")
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    said = run("--resume", "auto", "--", sys.executable, "train.py")
    assert said.startswith("greenhouse-record: try 1: its recorder was killed after 20")
    assert [attempt.outcome for attempt in record(project).attempts] == ["Killed", "Completed"]


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data", "gone", "--", "true"], "gone: cannot be read (No such file or directory); name what is there"),
        (["--", "trian"], "trian: no such command"),
        ([], "(none): no such command; put it after --"),
        (["--out", "data", "--", "true"], "data: exists; add --resume auto"),
        (["--out", "data", "--resume", "auto", "--", "true"], "data: exists, but no record of it lies in"),
        (["--interval", "0", "--", "true"], "--interval 0: give seconds between readings"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(project: Path, words: list[str], sentence: str) -> None:
    said = run(*(words or ["--"]), code=1)
    assert sentence in said
    assert (said.count("\n"), said.count("greenhouse-record: ")) == (1, 1)
    assert not list(project.glob(".greenhouse/records/*.jsonl"))


def test_ctrl_c_and_terminate_reach_the_command(project: Path) -> None:
    (project / "train.py").write_text(f"{TRAIN}open('ready', 'w')\ntime.sleep(60)\n")
    recorder = subprocess.Popen([*RECORD, "--", sys.executable, "train.py"])
    wait_for((project / "ready").exists)
    recorder.terminate()
    assert recorder.wait(20) == 128 + signal.SIGTERM
    assert record(project).attempts[0].outcome == "Killed"


def test_a_signal_before_the_command_is_known_reaches_it(project: Path) -> None:
    """It came between the start and the handler, and left a training that nobody recorded."""
    script = """
import os, signal, subprocess, sys
from greenhouse_record import command
class Slow(subprocess.Popen):
    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        if words[0][0] == "sleep":
            os.kill(os.getpid(), signal.SIGTERM)
command.subprocess.Popen = Slow
sys.exit(command.main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", script, *RECORD[3:], "--", "sleep", "60"]
    assert subprocess.run(words, capture_output=True).returncode == 128 + signal.SIGTERM
    assert record(project).attempts[0].outcome == "Killed"


def run_on_a_disk_of(num_bytes: int) -> subprocess.CompletedProcess:
    """The recorder with a limit on the size of files: writes fail as on a full disk, with another reason."""
    script = (
        f"import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({num_bytes}, {num_bytes}))\n"
        "from greenhouse_record.command import main\nsys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", script, *RECORD[3:-1], "0.02", "--", sys.executable, "train.py"]
    return subprocess.run(words, capture_output=True, text=True)


def test_on_a_full_disk_nothing_is_started_and_one_that_fills_is_said_once(project: Path) -> None:
    done = run_on_a_disk_of(0)
    assert done.returncode == 1
    assert done.stderr.endswith("; nothing was started\n")
    assert done.stderr.count("\n") == 1
    assert not (project / "model").exists()
    (project / "train.py").write_text(TRAIN + "time.sleep(1.5)\n")
    done = run_on_a_disk_of(20_000)
    shows(done.stderr, "record.on_disk", "File too large")
    assert (done.returncode, done.stderr.count("File too large")) == (0, 1)
    assert 1 <= len(record(project).attempts[0].of["reading"]) < 40


def test_from_python_and_inside_a_recorded_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(data="data", out="model") as log:
        log.log(step=1, loss=2.5)
        (project / "model").mkdir()
        (project / "model" / "weights").write_text("w")
    with pytest.raises(RuntimeError), recorded(data=["data"], out="model", resume="auto") as log:
        raise RuntimeError("diverged")
    first, second = record(project).attempts
    assert [(line["step"], line["loss"]) for line in first.of["log"]] == [(1, 2.5)]
    assert [first.outcome, second.outcome] == ["Completed", "Failed"]
    with refused("_tries_before.1", "model", "resume='auto'"), recorded(data="data", out="model"):
        pass
    inside = "from greenhouse_record import recorded\nwith recorded('data', 'model') as log: log.log(7, loss=1)\n"
    (project / "train.py").write_text(inside)
    run("--resume", "auto", "--", sys.executable, "train.py")
    assert record(project).attempts[2].of["log"][0]["step"] == 7
    assert len(record(project).attempts) == 3
    monkeypatch.setenv("RANK", "1")
    with recorded(data="data", out="model") as log:
        log.log(step=8, loss=2.5)
    assert len(record(project).attempts) == 3, "other ranks keep nothing"


def test_what_is_not_recorded_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with recorded(data=[], out="model"):
        pass
    said = capsys.readouterr().err
    assert "greenhouse-record: no --data: which data it reads is not recorded\n" in said
    assert "MLflow did not take the run (ModuleNotFoundError); the record has all of it\n" in said
