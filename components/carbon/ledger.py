"""The ledger read back: what each span, stage and run has used, in integer microjoules with bounds and sources.

Figures of a span are its own: what a span inside it used is that span's. So any set of spans adds up without counting
twice, and all spans of a ledger plus `unattributed` are the host's counters, to the microjoule.

Killed and failed spans are as good as others: a span without an end ends at its last reading. A run that DVC had
nothing to do for has no spans of stages, and costs what looking cost. Files of other hosts, clones and teammates may
lie in subfolders; the same file twice counts once, and so does a host that two clones metered at once (overlap.py).
"""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.carbon.counters import read_stat
from components.carbon.overlap import SHARED, Interval, counted_us

ORCHESTRATION = "orchestration"
"""The stage of spans that belong to none: Prefect, DVC, MLflow, installing."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Microjoules, with bounds."""

    low_uj: int = 0
    mid_uj: int = 0
    high_uj: int = 0

    def __add__(self, other: "Energy") -> "Energy":
        return Energy(self.low_uj + other.low_uj, self.mid_uj + other.mid_uj, self.high_uj + other.high_uj)

    def __radd__(self, other: int) -> "Energy":
        return self  # sum() starts at 0

    def __sub__(self, other: "Energy") -> "Energy":
        return Energy(self.low_uj - other.low_uj, self.mid_uj - other.mid_uj, self.high_uj - other.high_uj)

    def part(self, of: int, whole: int) -> "Energy":
        """`of` parts of `whole`, rounded down."""
        return self if of == whole else Energy(*(uj * of // whole for uj in _bounds(self)))

    @property
    def deficit(self) -> "Energy":
        """What is missing to zero, bound by bound."""
        return Energy(*(max(0, -uj) for uj in _bounds(self)))

    @property
    def low_kwh(self) -> float:
        return self.low_uj / 3.6e12

    @property
    def mid_kwh(self) -> float:
        return self.mid_uj / 3.6e12

    @property
    def high_kwh(self) -> float:
        return self.high_uj / 3.6e12


@dataclass
class Span:
    """One span. `parts` is by component (cpu, idle, memory, gpu0), `hours` by UTC hour (`2026-01-31T13`).

    `wall_us` is its share of the wall clock: two stages at once have half of it each. `outcome` is `Running`, `Killed`,
    or what the span's process said.
    """

    id: str
    parent: str
    name: str
    host: str
    labels: dict[str, str]
    start: datetime
    end: datetime
    outcome: str = ""
    cpu_us: int = 0
    wall_us: int = 0
    parts: dict[str, Energy] = field(default_factory=dict)
    hours: dict[str, Energy] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def energy(self) -> Energy:
        return sum(self.parts.values(), Energy())

    @property
    def stage(self) -> str:
        return self.labels.get("stage", ORCHESTRATION)

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def is_phase(self) -> bool:
        """Whether it is a part of a process's span, not the whole."""
        return "phase" in self.labels


@dataclass
class Spans:
    """Some spans, and what they used together."""

    spans: list[Span]

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def where(self, wanted: Callable[[Span], bool]) -> "Spans":
        return Spans([span for span in self.spans if wanted(span)])

    def select(self, **labels: str) -> "Spans":
        """Those with these labels (`stage`, `run`, ...)."""
        return self.where(lambda span: all(span.labels.get(name) == value for name, value in labels.items()))

    def by(self, label: str, otherwise: str = ORCHESTRATION) -> dict[str, "Spans"]:
        """Grouped by a label."""
        groups: dict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            groups[span.labels.get(label, otherwise)].append(span)
        return {name: Spans(group) for name, group in groups.items()}

    @property
    def energy(self) -> Energy:
        return sum((span.energy for span in self.spans), Energy())

    @property
    def parts(self) -> dict[str, Energy]:
        return _sum_dicts(span.parts for span in self.spans)

    @property
    def hours(self) -> dict[str, Energy]:
        return _sum_dicts(span.hours for span in self.spans)

    @property
    def sources(self) -> dict[str, str]:
        """Component -> how its figure was obtained; several ways joined by " + "."""
        ways: dict[str, set[str]] = defaultdict(set)
        for span in self.spans:
            for name, source in span.sources.items():
                ways[name].add(source)
        return {name: " + ".join(sorted(found)) for name, found in sorted(ways.items())}

    @property
    def cpu_s(self) -> float:
        return sum(span.cpu_us for span in self.spans) / 1e6

    @property
    def share_s(self) -> float:
        """Seconds of the host's wall clock that are these spans' share."""
        return sum(span.wall_us for span in self.spans) / 1e6

    @property
    def elapsed_s(self) -> float:
        """Seconds in which at least one of them was open."""
        total, until = timedelta(), datetime.min.replace(tzinfo=UTC)
        for span in sorted(self.spans, key=lambda span: span.start):
            begin = max(span.start, until)
            until = max(until, span.end)
            total += max(timedelta(), until - begin)
        return total.total_seconds()


@dataclass
class Ledger(Spans):
    """All spans, the hosts they ran on, and the rest of what the hosts' counters counted.

    `hosts` is by file stem: the `host` line of that file; `rests` what is nobody's, by host; `forecasts` the lines that
    stages wrote before they began.
    """

    hosts: dict[str, dict] = field(default_factory=dict)
    host_parts: dict[str, Energy] = field(default_factory=dict)
    unattributed_parts: dict[str, Energy] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    host_busy_us: int = 0
    skipped_lines: int = 0
    rests: dict[str, dict[str, Energy]] = field(default_factory=dict)
    forecasts: list[dict] = field(default_factory=list)

    @property
    def host_energy(self) -> Energy:
        return sum(self.host_parts.values(), Energy())

    @property
    def unattributed(self) -> Energy:
        return sum(self.unattributed_parts.values(), Energy())

    def difference_uj(self) -> int:
        """Largest difference, over components and bounds, of host and spans + unattributed: 0, or the books are off."""
        claimed = _sum_dicts([self.parts, self.unattributed_parts])
        pairs = [
            (self.host_parts.get(name, Energy()), claimed.get(name, Energy())) for name in claimed | self.host_parts
        ]
        return max(
            (
                abs(a - b)
                for host, sum_ in pairs
                for a, b in zip(_bounds(host), _bounds(sum_), strict=True)
            ),
            default=0,
        )  # fmt: skip

    def inside(self, span: Span) -> Spans:
        """The span and all spans within it."""
        children: dict[str, list[Span]] = defaultdict(list)
        for other in self.spans:
            children[other.parent].append(other)
        found, todo = [], [span]
        while todo:
            found.append(todo.pop())
            todo += children[found[-1].id]
        return Spans(found)


def _bounds(energy: Energy) -> tuple[int, int, int]:
    return energy.low_uj, energy.mid_uj, energy.high_uj


def _sum_dicts(dicts: Iterable[dict[str, Energy]]) -> dict[str, Energy]:
    total: dict[str, Energy] = {}
    for one in dicts:
        for name, energy in one.items():
            total[name] = total.get(name, Energy()) + energy
    return dict(sorted(total.items()))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(folder: Path) -> Ledger:
    """Read every ledger file under `folder`; empty if there is none. A line that a power cut tore is skipped."""
    ledger = Ledger([])
    spans: dict[str, Span] = {}
    seen: set[tuple] = set()
    paths = sorted(folder.rglob("*.jsonl"))
    shares = _shares(paths)
    for path in paths:
        for line in _lines(path, ledger):
            _enter(ledger, spans, seen, line, shares)
    for rest in ledger.rests.values():
        _no_rest_below_zero(ledger, rest)
    running = _running(folder)
    for span in spans.values():
        span.outcome = span.outcome or ("Running" if span.id in running else "Killed")
    ledger.spans = sorted(spans.values(), key=lambda span: (span.start, span.id))
    return ledger


def history(folder: Path) -> Ledger:
    """What ended when and used how much, and what was forecast: all a forecast needs, without parsing a reading.

    A span's energy is its whole tree's here; phases and spans that never ended have none.
    """
    ledger = Ledger([])
    spans: dict[str, Span] = {}
    seen: set[tuple] = set()
    for path in sorted(folder.rglob("*.jsonl")):
        for line in _lines(path, ledger, skip='{"kind":"reading"'):
            _enter(ledger, spans, seen, line, {})
            if line["kind"] == "end" and "uj" in line and not spans[line["span"]].is_phase:
                spans[line["span"]].parts = {"tree": Energy(*line["uj"])}
    ledger.spans = sorted(spans.values(), key=lambda span: (span.start, span.id))
    return ledger


def _shares(paths: list[Path]) -> dict[tuple, int]:
    """Key of a reading -> microseconds of it that count, for hosts of which there is more than one file."""
    stems = [path.stem for path in paths]
    by_host: dict[str, dict[tuple, Interval]] = defaultdict(dict)
    for path in paths:
        if stems.count(path.stem) > 1:
            for line in _lines(path, Ledger([])):
                if line["kind"] == "reading":
                    end_us = round(_time(line["t"]).timestamp() * 1e6)
                    by_host[line["host"]][_key(line)] = (line.get("book", ""), end_us - line["dt_us"], end_us)
    found: dict[tuple, int] = {}
    for readings in by_host.values():
        if len({book for book, _, _ in readings.values()}) > 1:
            found |= dict(zip(readings, counted_us(list(readings.values())), strict=True))
    return found


def _key(line: dict) -> tuple:
    """What tells a line from every other: the same line of a copied file has the same."""
    return line["kind"], line["host"], line.get("book", ""), line.get("seq", line.get("span")), line["t"]


def _no_rest_below_zero(ledger: Ledger, rest: dict[str, Energy]) -> None:
    """Where two books' readings divide time differently the spans may claim a trace more than the host: it is added."""
    for name, energy in rest.items():
        missing = energy.deficit
        ledger.host_parts = _sum_dicts([ledger.host_parts, {name: missing}])
        ledger.unattributed_parts = _sum_dicts([ledger.unattributed_parts, {name: energy + missing}])


def _lines(path: Path, ledger: Ledger, skip: str = "\n") -> Iterator[dict]:
    """The lines of a file, but those that begin with `skip`."""
    host = path.stem
    with open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            if text.startswith(skip):
                continue
            try:
                line = json.loads(text)
            except ValueError:
                ledger.skipped_lines += 1
                continue
            host = line.get("host", host) if line.get("kind") in ("host", "reading") else host
            yield {"host": host} | line


def _enter(ledger: Ledger, spans: dict[str, Span], seen: set[tuple], line: dict, shares: dict[tuple, int]) -> None:
    """Put one line into the ledger."""
    kind, key = line["kind"], _key(line)
    if key in seen:
        return
    seen.add(key)
    if kind == "host":
        ledger.hosts[line["host"]] = line | {"stem": line["host"]}
    elif kind == "start":
        spans[line["span"]] = _started(line)
    elif kind == "end" and line["span"] in spans:
        span = spans[line["span"]]
        span.outcome, span.labels = line["outcome"], span.labels | line.get("labels", {})
        if span.outcome != "Killed":
            span.end = _time(line["t"])
    elif kind == "forecast":
        ledger.forecasts.append(line)
    elif kind == "reading":
        _enter_reading(ledger, spans, line, shares.get(key, line["dt_us"]))


def _started(line: dict) -> Span:
    at = _time(line["t"])
    return Span(line["span"], line["parent"], line["name"], line["host"], line["labels"], at, at)


def _enter_reading(ledger: Ledger, spans: dict[str, Span], line: dict, counted: int) -> None:
    """`counted` microseconds of the reading are not another book's."""
    whole = line["dt_us"]
    ledger.counters.add(line["counter"])
    ledger.host_busy_us += line["busy_us"] * counted // whole if whole else line["busy_us"]
    rest = {name: energy.part(counted, whole) for name, energy in _energies(line["host_uj"]).items()}
    ledger.host_parts = _sum_dicts([ledger.host_parts, rest])
    hour, at = line["t"][:13], _time(line["t"])
    for id, part in line["spans"].items():
        if id not in spans:  # its start line was lost with a power cut: the energy is nobody else's
            continue
        energies = {
            name: energy.part(counted, whole) if name == "idle" or line["source"][name].endswith(SHARED) else energy
            for name, energy in _energies(part["uj"]).items()
        }
        rest |= {name: rest[name] - energy for name, energy in energies.items()}
        span = spans[id]
        span.cpu_us += part["cpu_us"]
        span.wall_us += part.get("wall_us", 0) * counted // whole if whole else 0
        span.parts = _sum_dicts([span.parts, energies])
        span.hours = _sum_dicts([span.hours, {hour: sum(energies.values(), Energy())}])
        span.sources |= {name: line["source"][name] for name in energies}
        span.end = max(span.end, at)
    ledger.rests[line["host"]] = _sum_dicts([ledger.rests.get(line["host"], {}), rest])


def _energies(parts: dict[str, list[int]]) -> dict[str, Energy]:
    return {name: Energy(*bounds) for name, bounds in parts.items()}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _running(folder: Path) -> set[str]:
    """Spans whose process lives on this host now."""
    found = set()
    for path in folder.rglob(".*.books"):
        try:
            books = json.loads(path.read_bytes())["books"]
        except (OSError, ValueError):
            continue
        found |= {id for id, span in books["spans"].items() if _lives(span["pid"], span["start"])}
    return found


def _lives(pid: int, start: int) -> bool:
    if sys.platform == "linux":
        process = read_stat(f"/proc/{pid}/stat")
        return process is not None and process.start == start
    try:
        os.kill(pid, 0)
        return True
    except OSError:
        return False
