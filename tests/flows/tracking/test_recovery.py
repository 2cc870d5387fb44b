"""Which of Prefect's runs count as dead: those whose process is gone; not one that names none, or is elsewhere."""

import os
import subprocess
import sys

import psutil
import pytest

from flows.system import processes
from flows.tracking import recovery


@pytest.fixture
def ended() -> str:
    """The tag of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = processes.process_tag(process.pid)
    assert processes.tag_alive(tag)
    process.communicate(b"\n")
    return tag


def test_a_reused_pid_is_another_process() -> None:
    kind, host, pid, started = processes.process_tag().split(":")
    assert not processes.tag_alive(f"{kind}:{host}:{pid}:{started}0")
    assert not processes.tag_alive(f"{kind}:{host}:{pid}:{int(psutil.Process().create_time()) - 5}")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems store a start that no step of the clock changes")
def test_a_step_of_the_clock_ends_no_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tag, start = processes.process_tag(), processes.start_of(os.getpid())
    real = psutil.Process.create_time
    for step in (-7200.0, -1.0, 1.0, 7200.0):  # psutil computes it from the boot's wall-clock time, which moves along
        monkeypatch.setattr(psutil.Process, "create_time", lambda process, step=step: real(process) + step)
        assert processes.tag_alive(tag)
        assert processes.alive(os.getpid(), start)
        assert processes.process_tag() == tag


def test_tags_of_others_do_no_harm() -> None:
    host = processes.process_tag().split(":")[1]
    for text in ("proc:", "proc:a:b:c:d", f"proc:{host}:x:y", "processing"):
        assert processes.tag_alive(text)
        assert not recovery._is_dead([text])


def test_a_prefect_run_is_dead_if_it_names_processes_and_none_lives(ended: str) -> None:
    assert recovery._is_dead([ended])
    assert not recovery._is_dead([ended, processes.process_tag()])  # tried again
    assert not recovery._is_dead(["greenhouse"])


def test_a_deployments_run_that_names_no_process_is_dead_for_the_only_server_of_deployments(ended: str) -> None:
    assert recovery._is_dead(["greenhouse"], never_began=True)
    assert not recovery._is_dead([processes.process_tag()], never_began=True)
