"""Which of Prefect's runs count as dead: those whose process is gone; not one that names none, or is elsewhere."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from components.carbon.ledger.reader import read
from flows.system import processes
from flows.tracking import recovery
from tests.components.finished_project import ledger


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


def test_a_prefect_run_is_dead_if_it_names_processes_and_none_lives(ended: str) -> None:
    host = processes.process_tag().split(":")[1]
    of_others = ("proc:", "proc:a:b:c:d", f"proc:{host}:x:y", "processing", "greenhouse")

    def is_dead(label: str, tags: tuple[str, ...] = (), never_began: bool = False) -> bool:
        return recovery._is_dead(SimpleNamespace(labels={"process": label}, tags=tags), never_began)

    assert is_dead(ended)
    assert is_dead("", (ended,)), "a version before labels tagged it"
    assert not is_dead(processes.process_tag(), (ended,))  # tried again
    assert not any(map(is_dead, of_others))
    # For the only server of deployments a deployment's run that names no process never began.
    assert is_dead("", ("greenhouse",), never_began=True)
    assert not is_dead(processes.process_tag(), never_began=True)


def test_a_crashed_run_says_what_it_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.paths, "LEDGER", tmp_path)
    ledger(tmp_path, tmp_path, {"dedup": 0.05})
    known, says = read(tmp_path).select(run="calm-otter").energy.mid_kwh, "gone; run it again, it resumes"
    assert recovery._crash_message("calm-otter").endswith(f"{says}; {1000 * known:.3g} Wh so far (ledger)")
    assert recovery._crash_message("never-metered").endswith(says)
