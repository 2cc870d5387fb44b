"""Who used it: the difference of two readings, divided among spans to the last microjoule.

A pure function of the books (what was known at the last reading) and a new reading. CPU time goes to the span of the
nearest ancestor process that has one open, and there to the innermost. The processor's energy follows CPU time, that
of memory the resident bytes, that of a GPU the processes on it; the idle share is divided equally among the spans that
have none inside them. What nobody's span used is `unattributed`, a line of its own: spans + unattributed == host,
exactly, and none is negative.

The hard case is a child that ends between two readings. Its parent's counter of reaped children then grows by the
child's whole life, of which earlier readings have seen and attributed a part; only the rest is new.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from components.carbon.ledger.merge import SHARED
from components.carbon.metering.counters import Host, Process, Reading
from components.carbon.metering.rapl import counted

Bounds = tuple[int, int, int]
"""Low, mid, high."""

Watts = dict[str, dict]
"""watts.json: name -> {low, mid, high, unit, source}."""


@dataclass
class OpenSpan:
    """A span that has begun. `pid` and `start` name the process that opened it; `ended_*` is what its children used."""

    id: str
    parent: str
    name: str
    labels: dict[str, str]
    pid: int
    start: int
    since_us: int
    pending_us: int = 0
    cpu_us: int = 0
    uj: list[int] = field(default_factory=lambda: [0, 0, 0])
    ended_cpu_us: int = 0
    ended_uj: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(slots=True)
class Seen:
    """A process of some span at the last reading; `domain` is the pid of the process whose span it belongs to."""

    start: int
    parent: int
    own_us: int
    reaped_us: int
    domain: int


@dataclass
class Books:
    """Everything that must survive from one reading to the next. Kept in one JSON file beside the ledger.

    `book` names it among the books that other clones keep on the same machine.
    """

    book: str = field(default_factory=lambda: secrets.token_hex(4))
    seq: int = 0
    at_us: int = 0
    busy_us: int = 0
    energy_uj: dict[str, int] = field(default_factory=dict)
    seen: dict[int, Seen] = field(default_factory=dict)
    spans: dict[str, OpenSpan] = field(default_factory=dict)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict) -> "Books":
        return cls(
            book=raw.get("book", ""),
            seq=raw["seq"],
            at_us=raw["at_us"],
            busy_us=raw["busy_us"],
            energy_uj=raw["energy_uj"],
            seen={int(pid): Seen(**one) for pid, one in raw["seen"].items()},
            spans={id: OpenSpan(**one) for id, one in raw["spans"].items()},
        )

    def alive(self, span: OpenSpan, reading: Reading) -> bool:
        """Whether the process that opened the span still runs."""
        process = reading.processes.get(span.pid)
        return process is not None and process.start == span.start

    def innermost(self) -> dict[int, OpenSpan]:
        """pid -> the span opened last of those still open in that process."""
        return {span.pid: span for span in self.spans.values()}

    def leaves(self, spans: Iterable[OpenSpan]) -> list[OpenSpan]:
        """Those of `spans` with none of `spans` inside them."""
        spans = list(spans)
        parents = {span.parent for span in spans}
        return [span for span in spans if span.id not in parents]


# -- whose process -----------------------------------------------------------------------------------------------------


def domains(books: Books, reading: Reading) -> dict[int, int]:
    """pid -> pid of the metered process it belongs to: itself or the nearest ancestor with an open span.

    A process whose parents are gone stays where it was: a worker that outlives its pool is still the stage's.
    """
    roots = {span.pid for span in books.spans.values() if books.alive(span, reading)}
    known: dict[int, int] = {pid: pid for pid in roots}
    for pid in reading.processes:
        path = []
        at = pid
        while at not in known and at in reading.processes and at not in path:
            path.append(at)
            at = reading.processes[at].parent
        found = known.get(at, 0)
        for step in path:
            known[step] = found or _former_domain(books, reading, step, roots)
    return {pid: domain for pid, domain in known.items() if domain}


def _former_domain(books: Books, reading: Reading, pid: int, roots: set[int]) -> int:
    seen = books.seen.get(pid)
    same = seen is not None and seen.start == reading.processes[pid].start
    return seen.domain if seen and same and seen.domain in roots else 0


def look(books: Books, reading: Reading) -> None:
    """Remember the counters of every process that belongs to a span: the next reading counts from here."""
    found = domains(books, reading)
    books.seen = {}
    for pid, domain in found.items():
        process = reading.processes[pid]
        books.seen[pid] = Seen(process.start, process.parent, process.own_us, process.reaped_us, domain)
    books.at_us = reading.at_us
    books.busy_us = reading.busy_us or 0
    # A GPU that this reading lacks goes on from its last known value; where RAPL is lacking, an estimate stood in.
    books.energy_uj = {name: uj for name, uj in books.energy_uj.items() if name.startswith("nvml:")} | reading.energy_uj


def cpu_by_domain(books: Books, reading: Reading) -> dict[int, int]:
    """CPU microseconds since the last reading, by metered process."""
    used: dict[int, int] = defaultdict(int)
    metered = {span.pid for span in books.spans.values()}
    dead = {pid: seen for pid, seen in books.seen.items() if not _still(seen, reading.processes.get(pid))}
    for pid, domain in domains(books, reading).items():
        process = reading.processes[pid]
        before = books.seen.get(pid)
        if before is None or pid in dead:  # born since then: all it has used is new
            used[domain] += process.own_us + process.reaped_us
        else:
            used[domain] += max(0, process.own_us - before.own_us)
            gone = _dead_below(pid, dead)
            rest = process.reaped_us - before.reaped_us - sum(seen.own_us + seen.reaped_us for seen in gone)
            others = {seen.domain for seen in gone} & metered - {domain}
            _share(used, max(0, rest), sorted(others) or [domain])
    return used


def _still(seen: Seen, process: Process | None) -> bool:
    return process is not None and process.start == seen.start


def _dead_below(pid: int, dead: dict[int, Seen]) -> list[Seen]:
    """Processes that ended since the last reading and whose time is now in `pid`'s counter of reaped children."""
    found = []
    for start in dead.values():
        at = start
        while at.parent in dead and at.parent != pid:
            at = dead[at.parent]
        if at.parent == pid:
            found.append(start)
    return found


def _share(used: dict[int, int], amount: int, among: list[int]) -> None:
    """Divide `amount` equally; what does not divide goes to the first."""
    for domain in among:
        used[domain] += amount // len(among)
    used[among[0]] += amount % len(among)


# -- the entry ---------------------------------------------------------------------------------------------------------


def entry(books: Books, reading: Reading, watts: Watts, host: Host) -> dict | None:
    """The ledger line for the time since the last reading; the books move on. None if nobody was metering then."""
    living = [span for span in books.spans.values() if books.alive(span, reading)]
    if not living or reading.at_us < books.at_us:  # the clock of another boot or time namespace
        books.energy_uj = {}  # what was used while nobody metered is nobody's
        look(books, reading)
        return None
    dt_us = reading.at_us - books.at_us
    cpu = {innermost.id: 0 for innermost in books.spans.values()}
    owner = books.innermost()
    for domain, amount in cpu_by_domain(books, reading).items():
        if domain in owner:
            cpu[owner[domain].id] += amount
    busy_us, counter = _host_busy(books, reading, cpu)
    granted = _grant(books, cpu, busy_us)
    leaves = [span.id for span in books.leaves(living)]
    parts = _parts(books, reading, watts, host, dt_us, busy_us)
    weights = {
        "cpu": (granted, busy_us),
        "memory": _resident(books, reading, owner),
        "idle": (dict.fromkeys(leaves, 1), len(leaves)),
    } | {f"gpu{name[5:]}": _on_gpu(books, reading, owner, name, leaves) for name in _devices(reading)}
    line = _line(books, reading, host, dt_us, busy_us, counter)
    line["spans"] = {id: {"cpu_us": us, "uj": {}} for id, us in granted.items() if us} | {
        id: {"cpu_us": granted.get(id, 0), "wall_us": dt_us // len(leaves), "uj": {}} for id in leaves
    }
    for name, (bounds, source) in parts.items():
        equally = name.startswith("gpu") and not _names_its_processes(reading, f"nvml:{name[3:]}")
        line["host_uj"][name], line["source"][name] = bounds, source + (SHARED if equally else "")
        line["unattributed_uj"][name] = _divide(name, bounds, *weights.get(name, ({}, 1)), line["spans"])
    _add_up(books, line)
    look(books, reading)
    return line


def _line(books: Books, reading: Reading, host: Host, dt_us: int, busy_us: int, counter: str) -> dict:
    books.seq += 1
    return {
        "kind": "reading", "book": books.book, "seq": books.seq, "host": host.file_stem, "t": reading.time,
        "dt_us": dt_us, "counter": counter, "busy_us": busy_us, "host_uj": {}, "source": {}, "unattributed_uj": {},
    }  # fmt: skip


def _host_busy(books: Books, reading: Reading, cpu: dict[str, int]) -> tuple[int, str]:
    """Busy time since the last reading, and the counter it is from; where the host's is hidden, the spans' own sum."""
    if reading.busy_us is None:
        return sum(cpu.values()), "processes"
    return max(0, reading.busy_us - books.busy_us), "/proc/stat"


def _grant(books: Books, cpu: dict[str, int], busy_us: int) -> dict[str, int]:
    """CPU time each span is charged now. Both counters tick apart: what exceeds the host's waits for the next line."""
    for id, amount in cpu.items():
        books.spans[id].pending_us += amount
    wanted = sum(span.pending_us for span in books.spans.values())
    granted = {}
    for id, span in books.spans.items():
        granted[id] = span.pending_us if wanted <= busy_us else span.pending_us * busy_us // wanted
        span.pending_us -= granted[id]
    return granted


def _parts(
    books: Books, reading: Reading, watts: Watts, host: Host, dt_us: int, busy_us: int
) -> dict[str, tuple[Bounds, str]]:
    """Energy of the host since the last reading: component -> (bounds in uJ, how it was obtained)."""
    used = {
        name: counted(books.energy_uj[name], now, reading.wrap_uj.get(name), dt_us)
        for name, now in reading.energy_uj.items()
        if name in books.energy_uj
    }
    package = [uj for name, uj in used.items() if name.startswith("rapl:package")]
    dram = [uj for name, uj in used.items() if name.startswith("rapl:dram")]
    gigabytes = host.memory_bytes / 1e9
    parts: dict[str, tuple[Bounds, str]] = {}
    if package:
        parts["cpu"] = (sum(package),) * 3, "measured:rapl"
    else:
        parts["cpu"] = _model(watts["cpu_busy_w_per_thread"], busy_us), "estimated:cpu_seconds x watts"
        idle = _model(watts["cpu_idle_w_per_thread"], dt_us * host.usable_threads)
        parts["idle"] = idle, "assumed:watts per thread"
    if dram:
        parts["memory"] = (sum(dram),) * 3, "measured:rapl"
    else:
        parts["memory"] = _model(watts["memory_w_per_gb"], round(dt_us * gigabytes)), "assumed:watts per GB"
    return parts | {f"gpu{name[5:]}": ((uj,) * 3, "measured:nvml") for name, uj in used.items() if name[:5] == "nvml:"}


def _model(row: dict, amount_us: int) -> Bounds:
    """Watts times microseconds: microjoules, low, mid and high."""
    low, mid, high = (amount_us * round(row[bound] * 1000) // 1000 for bound in ("low", "mid", "high"))
    return low, mid, high


def _resident(books: Books, reading: Reading, owner: dict[int, OpenSpan]) -> tuple[dict[str, int], int]:
    """Resident bytes by span, and of all processes: memory that holds nothing is powered for those who use the rest."""
    used: dict[str, int] = defaultdict(int)
    for pid, domain in domains(books, reading).items():
        used[owner[domain].id] += reading.processes[pid].rss_bytes
    return used, sum(process.rss_bytes for process in reading.processes.values())


def _on_gpu(
    books: Books, reading: Reading, owner: dict[int, OpenSpan], name: str, leaves: list[str]
) -> tuple[dict[str, int], int]:
    """A device's energy is divided equally among its processes; in a container NVML names none: the leaves share."""
    if not _names_its_processes(reading, name):
        return dict.fromkeys(leaves, 1), len(leaves)
    used: dict[str, int] = defaultdict(int)
    found = domains(books, reading)
    pids = reading.gpu_pids[name]
    for pid in pids:
        if pid in found:
            used[owner[found[pid]].id] += 1
    return used, len(pids)


def _devices(reading: Reading) -> list[str]:
    """Names of the NVML devices whose energy was read."""
    return [name for name in reading.energy_uj if name.startswith("nvml:")]


def _names_its_processes(reading: Reading, name: str) -> bool:
    return any(pid in reading.processes for pid in reading.gpu_pids.get(name, ()))


def _divide(name: str, bounds: Bounds, weights: dict[str, int], whole: int, spans: dict[str, dict]) -> list[int]:
    """Give each span its part of `bounds`, rounded down; what is left is nobody's and is returned."""
    left = list(bounds)
    for id, weight in weights.items():
        part = [value * weight // whole if whole else 0 for value in bounds]
        if any(part):
            spans.setdefault(id, {"cpu_us": 0, "uj": {}})["uj"][name] = part
            left = [rest - value for rest, value in zip(left, part, strict=True)]
    return left


def _add_up(books: Books, line: dict) -> None:
    """Running totals of the open spans, for `Meter.totals`."""
    for id, part in line["spans"].items():
        span = books.spans[id]
        span.cpu_us += part["cpu_us"]
        for bounds in part["uj"].values():
            span.uj = [total + value for total, value in zip(span.uj, bounds, strict=True)]
