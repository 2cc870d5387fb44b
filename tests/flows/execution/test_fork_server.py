"""A process forked by the server is as one that DVC's child would be: same arguments, output, signals and end."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.execution import fork_server
from flows.execution.fork_server import ForkServer
from flows.system.paths import ROOT
from tests.flows.pipeline_clone import is_running

CLIENT = """
import sys
from flows.execution import fork_server
fork_server.WITH_TORCH = ("patient",)
status = fork_server.delegate(sys.argv[1], sys.argv[2:])
sys.exit("no server" if status is None else status)
"""

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    """A server that imports nothing ahead, in a folder with a module `work`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GIVEN": "before"}
    running = ForkServer(tmp_path, environment, packages=())
    running.start()
    until(lambda: Path(running.address).exists())
    yield running
    running.stop()


def until(true: object, seconds: float = 60.0) -> None:
    """Wait until a function returns something true."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def client(server: ForkServer, folder: Path, code: str, *arguments: str, module: str = "work") -> subprocess.Popen:
    """The process DVC starts, which asks for `python -m MODULE` with that code."""
    (folder / f"{module}.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT), fork_server.VARIABLE: server.address, "GIVEN": "now"}
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, module, *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def working(process: subprocess.Popen) -> psutil.Process:
    """The forked process, by the line with its pid that it prints first."""
    assert process.stdout is not None
    return psutil.Process(int(process.stdout.readline()))


def test_arguments_environment_output_and_status(server: ForkServer, tmp_path: Path) -> None:
    code = """
import os, sys
print(__name__, sys.argv[1:], os.environ["GIVEN"], os.getcwd(), "GREENHOUSE_FORK_SERVER" in os.environ)
os.system("echo from a child")
print("to stderr", file=sys.stderr)
sys.exit(75)
"""
    process = client(server, tmp_path, code, "a", "b c")
    lines = process.communicate(timeout=60)[0].splitlines()
    assert lines == [f"__main__ ['a', 'b c'] now {tmp_path} False", "from a child", "to stderr"]
    assert process.returncode == 75


def test_own_modules_are_read_again(server: ForkServer, tmp_path: Path) -> None:
    for text in ("first", "second"):
        process = client(server, tmp_path, f"print({text!r})")
        assert process.communicate(timeout=60)[0] == f"{text}\n"


def test_modules_of_the_project_are_imported_ahead_and_again_once_one_changed(tmp_path: Path) -> None:
    """What runs is what lies on disk, which DVC hashes: also where the file's own times are set back."""
    for name in ("components", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    time.sleep(2 * fork_server.TICK_NS / 1e9)
    running = ForkServer(tmp_path, os.environ | {"PYTHONPATH": str(tmp_path)}, packages=fork_server.OWN)
    running.start()
    until(lambda: Path(running.address).exists())
    code = """
import sys
print("flows.execution.stage_run" in sys.modules)
from components.core import errors
print(errors.__doc__.splitlines()[0])
"""
    before = client(running, tmp_path, code).communicate(timeout=60)[0].splitlines()
    file = tmp_path / "components/core/errors.py"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_text('"""Other words."""\n' + file.read_text())
    os.utime(file, ns=times)
    after = client(running, tmp_path, code).communicate(timeout=60)[0].splitlines()
    running.stop()
    assert before[0] == "True"
    assert after == ["False", "Other words."]
    assert before[1] != after[1]


def test_an_error_is_shown_and_fails(server: ForkServer, tmp_path: Path) -> None:
    process = client(server, tmp_path, "raise KeyError('mark')")
    assert process.communicate(timeout=60)[0].splitlines()[-1] == "KeyError: 'mark'"
    assert process.returncode == 1


def test_signals_are_passed_on(server: ForkServer, tmp_path: Path) -> None:
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print(os.getpid(), flush=True)
time.sleep(600)
"""
    process = client(server, tmp_path, code)
    working(process)
    process.terminate()
    assert process.wait(60) == 42


def test_a_signal_that_comes_before_the_stage_began_is_passed_on_too(server: ForkServer, tmp_path: Path) -> None:
    paused = psutil.Process(server._process.pid)  # type: ignore[union-attr]
    paused.suspend()
    process = client(server, tmp_path, "import time; time.sleep(600)")
    status = Path(f"/proc/{process.pid}/status")
    until(lambda: int(re.search(r"SigBlk:\t(\w+)", status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1)  # type: ignore[index]
    process.terminate()
    assert process.poll() is None
    paused.resume()
    assert process.wait(60) == 128 + signal.SIGTERM  # the stage's end, and not the asking process's own


@pytest.mark.parametrize("victim", ["who asked", "server"])
def test_a_stage_ends_with_its_owner(server: ForkServer, tmp_path: Path, victim: str) -> None:
    process = client(server, tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    stage = working(process)
    if victim == "who asked":
        process.kill()
    else:
        server.stop()
    until(lambda: not is_running(stage.pid))
    assert process.wait(60) != 0


def test_a_killed_stage_fails(server: ForkServer, tmp_path: Path) -> None:
    process = client(server, tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    working(process).kill()
    assert process.wait(60) == 128 + signal.SIGKILL


def test_a_request_of_another_checkout_is_not_taken(server: ForkServer, tmp_path: Path) -> None:
    """Its modules are not those that this server's processes find."""
    (tmp_path / "other").mkdir()
    process = client(server, tmp_path / "other", "print('never')")
    assert process.communicate(timeout=60)[0] == "no server\n"


def test_no_server_is_no_answer(server: ForkServer, tmp_path: Path) -> None:
    server.stop()
    process = client(server, tmp_path, "print('never')")
    assert process.communicate(timeout=60)[0] == "no server\n"


@pytest.mark.parametrize("ends", [False, True])
def test_who_needs_torch_waits_for_a_server_that_still_imports_unless_it_ends(tmp_path: Path, ends: bool) -> None:
    """Two that import at once, on as many cores as a small machine has, take longer than one after the other."""
    (tmp_path / "slow.py").write_text("import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)")
    starting = ForkServer(tmp_path, os.environ | {"PYTHONPATH": str(ROOT)}, packages=("slow",))
    starting.start()
    until(lambda: Path(f"{starting.address}.new").exists())
    assert client(starting, tmp_path, "print('forked')").communicate(timeout=60)[0] == "no server\n"
    process = client(starting, tmp_path, "print('forked')", module="patient")
    time.sleep(1)
    assert process.poll() is None
    if ends:
        starting.stop()
    else:
        (tmp_path / "go").touch()
    assert process.communicate(timeout=60)[0] == ("no server\n" if ends else "forked\n")
    starting.stop()
