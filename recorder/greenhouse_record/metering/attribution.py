"""Attribution of the energy between two counter readings to the open spans, in integer microjoules that add up exactly.

A pure function of the `MeterState` of the last reading and a new reading. CPU time goes to the span of the nearest
ancestor process that has one open, and of its spans to the one opened last. The processor's energy follows CPU time,
that of memory the resident bytes, that of a GPU the processes on it; the idle share is divided equally among the
leaves, the spans that have none inside them. What a span with others inside keeps in memory (the pipeline's Prefect and
DVC, which wait for the stage) is kept for those: its share is divided equally among the leaves in it. The rest is
`unattributed`: spans + unattributed == host, exactly, and none is negative.

Where no counter measures the processor, its energy is modelled, and idling is counted once: each thread draws its idle
power for as long as the machine is on, and a busy one the difference to its TDP on top. Example: two threads, of which
one is busy for the 10 s between two readings.

    idle   2 threads x 10 s x 0.74 W           14.8 J
    cpu    1 thread  x 10 s x (3.5 - 0.74) W   27.6 J
    sum    10 s x (3.5 + 0.74) W               42.4 J: one thread at its TDP, the other idle

The hard case is a child that ends between two readings: its parent's counter of reaped children then grows by the
child's whole life, part of which earlier readings have attributed already. Example: process 10 has the span `stage`,
its child 11 a span `probe` of its own, and 11 ends between the readings.

                      last reading                   this reading, 1 s later
    10  own           2.0 s                          2.5 s                      0.5 s new, to `stage`
    10  children      0.0 s                          1.3 s (all of 11's life)   1.3 - 1.0 = 0.3 s new, to `probe`
    11  own           1.0 s                          gone
    host busy         50.0 s                         51.0 s                     1.0 s, of which 0.2 s is of no span
    RAPL package      0 uJ                           8,000,000 uJ               8,000,000 uJ to divide by CPU time

`stage` gets 8,000,000 * 0.5 / 1.0 = 4,000,000 uJ, `probe` 2,400,000 uJ, and 1,600,000 uJ are unattributed. Had 11 no
span of its own, it would belong to 10, and `stage` would get 6,400,000 uJ.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import Any, TypeVar

from greenhouse_record.metering import constants
from greenhouse_record.metering.constants import Bounds
from greenhouse_record.metering.counters import Host, Reading
from greenhouse_record.metering.rapl import counted

Key = TypeVar("Key", int, str)

Microjoules = tuple[int, int, int]
"""Low, mid, high."""
SHARED = ", divided equally"
"""Ends the source of a GPU's energy where NVML names none of our processes."""


@dataclass
class OpenSpan:
    """An open span of the process `pid` that began at `start`; `ended_*` are totals of the spans inside that ended."""

    id: str
    parent: str
    name: str
    labels: dict[str, str]
    pid: int
    start: int
    since_us: int
    cpu_us: int = 0
    uj: list[int] = field(default_factory=lambda: [0, 0, 0])
    ended_cpu_us: int = 0
    ended_uj: list[int] = field(default_factory=lambda: [0, 0, 0])


SPAN_KEYS = tuple(field.name for field in fields(OpenSpan))
"""Keys of an `OpenSpan` in the state file; an older one may hold more."""
SEEN_KEYS = ("start", "parent", "own_us", "reaped_us", "domain")
"""Keys of a `SeenProcess` in the state file, in the order of its fields."""


@dataclass
class SeenProcess:
    """A process at the last reading; `owner_pid` is the process whose span it belongs to, itself or an ancestor."""

    start: int
    parent: int
    own_us: int
    children_us: int
    owner_pid: int


@dataclass
class MeterState:
    """State of the meter from one reading to the next, kept in a JSON file beside the ledger.

    `book` identifies it among the states of other clones on the same machine.
    """

    book: str = field(default_factory=lambda: secrets.token_hex(4))
    seq: int = 0
    at_us: int = 0
    busy_us: int = 0
    energy_uj: dict[str, int] = field(default_factory=dict)
    seen: dict[int, SeenProcess] = field(default_factory=dict)
    spans: dict[str, OpenSpan] = field(default_factory=dict)

    def to_json(self) -> dict:
        return asdict(self) | {"seen": {pid: dict(zip(SEEN_KEYS, astuple(seen))) for pid, seen in self.seen.items()}}

    @classmethod
    def from_json(cls, raw: dict) -> MeterState:
        seen = {int(pid): SeenProcess(*(row[key] for key in SEEN_KEYS)) for pid, row in raw["seen"].items()}
        spans = {id: OpenSpan(*(row[key] for key in SPAN_KEYS)) for id, row in raw["spans"].items()}
        return cls(**{**raw, "seen": seen, "spans": spans})

    def alive(self, span: OpenSpan, reading: Reading) -> bool:
        """Whether the process that opened the span still runs."""
        process = reading.processes.get(span.pid)
        return process is not None and process.start == span.start

    def innermost_spans(self) -> dict[int, OpenSpan]:
        """The span opened last of those open in each process, by pid."""
        return {span.pid: span for span in self.spans.values()}

    def leaves(self, reading: Reading) -> list[OpenSpan]:
        """Living spans with no living span inside them."""
        living = [span for span in self.spans.values() if self.alive(span, reading)]
        parents = {span.parent for span in living}
        return [span for span in living if span.id not in parents]

    def contains(self, ancestor: str, span: OpenSpan | None) -> bool:
        """Whether a span is the one with the id `ancestor`, or inside it."""
        while span is not None and span.id != ancestor:
            span = self.spans.get(span.parent)
        return span is not None


# -- process owners ----------------------------------------------------------------------------------------------------


def owner_pids(state: MeterState, reading: Reading) -> dict[int, int]:
    """Owner of each process, by pid: itself or the nearest ancestor with an open span.

    A process whose parents are gone stays where it was: a worker that outlives its pool is still the stage's.
    """
    roots = {span.pid for span in state.spans.values() if state.alive(span, reading)}
    known: dict[int, int] = {pid: pid for pid in roots}
    for pid in reading.processes:
        path = []
        ancestor = pid
        while ancestor not in known and ancestor in reading.processes and ancestor not in path:
            path.append(ancestor)
            ancestor = reading.processes[ancestor].parent
        owner_pid = known.get(ancestor, 0)
        for step in path:
            known[step] = owner_pid or _former_owner(state, reading, step, roots)
    return {pid: owner_pid for pid, owner_pid in known.items() if owner_pid}


def _former_owner(state: MeterState, reading: Reading, pid: int, roots: set[int]) -> int:
    seen = state.seen.get(pid)
    same = seen is not None and seen.start == reading.processes[pid].start
    return seen.owner_pid if seen and same and seen.owner_pid in roots else 0


def remember(state: MeterState, reading: Reading) -> None:
    """Store the counters of every process that belongs to a span: the next reading counts from here.

    Of the host what the lines account for, where that is ahead of its counter (`_host_busy`).
    """
    owners = owner_pids(state, reading)
    state.seen = {}
    for pid, owner_pid in owners.items():
        process = reading.processes[pid]
        state.seen[pid] = SeenProcess(process.start, process.parent, process.own_us, process.children_us, owner_pid)
    state.at_us = reading.at_us
    state.busy_us = max(state.busy_us, reading.busy_us or 0)
    # A GPU that this reading lacks goes on from its last known value; where RAPL is lacking, an estimate stood in.
    state.energy_uj = {name: uj for name, uj in state.energy_uj.items() if name.startswith("nvml:")} | reading.energy_uj


def cpu_by_owner(state: MeterState, reading: Reading) -> dict[int, int]:
    """CPU microseconds since the last reading, by metered process."""
    used: dict[int, int] = defaultdict(int)
    metered = {span.pid for span in state.spans.values()}
    alive = {pid: process.start for pid, process in reading.processes.items()}
    dead = {pid: seen for pid, seen in state.seen.items() if alive.get(pid) != seen.start}
    reaped: dict[int, int] = {}
    among: dict[int, list[int]] = {}
    orphans: dict[int, int] = {}
    for pid, owner_pid in owner_pids(state, reading).items():
        process = reading.processes[pid]
        before = state.seen.get(pid)
        if before is None or pid in dead:  # born since then: all it has used is new
            used[owner_pid] += process.own_us + process.children_us
        else:
            used[owner_pid] += max(0, process.own_us - before.own_us)
            ended = _dead_below(pid, dead)
            known = sum(seen.own_us + seen.children_us for seen in ended)
            reaped[pid] = process.children_us - before.children_us - known
            others = {seen.owner_pid for seen in ended} & metered - {owner_pid}
            among[pid] = sorted(others) or [owner_pid]
            if reaped[pid] < 0 and any(seen.parent in dead for seen in ended):
                orphans[pid] = -reaped[pid]
    for pid, known in orphans.items():
        _take_off(reading, reaped, reading.processes[pid].parent, known)
    for seen in dead.values():
        if _topmost(seen, dead).parent not in alive:  # that ended while it was read, so who reaped this is not known
            _take_off(reading, reaped, seen.owner_pid, seen.own_us + seen.children_us)
    for pid, rest in reaped.items():
        _share(used, max(0, rest), among[pid])
    return used


def _take_off(reading: Reading, reaped: dict[int, int], above: int, known: int) -> None:
    """Take what is known of orphans off the time of the process, `above` or an ancestor, that reaped them in place of
    their parent."""
    while known and above in reaped:
        removed_us = min(known, max(0, reaped[above]))
        reaped[above] -= removed_us
        known -= removed_us
        above = reading.processes[above].parent


def _dead_below(pid: int, dead: dict[int, SeenProcess]) -> list[SeenProcess]:
    """Processes that ended since the last reading, their time now in `pid`'s `children_us`."""
    return [process for process in dead.values() if _topmost(process, dead).parent == pid]


def _topmost(process: SeenProcess, dead: dict[int, SeenProcess]) -> SeenProcess:
    """The process, or the highest above it of those that ended too."""
    while process.parent in dead:
        process = dead[process.parent]
    return process


def _share(used: dict[Key, int], amount: int, among: list[Key]) -> None:
    """Divide `amount` equally; the remainder goes to the first."""
    for key in among:
        used[key] += amount // len(among)
    used[among[0]] += amount % len(among)


# -- ledger line -------------------------------------------------------------------------------------------------------


def reading_line(state: MeterState, reading: Reading, host: Host) -> dict | None:
    """Ledger line for the time since the last reading; updates the state. None if no process was metered then."""
    leaves = [span.id for span in state.leaves(reading)]
    if not leaves or reading.at_us < state.at_us:  # the clock of another boot or time namespace
        state.energy_uj, state.busy_us = {}, 0  # what was used while no process was metered is not counted
        remember(state, reading)
        return None
    dt_us = reading.at_us - state.at_us
    cpu = dict.fromkeys(state.spans, 0)
    innermost = state.innermost_spans()
    for owner_pid, amount in cpu_by_owner(state, reading).items():
        if owner_pid in innermost:
            cpu[innermost[owner_pid].id] += amount
    owners = {pid: innermost[owner_pid].id for pid, owner_pid in owner_pids(state, reading).items()}
    busy_us, counter = _host_busy(state, reading, cpu)
    state.busy_us += busy_us
    energies = _host_energy(state, reading, host, dt_us, busy_us)
    equally = dict.fromkeys(leaves, 1), len(leaves)
    weights = {"cpu": (cpu, busy_us), "memory": _resident(state, reading, owners, leaves), "idle": equally}
    for name, pids in reading.gpu_pids.items():  # in a container a device names none of the processes that are seen
        if any(pid in reading.processes for pid in pids):
            weights[f"gpu{name[5:]}"] = Counter(owners[pid] for pid in pids if pid in owners), len(pids)
    state.seq += 1
    line: dict[str, Any] = {
        "kind": "reading", "book": state.book, "seq": state.seq, "host": host.file_stem, "t": reading.time,
        "dt_us": dt_us, "counter": counter, "busy_us": busy_us, "host_uj": {}, "source": {}, "unattributed_uj": {},
    }  # fmt: skip
    line["spans"] = {id: {"cpu_us": us, "uj": {}} for id, us in cpu.items() if us} | {
        id: {"cpu_us": cpu[id], "wall_us": dt_us // len(leaves), "uj": {}} for id in leaves
    }
    for name, (bounds, source) in energies.items():  # a device's is divided equally among its processes, or the leaves
        line["host_uj"][name], line["source"][name] = bounds, source + ("" if name in weights else SHARED)
        line["unattributed_uj"][name] = _divide(name, bounds, *weights.get(name, equally), line["spans"])
    _add_up(state, line)
    remember(state, reading)
    return line


def _host_busy(state: MeterState, reading: Reading, cpu: dict[str, int]) -> tuple[int, str]:
    """Busy time since the last reading, and the counter it is from; where the host's is hidden, the spans' own sum.

    The kernel times processes exactly and the host by ticks, and the host is read first, so the spans may be ahead of
    it. Then their sum counts, and the host's counter catches up at later readings: until it has, no time is added.
    """
    used = sum(cpu.values())
    if reading.busy_us is None:
        return used, "processes"
    return max(used, reading.busy_us - state.busy_us), "/proc/stat"


def _host_energy(
    state: MeterState, reading: Reading, host: Host, dt_us: int, busy_us: int
) -> dict[str, tuple[Microjoules, str]]:
    """Energy of the host since the last reading: component -> (bounds in uJ, its source)."""
    used = {
        name: counted(state.energy_uj[name], now, reading.wrap_uj.get(name), dt_us)
        for name, now in reading.energy_uj.items()
        if name in state.energy_uj
    }
    package = [uj for name, uj in used.items() if name.startswith("rapl:package")]
    dram = [uj for name, uj in used.items() if name.startswith("rapl:dram")]
    gigabytes = host.memory_bytes / 1e9
    energies: dict[str, tuple[Microjoules, str]] = {}
    if package:
        energies["cpu"] = (sum(package),) * 3, "measured:rapl"
    else:
        idle_w = constants.bounds("cpu_idle_w_per_thread")
        above_idle_w = constants.bounds("cpu_busy_w_per_thread") - idle_w
        energies["cpu"] = _model(above_idle_w, busy_us), "estimated:cpu_seconds x watts"
        energies["idle"] = _model(idle_w, dt_us * host.usable_threads), "assumed:watts per thread"
    if dram:
        energies["memory"] = (sum(dram),) * 3, "measured:rapl"
    else:
        per_gb_w = constants.bounds("memory_w_per_gb")
        energies["memory"] = _model(per_gb_w, round(dt_us * gigabytes)), "assumed:watts per GB"
    return energies | {
        f"gpu{name[5:]}": ((uj,) * 3, "measured:nvml") for name, uj in used.items() if name[:5] == "nvml:"
    }


def _model(watts: Bounds, amount_us: int) -> Microjoules:
    """Watts times microseconds: microjoules, low, mid and high."""
    low, mid, high = (amount_us * round(watt * 10_000) // 10_000 for watt in watts.as_list())
    return low, mid, high


def _resident(
    state: MeterState, reading: Reading, owners: dict[int, str], leaves: list[str]
) -> tuple[dict[str, int], int]:
    """Resident bytes by leaf, and of all processes: who uses memory is charged for unused too.

    Args:
        owners: the innermost span that each process belongs to, by pid.
    """
    used: dict[str, int] = defaultdict(int)
    by_span: dict[str, int] = defaultdict(int)
    for pid, span in owners.items():
        by_span[span] += reading.processes[pid].rss_bytes
    for span, rss_bytes in by_span.items():
        inside = [leaf for leaf in leaves if state.contains(span, state.spans[leaf])]
        _share(used, rss_bytes, inside or [span])
    return used, sum(process.rss_bytes for process in reading.processes.values())


def _divide(name: str, bounds: Microjoules, weights: dict[str, int], whole: int, spans: dict[str, dict]) -> list[int]:
    """Add each span's share of `bounds`, rounded down; returns the rest, which is unattributed."""
    rest = list(bounds)
    for id, weight in weights.items():
        part = [value * weight // whole if whole else 0 for value in bounds]
        if any(part):
            spans.setdefault(id, {"cpu_us": 0, "uj": {}})["uj"][name] = part
            rest = [total - value for total, value in zip(rest, part)]
    return rest


def _add_up(state: MeterState, line: dict) -> None:
    """Running totals of the open spans, for `Meter.totals`."""
    for id, part in line["spans"].items():
        span = state.spans[id]
        span.cpu_us += part["cpu_us"]
        for bounds in part["uj"].values():
            span.uj = [total + value for total, value in zip(span.uj, bounds)]
