"""Meter of one process tree, a try: the ledger's meter, whose lines go to the try's record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenhouse_record.metering import nvml
from greenhouse_record.metering.attribution import MeterState
from greenhouse_record.metering.counters import Reading, SystemCounters
from greenhouse_record.metering.ledger_writer import LedgerWriter
from greenhouse_record.metering.meter import Meter
from greenhouse_record.record import append

LONGEST_SHARE = 0.001
"""Share of a run's time between two readings: a day's run has a few thousand, not 86,400."""


class TreeCounters:
    """The machine's counters without the GPUs that the command cannot see.

    Args:
        itself: whether this process is metered; a recorder that starts a command is not.

    `lacking` is a sentence about GPUs that are not metered, if there are.
    """

    def __init__(self, itself: bool) -> None:
        self.itself, self._all = itself, SystemCounters()
        self.host, self.now_us = self._all.host, self._all.now_us
        self.lacking = self._all.warm_up()[1]
        self.gpus = nvml.device_names(self._all.nvml)
        self._visible = nvml.visible(self._all.nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))

    def read(self) -> Reading:
        """A reading without hidden GPUs and the recorder's CPU time."""
        reading, pid = self._all.read(), os.getpid()
        hidden = reading.gpu_pids.keys() - self._visible
        energy = {name: uj for name, uj in reading.energy_uj.items() if name not in hidden}
        processes = reading.processes
        if not self.itself:
            processes = {**processes, pid: processes[pid]._replace(own_us=0, rss_bytes=0)}
        return replace(reading, energy_uj=energy, processes=processes)


class RecordWriter(LedgerWriter):
    """A record as a meter writes it; the state is in memory, for one process alone takes readings."""

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


class TreeMeter(Meter):
    """Meters this process and its descendants as a span of a record; readings become rarer with time.

    Args:
        facts: what its `start` line has besides.
    """

    who = "greenhouse-record"

    def __init__(
        self, path: Path, interval_s: float, labels: dict[str, str], counters: TreeCounters, facts: dict[str, Any]
    ) -> None:
        super().__init__(path.parent, interval_s, labels, counters, RecordWriter(path))
        self.facts, self._began_us = facts, counters.now_us()

    def _account(self, state: MeterState, lines: list[dict], reading: Reading) -> None:
        super()._account(state, lines, reading)
        self.interval_us = max(self.interval_us, int(LONGEST_SHARE * (self._at_us - self._began_us)))
