"""Energies, spans, sets of spans, and the ledger.

The energy of a span excludes that of spans inside it. So any set of spans adds up without counting
twice, and all spans of a ledger plus `unattributed` are the host's counters, to the microjoule.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from greenhouse_record.metering.constants import Bounds

ORCHESTRATION = "orchestration"
"""The stage of spans that belong to none: Prefect, DVC, MLflow, installing."""


@dataclass(frozen=True)
class Energy(Bounds):
    """Microjoules, whole ones, with bounds."""

    def part(self, of: int, whole: int) -> "Energy":
        """`of` parts of `whole`, rounded down."""
        return self if of == whole else Energy(*(uj * of // whole for uj in self.as_list()))

    @property
    def deficit(self) -> "Energy":
        """Energy missing to zero, bound by bound."""
        return Energy(*(max(0, -uj) for uj in self.as_list()))

    @property
    def mid_uj(self) -> float:
        return self.mid

    @property
    def kwh(self) -> Bounds:
        return self * (1 / 3.6e12)

    @property
    def mid_kwh(self) -> float:
        return self.mid / 3.6e12


@dataclass
class Span:
    """One span. `parts` is by component (cpu, idle, memory, gpu0), `hours` by UTC hour (`2026-01-31T13`).

    `wall_us` is its share of the wall clock: two stages at once have half of it each. `outcome` is `Running`, `Killed`,
    or as the span's process ended.
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
    """A set of spans, and what they used together."""

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
        return self.grouped(lambda span: span.labels.get(label, otherwise))

    def grouped(self, key: Callable[[Span], str]) -> dict[str, "Spans"]:
        """Groups of spans with the same `key`, in the order of their first spans."""
        groups: dict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            groups[key(span)].append(span)
        return {name: Spans(group) for name, group in groups.items()}

    @property
    def energy(self) -> Energy:
        return sum((span.energy for span in self.spans), Energy())

    @property
    def parts(self) -> dict[str, Energy]:
        return added(span.parts for span in self.spans)

    @property
    def hours(self) -> dict[str, Energy]:
        return added(span.hours for span in self.spans)

    @property
    def sources(self) -> dict[str, str]:
        """Component -> how its figure was obtained; several ways joined by " + "."""
        ways: dict[str, set[str]] = defaultdict(set)
        for span in self.spans:
            for name, source in span.sources.items():
                ways[name].add(source)
        return {name: " + ".join(sorted(flags)) for name, flags in sorted(ways.items())}

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

    `hosts` is by file stem: the `host` line of that file; `rests` what is unattributed, by host, and `rest_hours` by
    UTC hour; `forecasts` the lines that stages wrote before they began.
    """

    hosts: dict[str, dict] = field(default_factory=dict)
    host_parts: dict[str, Energy] = field(default_factory=dict)
    unattributed_parts: dict[str, Energy] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    host_busy_us: int = 0
    skipped_lines: int = 0
    rests: dict[str, dict[str, Energy]] = field(default_factory=dict)
    rest_hours: dict[str, Energy] = field(default_factory=dict)
    forecasts: list[dict] = field(default_factory=list)

    @property
    def host_energy(self) -> Energy:
        return sum(self.host_parts.values(), Energy())

    @property
    def unattributed(self) -> Energy:
        return sum(self.unattributed_parts.values(), Energy())

    def unattributed_hours(self, begin: datetime) -> dict[str, Energy]:
        """Unattributed energy by UTC hour from that of `begin` on, never negative."""
        first = begin.astimezone(UTC).isoformat()[:13]
        return {hour: rest + rest.deficit for hour, rest in self.rest_hours.items() if hour >= first}

    def difference_uj(self) -> int:
        """Largest difference, over components and bounds, of host and spans + unattributed: 0 if consistent."""
        claimed = added([self.parts, self.unattributed_parts])
        differences = [
            self.host_parts.get(name, Energy()) - claimed.get(name, Energy()) for name in claimed | self.host_parts
        ]
        return max((abs(uj) for difference in differences for uj in difference.as_list()), default=0)

    def inside(self, span: Span) -> Spans:
        """The span and all spans within it."""
        children: dict[str, list[Span]] = defaultdict(list)
        for other in self.spans:
            children[other.parent].append(other)
        inside, todo = [], [span]
        while todo:
            inside.append(todo.pop())
            todo += children[inside[-1].id]
        return Spans(inside)


def added(dicts: Iterable[dict[str, Energy]]) -> dict[str, Energy]:
    """Sums by component."""
    total: dict[str, Energy] = {}
    for energies in dicts:
        for name, energy in energies.items():
            total[name] = total.get(name, Energy()) + energy
    return dict(sorted(total.items()))
