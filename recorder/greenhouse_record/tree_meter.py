"""Meter of one process tree, a try: the ledger's meter, whose lines go to the try's record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from greenhouse_record.metering import nvml
from greenhouse_record.metering.attribution import MeterState
from greenhouse_record.metering.counters import Reading, SystemCounters
from greenhouse_record.metering.ledger_writer import LedgerWriter
from greenhouse_record.record import append


class TreeCounters(SystemCounters):
    """The machine's counters without the GPUs that the command cannot see.

    Args:
        itself: whether this process is metered; a recorder that starts a command is not.

    `lacking` is a sentence about GPUs that are not metered, if there are.
    """

    def __init__(self, itself: bool) -> None:
        super().__init__()
        self.itself = itself
        self.nvml, self.lacking = nvml.open_nvml()
        self.gpus = nvml.device_names(self.nvml)
        self._visible = nvml.visible(self.nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))

    def warm_up(self) -> tuple[bool, str]:
        """Nothing: all counters are open."""
        return False, ""

    def read(self) -> Reading:
        """A reading without hidden GPUs and the recorder's CPU time."""
        reading, pid = super().read(), os.getpid()
        hidden = reading.gpu_pids.keys() - self._visible
        energy = {name: uj for name, uj in reading.energy_uj.items() if name not in hidden}
        processes = reading.processes
        if not self.itself:
            processes = {**processes, pid: processes[pid]._replace(own_us=0, rss_bytes=0)}
        return replace(reading, energy_uj=energy, processes=processes)


class RecordWriter(LedgerWriter):
    """A record as a meter writes it; the state is in memory, for one process alone takes readings."""

    who = "greenhouse-record"
    longest_share = 0.001
    """A day's run has a few thousand readings, not 86,400."""

    def __init__(self, path: Path) -> None:
        self.path, self._state = path, MeterState()
        self._lines: list[dict] = []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[tuple[MeterState, list[dict]]]:
        """The state, and a list for new lines; what a full disk refuses waits for the next time."""
        yield self._state, self._lines
        while self._lines:
            append(self.path, self._lines[0])
            del self._lines[0]

    def peek(self) -> MeterState:
        """The state now."""
        return self._state

    def sync(self) -> None:
        """Nothing: lines that must be on disk are, once they are appended."""
