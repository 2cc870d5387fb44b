"""The ledger read back: what each span, stage and run has used, in integer microjoules with bounds and sources.

Killed and failed spans are as good as others: a span without an end ends at its last reading. A run
that DVC had nothing to do for has no spans of stages, and costs what looking cost. Files of other
hosts, clones and teammates may lie in subfolders; the same file twice counts once, and so does a
host that two clones metered at once. A line that is of none of the kinds below is not counted: a
disk that flips a bit, or a power cut, costs a line, not the ledger.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from components.carbon.spans import ORCHESTRATION, Energy, Ledger, Span, Spans, added
from greenhouse_record.metering.attribution import SHARED
from greenhouse_record.metering.counters import lives


def _with_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a zone")
    return text


Time = Annotated[str, AfterValidator(_with_zone)]
Microjoules = tuple[int, int, int]
"""Low, mid, high."""


@with_config(ConfigDict(extra="allow"))
class HostLine(TypedDict):
    """A machine: what its counters are computed from."""

    kind: Literal["host"]
    t: Time
    host: str


@with_config(ConfigDict(extra="allow"))
class StartLine(TypedDict):
    """A span begins."""

    kind: Literal["start"]
    t: Time
    span: str
    parent: str
    name: str
    labels: dict[str, Any]


@with_config(ConfigDict(extra="allow"))
class EndLine(TypedDict):
    """A span ends; `uj` is its whole tree's."""

    kind: Literal["end"]
    t: Time
    span: str
    outcome: str
    uj: NotRequired[Microjoules]
    labels: NotRequired[dict[str, Any]]


@with_config(ConfigDict(extra="allow"))
class ForecastLine(TypedDict):
    """Forecast of a stage, made before it began."""

    kind: Literal["forecast"]
    t: Time
    span: str
    stage: str
    seconds: tuple[float, float, float]
    kwh: tuple[float, float, float]
    basis: str
    raw: NotRequired[tuple[float, float]]


class Use(TypedDict):
    """Part of a reading that a span has used."""

    cpu_us: int
    wall_us: NotRequired[int]
    uj: dict[str, Microjoules]


@with_config(ConfigDict(extra="allow"))
class ReadingLine(TypedDict):
    """Energy of the host in `dt_us` microseconds, by component, and the share of each span."""

    kind: Literal["reading"]
    t: Time
    host: str
    book: NotRequired[str]
    seq: NotRequired[int]
    dt_us: int
    counter: str
    busy_us: int
    host_uj: dict[str, Microjoules]
    source: dict[str, str]
    spans: dict[str, Use]


def _components_agree(line: Any) -> Any:
    if line["kind"] == "reading":
        known = line["host_uj"].keys() & line["source"].keys()
        if not all(use["uj"].keys() <= known for use in line["spans"].values()):
            raise ValueError("a component that the host has not")
    return line


LINE: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        Annotated[HostLine | StartLine | EndLine | ForecastLine | ReadingLine, Field(discriminator="kind")],
        AfterValidator(_components_agree),
    ]
)
"""Parser of a line. Raises `ValueError`: it is none."""


Interval = tuple[str, int, int]
"""Meter (`book`), beginning and end of a reading in microseconds."""


def counted_us(intervals: Sequence[Interval]) -> list[int]:
    """Microseconds of each interval that count: all where one meter covers the time, a k-th where k do.

    So much of the host, and of what is divided equally (idle energy, a GPU that hides its
    processes), counts. What a span used itself (CPU-seconds, resident bytes) stays whole.
    """
    events = [(start, 1, number) for number, (_, start, _) in enumerate(intervals)]
    events += [(end, 0, number) for number, (_, _, end) in enumerate(intervals)]
    open_now: dict[str, set[int]] = defaultdict(set)
    credit, last_us = [0.0] * len(intervals), 0
    for at_us, begins, number in sorted(events):
        meters = [numbers for numbers in open_now.values() if numbers]
        for numbers in meters:
            for interval in numbers:
                credit[interval] += (at_us - last_us) / len(meters)
        last_us = at_us
        (open_now[intervals[number][0]].add if begins else open_now[intervals[number][0]].discard)(number)
    return [int(us + 1e-6) for us in credit]


__all__ = ["ORCHESTRATION", "Energy", "Ledger", "Span", "Spans", "history", "read"]


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
    """Ledger of this checkout's ended spans and forecasts, all that a forecast needs; readings are not parsed.

    A span's energy is its own, as in `read`, phases' too: the end line's, which has the spans that
    ended inside, less theirs. Spans that never ended have none. Subfolders hold a team's records,
    of other machines: no forecast is made from them.
    """
    ledger = Ledger([])
    spans: dict[str, Span] = {}
    seen: set[tuple] = set()
    ended: set[str] = set()
    inside: dict[str, Energy] = defaultdict(Energy)  # by span that is open yet: energy of those that ended in it
    for path in sorted(folder.glob("*.jsonl")):
        for line in _lines(path, ledger, skip='{"kind":"reading"'):
            _enter(ledger, spans, seen, line, {})
            span = spans.get(line.get("span", ""))  # None if its start line was lost with a power cut
            if span and line["kind"] == "end" and "uj" in line and span.id not in ended:
                whole = Energy(*line["uj"])
                span.parts = {"all": whole - inside.pop(span.id, Energy())}
                ended.add(span.id)
                outer = spans.get(span.parent)
                while outer and outer.id in ended:  # it outlived its parent: the meter counted it one further out
                    outer = spans.get(outer.parent)
                if outer:
                    inside[outer.id] += whole
    ledger.spans = sorted(spans.values(), key=lambda span: (span.start, span.id))
    return ledger


def _shares(paths: list[Path]) -> dict[tuple, int]:
    """Key of a reading -> microseconds of it that count, for hosts with more than one file."""
    # By the boot alone: the file of an adopted model has another name where it was pulled.
    boots = {path: path.stem.rpartition("-")[2] for path in paths}
    num_files = Counter(boots.values())
    by_host: dict[str, dict[tuple, Interval]] = defaultdict(dict)
    for path in paths:
        if num_files[boots[path]] > 1:
            for line in _lines(path, Ledger([])):
                if line["kind"] == "reading":
                    end_us = round(_time(line["t"]).timestamp() * 1e6)
                    by_host[line["host"]][_key(line)] = (line.get("book", ""), end_us - line["dt_us"], end_us)
    shares: dict[tuple, int] = {}
    for readings in by_host.values():
        if len({book for book, _, _ in readings.values()}) > 1:
            shares |= dict(zip(readings, counted_us(list(readings.values())), strict=True))
    return shares


def _key(line: dict) -> tuple:
    """Identity of a line: the same line of a copied file has the same."""
    return line["kind"], line["host"], line.get("book", ""), line.get("seq", line.get("span")), line["t"]


def _no_rest_below_zero(ledger: Ledger, rest: dict[str, Energy]) -> None:
    """Correction of negative rests: spans of two meters may exceed the host by a trace, which is added to it."""
    for name, energy in rest.items():
        missing = energy.deficit
        ledger.host_parts = added([ledger.host_parts, {name: missing}])
        ledger.unattributed_parts = added([ledger.unattributed_parts, {name: energy + missing}])


def _lines(path: Path, ledger: Ledger, skip: str = "\n") -> Iterator[dict]:
    """The lines of a file, but those that begin with `skip`."""
    host = path.stem
    with open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            if text.startswith(skip):
                continue
            try:
                line = LINE.validate_json(text)
            except ValueError:
                ledger.skipped_lines += 1
                continue
            host = line["host"] if line["kind"] in ("host", "reading") else host
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
    started_at = _time(line["t"])
    return Span(line["span"], line["parent"], line["name"], line["host"], line["labels"], started_at, started_at)


def _enter_reading(ledger: Ledger, spans: dict[str, Span], line: dict, counted: int) -> None:
    """Add a reading, of which `counted` microseconds count (see `counted_us`)."""
    whole = line["dt_us"]
    ledger.counters.add(line["counter"])
    ledger.host_busy_us += line["busy_us"] * counted // whole if whole else line["busy_us"]
    rest = {name: energy.part(counted, whole) for name, energy in _energies(line["host_uj"]).items()}
    ledger.host_parts = added([ledger.host_parts, rest])
    hour, read_at = line["t"][:13], _time(line["t"])
    for id, part in line["spans"].items():
        if id not in spans:  # its start line was lost with a power cut: its energy stays unattributed
            continue
        energies = {
            name: energy.part(counted, whole) if name == "idle" or line["source"][name].endswith(SHARED) else energy
            for name, energy in _energies(part["uj"]).items()
        }
        rest |= {name: rest[name] - energy for name, energy in energies.items()}
        span = spans[id]
        span.cpu_us += part["cpu_us"]
        span.wall_us += part.get("wall_us", 0) * counted // whole if whole else 0
        span.parts = added([span.parts, energies])
        span.hours = added([span.hours, {hour: sum(energies.values(), Energy())}])
        span.sources |= {name: line["source"][name] for name in energies}
        span.end = max(span.end, read_at)
    ledger.rests[line["host"]] = added([ledger.rests.get(line["host"], {}), rest])
    ledger.rest_hours[hour] = ledger.rest_hours.get(hour, Energy()) + sum(rest.values(), Energy())


def _energies(parts: dict[str, list[int]]) -> dict[str, Energy]:
    return {name: Energy(*bounds) for name, bounds in parts.items()}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _running(folder: Path) -> set[str]:
    """Spans whose process lives on this host now."""
    running = set()
    for path in folder.rglob(".*.books"):
        try:
            state = json.loads(path.read_bytes())["books"]
        except (OSError, ValueError):
            continue
        running |= {id for id, span in state["spans"].items() if lives(span["pid"], span["start"])}
    return running
