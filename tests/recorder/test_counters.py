"""Counters: one reading of this machine, with the RAPL zones of a recorded one."""

import os
import subprocess
import sys
from pathlib import Path

import psutil  # noqa: F401 - before the platform is another
import pytest

from greenhouse_record.metering.counters import SystemCounters, _linux_processes, _psutil_processes, lives, start_of
from tests.recorder.test_rapl import MACHINES, build


def test_a_reading_has_the_zones_and_this_process(tmp_path: Path) -> None:
    facts = MACHINES["rapl"]["xeon, four sockets, numbered backwards"]
    counters = SystemCounters(build(tmp_path, facts))
    reading = counters.read()
    assert reading.energy_uj["rapl:package-3"] == facts["zones"]["intel-rapl:0"][1]
    assert reading.wrap_uj["rapl:dram-3"] == facts["zones"]["intel-rapl:0:0"][2]
    me = reading.processes[os.getpid()]
    assert me.parent == os.getppid()
    assert me.rss_bytes > 1_000_000
    assert counters.host.threads >= counters.host.usable_threads >= 1
    assert counters.read().at_us > reading.at_us


def test_both_ways_to_list_processes_agree_on_this_one() -> None:
    ours, others = (listed()[os.getpid()] for listed in (_linux_processes, _psutil_processes))
    assert (ours.parent, others.parent) == (os.getppid(),) * 2
    assert abs(ours.own_us - others.own_us) < 1_000_000
    assert others.rss_bytes > 1_000_000


@pytest.mark.parametrize("platform", [sys.platform, "other"])
def test_a_process_lives_until_it_ends(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "print(); input()"], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        monkeypatch.setattr("greenhouse_record.metering.counters.sys.platform", platform)
        start = start_of(process.pid)
        assert lives(process.pid, start)
        assert not lives(process.pid, start + 1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # a signal would have ended it
        process.kill()
    assert not lives(process.pid, start)
