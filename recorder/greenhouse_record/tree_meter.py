"""Meter of one process tree: energy and CPU seconds of a try, as `reading` lines of a ledger.

Its state is in memory, for one process alone takes the readings; the attribution and the counters are the ledger's. An
orphan becomes a child of this process, so that what it used before it died between two readings counts too.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from typing import Any

from greenhouse_record.metering import nvml
from greenhouse_record.metering.attribution import MeterState, OpenSpan, reading_line, remember
from greenhouse_record.metering.counters import Reading, SystemCounters, start_of
from greenhouse_record.metering.meter import host_line

PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2)."""


class TreeMeter:
    """Meters this process and its descendants as the span `id`, from `start` on.

    Args:
        id: of the span.
        itself: whether this process is part of what is metered; a recorder that starts a command is not.
        lacking: set to a sentence about GPUs that are not metered, if there are.
    """

    def __init__(self, id: str, itself: bool) -> None:
        self.id, self.itself, self.lacking = id, itself, ""
        self._counters = SystemCounters()
        self._state = MeterState()
        self.host = self._counters.host

    def start(self) -> None:
        """Count from here."""
        self.lacking = self._counters.warm_up()[1]
        self._visible = nvml.visible(self._counters.nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if not self.itself:
            adopt_orphans()
        span = OpenSpan(self.id, "", "", {}, os.getpid(), start_of(os.getpid()), since_us=0)
        self._state.spans[self.id] = span
        remember(self._state, self._read())

    def line(self) -> dict[str, Any]:
        """A `reading` line for the time since the last one."""
        line = reading_line(self._state, self._read(), self.host)
        assert line is not None  # this process lives
        return line

    @property
    def energy_uj(self) -> list[int]:
        """Microjoules so far: low, mid, high."""
        return self._state.spans[self.id].uj

    def host_line(self, time: str) -> dict[str, Any]:
        """`host` line: the machine, its GPUs, and the watts that its energies rest on."""
        return {**host_line(self.host, time), "gpus": nvml.device_names(self._counters.nvml)}

    def _read(self) -> Reading:
        """A reading without GPUs that the command cannot see and the recorder's CPU time."""
        reading, pid = self._counters.read(), os.getpid()
        hidden = reading.gpu_pids.keys() - self._visible
        energy = {name: uj for name, uj in reading.energy_uj.items() if name not in hidden}
        processes = reading.processes
        if not self.itself:
            processes = {**processes, pid: processes[pid]._replace(own_us=0, rss_bytes=0)}
        return replace(reading, energy_uj=energy, processes=processes)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent dies (Linux): else their time is nobody's."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
