"""Children end with their parent: also one that answers SIGTERM at length, and one whose parent was quicker to die."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.flows.pipeline_clone import ROOT, is_running, until

DEAF = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""
"""A pipeline that is busy with its end, and takes its time."""
REMOVAL = """
import sys
from pathlib import Path
from flows import forget
forget.paths.ROOT = Path(sys.argv[1])
forget.make_again()
"""
LATE = """
import os
from flows.system.processes import dies_with_parent
ends = dies_with_parent()
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
child = os.fork()  # whose parent is not the process that asked
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ends()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's death is Linux's")


def test_a_killed_removal_ends_its_pipeline_whatever_that_does(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/__init__.py").touch()
    (tmp_path / "flows/cli.py").write_text(DEAF)
    removal = subprocess.Popen([sys.executable, "-c", REMOVAL, tmp_path], cwd=ROOT)
    noted = tmp_path / "pid"
    try:
        assert until(lambda: noted.exists() and noted.read_text())
        pipeline = int(noted.read_text())
    finally:
        os.kill(removal.pid, signal.SIGKILL)
        removal.wait()
    try:
        assert until(lambda: not is_running(pipeline), 20), "the pipeline outlived a killed removal"
    finally:
        if is_running(pipeline):
            psutil.Process(pipeline).kill()


def test_a_child_whose_parent_died_before_it_asked_ends_at_once() -> None:
    assert subprocess.run([sys.executable, "-c", LATE], cwd=ROOT).returncode == 1
