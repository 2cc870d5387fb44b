"""Meter: a span for this process and its children, and a thread that reads the host's counters.

    with Meter(ledger, interval_s=1.0, labels={"stage": "dedup", "run": "calm-otter"}) as meter:
        with meter.span("signatures"):
            ...
        meter.totals().mid_kwh

Every metered process has a thread that wakes when the last reading of the host is an interval old. Whoever wakes first
takes the next reading, for all spans of all processes; when that process is killed, the others wake as they would have
anyway, so no reading is missed and none is taken twice. The state is on disk: what a process counted before it
was killed is kept. Beginning and end of a span take a reading of their own, so its edges are exact.

Imports the standard library alone (psutil where there is no /proc), and opens no socket.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from greenhouse_record.errors import UserError
from greenhouse_record.metering import constants
from greenhouse_record.metering.attribution import MeterState, OpenSpan, reading_line, remember
from greenhouse_record.metering.constants import Bounds
from greenhouse_record.metering.counters import Host, Reading, SystemCounters, start_of, utc
from greenhouse_record.metering.ledger_writer import LedgerWriter

WATTS = ("cpu_busy_w_per_thread", "cpu_idle_w_per_thread", "memory_w_per_gb")
"""Constants that a ledger file names, for they are in its energies."""
EDGE_S = 0.05
"""Phases that begin or end within this time of the last reading take none of their own: a thousand short phases cost no
more than a few readings, and each edge is off by at most this much."""


@dataclass(frozen=True)
class Totals:
    """Energy and CPU time of a span and all inside it, child processes included, so far.

    `as_of_s` is the age of the reading behind the figures: at most an interval.
    """

    joules: Bounds
    cpu_s: float
    as_of_s: float

    @property
    def mid_kwh(self) -> float:
        return self.joules.mid / 3.6e6


class Meter:
    """Meters this process and its descendants as one span of the ledger in `folder`.

    Args:
        folder: the ledger; one file per host and boot.
        interval_s: seconds between readings of the host.
        labels: stage, run, fingerprint, ...; what a child's span does not state it takes from its parent's.
        counters: where readings come from; None for the system.
        writer: where lines go; None for the ledger in `folder`.

    `facts` are keys that its `start` and `end` lines have besides. `outcome` ends up in the ledger; unset, it is
    `Completed`, `Failed` if an exception passed, or the name of the stop. A span whose process was killed gets `Killed`
    from the next reading.

    Raises `UserError`: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, interval_s: float, labels: Mapping[str, str], counters: SystemCounters | None = None,
        writer: LedgerWriter | None = None,
    ) -> None:  # fmt: skip
        self.interval_us = int(interval_s * 1e6)
        self.labels = {name: str(value) for name, value in labels.items()}
        self.outcome = ""
        self.id = ""
        self.trouble = ""
        self.facts: dict[str, Any] = {}
        self._counters = counters or SystemCounters()
        self._writer = writer or LedgerWriter(folder, self._counters.host)
        self._at_us, self._began_us = 0, self._counters.now_us()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_done, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self.id = self._open(self.labels.get("stage") or self.labels.get("run") or "span", self.labels)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=5.0)
        self._close(self.id, self.outcome or _outcome(error), self.labels)
        self._writer.sync()

    @contextlib.contextmanager
    def span(self, name: str, **labels: str) -> Iterator[None]:
        """A named part of the work (a phase); may be nested."""
        id = self._open(name, {"phase": name} | labels, edge=True)
        try:
            yield
        except BaseException as error:
            self._close(id, _outcome(error), edge=True)
            raise
        self._close(id, "Completed", edge=True)

    def note(self, **labels: str) -> None:
        """Labels known only later (an MLflow run); written with the span's end."""
        self.labels |= {name: str(value) for name, value in labels.items()}

    def totals(self, whole_run: bool = False) -> Totals:
        """Totals of this span; with `whole_run`, of the outermost around it (the pipeline's)."""
        state = self._writer.peek()
        outermost = self.id
        while whole_run and outermost in state.spans and state.spans[outermost].parent in state.spans:
            outermost = state.spans[outermost].parent
        inside = [span for span in state.spans.values() if state.contains(outermost, span)]
        joules = Bounds(*(sum(span.uj[i] + span.ended_uj[i] for span in inside) / 1e6 for i in range(3)))
        cpu_s = sum(span.cpu_us + span.ended_cpu_us for span in inside) / 1e6
        return Totals(joules, cpu_s, (self._counters.now_us() - state.at_us) / 1e6)

    def record(self, kind: str, **facts: Any) -> None:
        """Put a line of another kind (a forecast) about this span into the ledger."""
        stage = self.labels.get("stage", "")
        with self._going_on(), self._writer.transaction() as (_, lines):
            lines.append({"kind": kind, "span": self.id, "t": utc(time.time()), "stage": stage} | facts)

    def totals_now(self, whole_run: bool = False) -> Totals:
        """`totals`, after a reading; as of the last one if none can be taken."""
        with self._going_on():
            self.read()
        return self.totals(whole_run)

    def read(self) -> None:
        """Take a reading now."""
        with self._writer.transaction() as (state, lines):
            self._account(state, lines, self._counters.read())

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def _open(self, name: str, labels: dict[str, str], edge: bool = False) -> str:
        with self._writer.transaction() as (state, lines):
            if state.seq == 0 and not state.spans:
                lines.append(host_line(self._counters.host, utc(time.time())))
            reading = None if edge and self._fresh(state) else self._counters.read()
            if reading:
                self._account(state, lines, reading)
            parent = _parent_span(state, reading, self.id)
            inherited = state.spans[parent].labels if parent else {}
            pid, id = os.getpid(), secrets.token_hex(6)
            span = OpenSpan(id, parent, name, inherited | labels, pid, start_of(pid), since_us=state.at_us)
            state.spans[id] = span
            if reading:
                remember(state, reading)  # from here this process and its children are the span's
            lines.append({"kind": "start", "span": id, "parent": parent, "t": utc(time.time()), "name": name,
                          "labels": span.labels, "pid": pid} | self.facts)  # fmt: skip
        return id

    def _close(self, id: str, outcome: str, labels: Mapping[str, str] | None = None, edge: bool = False) -> None:
        """Close a span; where that fails the next reading does."""
        with self._going_on(), self._writer.transaction() as (state, lines):
            if not (edge and self._fresh(state)):
                self._account(state, lines, self._counters.read())
            if id in state.spans:
                lines.append(_end(state, state.spans[id], outcome, dict(labels or {})) | self.facts)

    def _account(self, state: MeterState, lines: list[dict], reading: Reading) -> None:
        """Attribute the time since the last reading; close spans of processes that ended."""
        if line := reading_line(state, reading, self._counters.host):
            lines.append(line)
        lost = [span for span in state.spans.values() if not state.alive(span, reading)]
        for span in reversed(lost):
            lines.append(_end(state, span, "Killed", {}))
        self._at_us = state.at_us
        longest_us = int(self._writer.longest_share * (self._at_us - self._began_us))
        self.interval_us = max(self.interval_us, longest_us)

    def _fresh(self, state: MeterState) -> bool:
        return self._counters.now_us() - state.at_us < EDGE_S * 1e6

    # -- the sampler ---------------------------------------------------------------------------------------------------

    def _sample_until_done(self) -> None:
        """Wake when the last reading is an interval old, whoever took it; read if it still is."""
        with self._going_on(self.interval_us / 1e6):
            self._warm_up()
        while not self._done.wait(max(0.0, self._at_us + self.interval_us - self._counters.now_us()) / 1e6):
            with self._going_on(self.interval_us / 1e6):
                self._sample_if_due()
            self._writer.sync()  # without the lock: a busy disk takes seconds, and the counters go on

    def _warm_up(self) -> None:
        """Add slow counters, and read them at once: what a counter counts is known from its first reading on."""
        added, lacking = self._counters.warm_up()
        if lacking:
            self._writer.say(lacking)
        if added:
            self.read()

    def _sample_if_due(self) -> None:
        self._at_us = max(self._at_us, self._writer.peek().at_us)
        if self._counters.now_us() - self._at_us < self.interval_us:
            return
        with self._writer.transaction() as (state, lines):
            if self._counters.now_us() - state.at_us >= self.interval_us:
                self._account(state, lines, self._counters.read())
            self._at_us = state.at_us

    @contextlib.contextmanager
    def _going_on(self, wait_s: float = 0.0) -> Iterator[None]:
        """Within, no error ends the stage, such as of a full disk: the first is said, and the counters integrate."""
        try:
            yield
        except (OSError, ValueError, UserError) as error:
            trouble = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            if not self.trouble:
                self._writer.say(f"no reading could be written ({trouble}); it will be made up for")
            self.trouble = trouble
            self._done.wait(wait_s)


def host_line(host: Host, time_utc: str) -> dict[str, Any]:
    """Ledger line of a machine, with the watts that its energies rest on."""
    watts = {name: constants.rows()[name] for name in WATTS}
    return {"kind": "host", "t": time_utc, "host": host.file_stem, "watts": watts, **asdict(host)}


def _parent_span(state: MeterState, reading: Reading | None, own: str) -> str:
    """Innermost open span of this process, else of the nearest ancestor with one; "" if none."""
    owner = state.innermost_spans()
    pid = os.getpid()
    if reading is None:  # right after a reading, so by this process's own meter
        return owner[pid].id if pid in owner else own
    while pid in reading.processes:
        if pid in owner and state.alive(owner[pid], reading):
            return owner[pid].id
        pid = reading.processes[pid].parent
    return ""


def _end(state: MeterState, span: OpenSpan, outcome: str, labels: dict[str, str]) -> dict:
    """Ledger line that closes a span; adds its totals to its parent."""
    del state.spans[span.id]
    if parent := state.spans.get(span.parent):
        parent.ended_cpu_us += span.cpu_us + span.ended_cpu_us
        parent.ended_uj = [a + b + c for a, b, c in zip(parent.ended_uj, span.uj, span.ended_uj)]
    for child in state.spans.values():
        if child.parent == span.id:
            child.parent = span.parent
    uj = [own + inside for own, inside in zip(span.uj, span.ended_uj)]
    line = {"kind": "end", "span": span.id, "t": utc(time.time()), "outcome": outcome, "uj": uj}
    new = {name: value for name, value in labels.items() if span.labels.get(name) != value}
    return line | ({"labels": new} if labels else {})


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "Completed"
    return getattr(error, "outcome", "Failed")
