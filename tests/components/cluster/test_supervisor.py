"""A kept program: whatever it started is gone when it is left, orphans that refuse to end included."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.cluster.supervisor import supervised

ROOT = Path(__file__).resolve().parents[3]
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(f"{os.getpid()}\\n")
time.sleep(600)
"""
PROGRAM = """
import os, subprocess, sys, time
if os.fork() == 0:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], start_new_session=True)
    os._exit(0)
os.wait()
time.sleep(600)
"""
"""Starts a daemon (its parent ends at once, its session is its own) that refuses SIGTERM."""


def command(note: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(note), DAEMON]


def daemon_of(note: Path) -> psutil.Process:
    until = time.monotonic() + 30
    while not (note.exists() and note.read_text().endswith("\n")):
        assert time.monotonic() < until, "no daemon"
        time.sleep(0.02)
    return psutil.Process(int(note.read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    place.mkdir()
    return place


def test_on_leaving_even_a_daemon_is_gone(folder: Path, tmp_path: Path) -> None:
    with supervised(command(tmp_path / "note"), folder) as supervisor:
        daemon = daemon_of(tmp_path / "note")
        assert daemon.ppid() == supervisor.pid, "the supervisor has adopted it"
    assert not daemon.is_running()
    assert supervisor.returncode == 0
    assert not folder.exists()


def test_an_error_inside_is_raised_after_all_is_gone(folder: Path, tmp_path: Path) -> None:
    daemons = []

    def use_it() -> None:
        with supervised(command(tmp_path / "note"), folder):
            daemons.append(daemon_of(tmp_path / "note"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use_it()
    assert not daemons[0].is_running()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_killed_user_of_it(number: int, folder: Path, tmp_path: Path) -> None:
    code = "import sys, time\nfrom pathlib import Path\nfrom components.cluster.supervisor import supervised\n"
    code += "with supervised(sys.argv[2:], Path(sys.argv[1])):\n    time.sleep(600)\n"
    user = subprocess.Popen([sys.executable, "-c", code, str(folder), *command(tmp_path / "note")], cwd=ROOT)
    daemon = daemon_of(tmp_path / "note")
    below = psutil.Process(user.pid).children(recursive=True)
    assert daemon in below
    os.kill(user.pid, number)
    user.wait()
    assert not psutil.wait_procs(below, timeout=60)[1]
    assert not folder.exists()


def test_a_program_that_ends_ends_its_supervisor_and_has_said_why(folder: Path) -> None:
    ending = [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"]
    with supervised(ending, folder) as supervisor:
        assert supervisor.wait(30) == 3
        assert (folder / "log").read_text() == "no such thing\n"
    assert not folder.exists()


def test_a_supervisor_that_hangs_is_given_up_and_none_is_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.cluster.supervisor.LONGEST_S", 0.5)
    with supervised(command(tmp_path / "note"), folder) as supervisor:
        daemon = daemon_of(tmp_path / "note")
        os.kill(supervisor.pid, signal.SIGSTOP)
    assert not psutil.wait_procs([daemon], timeout=30)[1]
    assert supervisor.returncode == -signal.SIGKILL
