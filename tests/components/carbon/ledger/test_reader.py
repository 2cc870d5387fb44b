"""The ledger read back: merged without counting twice, robust to a torn line, complete."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.carbon.ledger.reader import Energy, counted_us, history, read
from greenhouse_record.metering.counters import read_stat
from tests.components.carbon.world import HOST, World


def lines_of(world: World, spans: dict[str, dict], host: str = HOST.file_stem) -> list[dict]:
    """Start lines, the world's readings, and end lines."""
    starts = [
        {"kind": "start", "span": name, "parent": "", "t": "2026-01-01T00:00:00.000Z", "name": name, "pid": 1,
         "labels": labels} for name, labels in spans.items()
    ]  # fmt: skip
    return starts + [line | {"host": host} for line in world.lines]


def busy_world(seconds: int = 3) -> World:
    world = World()
    stage = world.fork(2)
    world.open(stage, "a")
    for _ in range(seconds):
        world.burn(stage, 500_000)
        world.burn(2, 100_000)
        world.pass_time(1_000_000)
        world.sample()
    return world


def write(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_span_without_an_end_ends_at_its_last_reading(tmp_path: Path) -> None:
    world = busy_world()
    world.lines[-1]["spans"]["pipeline"] = {"cpu_us": 7, "uj": {}}  # another span is inside it: no wall time is its own
    write(tmp_path / "box-b0071234.jsonl", lines_of(world, {"a": {"stage": "dedup"}, "pipeline": {}}))
    span, pipeline = read(tmp_path)
    assert (pipeline.cpu_us, pipeline.wall_us) == (7, 0)
    assert span.outcome == "Killed"
    assert span.cpu_us == 1_500_000
    assert span.parts["cpu"] == Energy(1_800_000, 4_140_000, 8_250_000)  # busy less idle watts
    assert span.wall_us == 3_000_000
    assert span.sources["cpu"] == "estimated:cpu_seconds x watts"


def test_two_clones_and_two_hosts_merge_without_counting_twice(tmp_path: Path) -> None:
    lines = lines_of(busy_world(), {"a": {"stage": "dedup"}})
    write(tmp_path / "mine/box-b0071234.jsonl", lines)
    once = read(tmp_path)
    assert len(read(tmp_path / "none")) == 0
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    write(tmp_path / "mate/box-b0071234.jsonl", lines[:3])  # a copy from earlier
    twice = read(tmp_path)
    assert twice.host_energy == once.host_energy
    assert twice.energy == once.energy
    other = [line | {"span": "b"} if line["kind"] == "start" else line for line in lines]
    for line in other:
        if line["kind"] == "reading":
            line["spans"] = {"b": line["spans"]["a"]}
    write(tmp_path / "mate/other-11111111.jsonl", [line | {"host": "other-11111111"} for line in other])
    both = read(tmp_path)
    assert both.energy == once.energy + once.energy
    assert both.difference_uj() == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1000), st.integers(1, 100)), max_size=30))
def test_time_is_counted_once(spans: list[tuple[str, int, int]]) -> None:
    """Readings of one book follow each other; whatever the state do, all that counts is the time they cover."""
    intervals, ends = [], {"a": 0, "b": 0, "c": 0}
    for book, gap, length in spans:
        start = ends[book] + gap
        ends[book] = start + length
        intervals.append((book, start, start + length))
    covered = {us for _, start, end in intervals for us in range(start, end)}
    assert counted_us([("a", 0, 10), ("b", 4, 20)]) == [7, 13]
    assert sum(counted_us(intervals)) == pytest.approx(len(covered), abs=len(intervals))


def test_a_torn_line_is_skipped_and_its_spans_energy_not_lost_twice(tmp_path: Path) -> None:
    path = tmp_path / "box-b0071234.jsonl"
    write(path, lines_of(busy_world(), {"a": {}}))
    whole = read(tmp_path)
    path.write_text(path.read_text()[:-40])
    torn = read(tmp_path)
    assert sum(torn.unattributed_hours(datetime.min.replace(tzinfo=UTC)).values(), Energy()) == torn.unattributed
    assert torn.skipped_lines == 1
    assert torn.difference_uj() == 0
    assert torn.energy.mid_uj < whole.energy.mid_uj
    text = path.read_text().splitlines()
    path.write_text("\n".join(text[1:-1]) + "\n")  # and without the start line its energy is nobody's
    lost = read(tmp_path)
    assert lost.difference_uj() == 0
    assert lost.energy.mid_uj == 0
    assert lost.unattributed == lost.host_energy


def start_of(span: str, parent: str = "", second: int = 0, **labels: str) -> dict:
    time = f"2026-01-01T00:00:{second:02d}Z"
    return {"kind": "start", "span": span, "parent": parent, "t": time, "name": span, "labels": labels}


def end_of(span: str, second: int, joules: int) -> dict:
    uj = [joules * 500_000, joules * 1_000_000, joules * 2_000_000]
    at = f"2026-01-01T00:00:{second:02d}Z"
    return {"kind": "end", "span": span, "t": at, "outcome": "Completed", "uj": uj}


def test_history_bears_an_end_whose_start_was_lost(tmp_path: Path) -> None:
    end = end_of("a", 59, 2)
    write(tmp_path / "box.jsonl", [end | {"span": "lost"}, start_of("a"), end])
    (tmp_path / "team").mkdir()
    write(tmp_path / "team/other.jsonl", [start_of("b"), end | {"span": "b"}])  # of another machine
    (span,) = history(tmp_path)
    assert (span.id, span.energy) == ("a", Energy(1_000_000, 2_000_000, 4_000_000))


def test_every_kind_of_line_is_in_the_ledger_once(tmp_path: Path) -> None:
    time = "2026-01-01T00:00:00Z"
    host = {"kind": "host", "t": time, "host": "box-b0071234", "cpu": "a processor"}
    said = {"kind": "forecast", "t": time, "span": "a", "stage": "mix", "basis": "b", "seconds": [1, 2, 3],
            "kwh": [1, 2, 3]}  # fmt: skip
    end = end_of("a", 9, 1) | {"labels": {"mlflow": "abc"}}
    lines = [host, start_of("a", stage="mix"), said, reading_at(1), reading_at(2), reading_at(3, 0), end]
    write(tmp_path / "box-b0071234.jsonl", [*lines, *lines])
    for ledger in (read(tmp_path), history(tmp_path)):
        ((name, machine),) = ledger.hosts.items()
        assert (name, machine["stem"], machine["cpu"]) == ("box-b0071234", "box-b0071234", "a processor")
        assert [(one["stage"], tuple(one["seconds"])) for one in ledger.forecasts] == [("mix", (1, 2, 3))]
        (span,) = ledger
        assert (span.id, span.name, span.outcome, span.seconds) == ("a", "a", "Completed", 9)
        assert span.labels == {"stage": "mix", "mlflow": "abc"}
    whole = read(tmp_path)
    assert (whole.counters, whole.host_busy_us, whole.share_s) == ({"/proc/stat"}, 2_000_000, 2)
    assert whole.hours == {"2026-01-01T00": Energy(1_000_000, 2_000_000, 4_000_000)} == {"2026-01-01T00": whole.energy}
    assert whole.rest_hours == {"2026-01-01T00": Energy()}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99)), min_size=1, max_size=8), st.randoms())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_history_gives_each_span_its_own_energy(tmp_path: Path, spans: list[tuple[int, int]], random: Random) -> None:
    """Spans inside each other that end in any order: the meter adds what one has used, with all that ended in it, to
    the nearest around it that is open yet. Every end line is there twice.
    """
    parents = {str(number): str(around % number) if number else "" for number, (around, _) in enumerate(spans)}
    own = {str(number): joules for number, (_, joules) in enumerate(spans)}
    whole, still_open, ends = dict(own), list(own), []
    random.shuffle(still_open)
    while still_open:
        name = still_open.pop()
        ends.append(end_of(name, len(ends), whole[name]))
        around = parents[name]
        while around and around not in still_open:
            around = parents[around]
        if around:
            whole[around] += whole[name]
    write(tmp_path / "box-b0071234.jsonl", [*(start_of(name, parents[name]) for name in own), *ends, *ends])
    assert {span.id: span.energy.mid / 1e6 for span in history(tmp_path)} == own


def reading_at(second: int, dt_s: int = 1, book: str = "1", span: str = "a", **uj: int) -> dict:
    """The reading that ends at a second: a machine of a watt or so, all of it used by one span on one processor."""
    uj = uj or {"cpu": 1_000_000 * dt_s}
    bounds = {name: [value // 2, value, 2 * value] for name, value in uj.items()}
    time = f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    use = {"cpu_us": dt_s * 1_000_000, "wall_us": dt_s * 1_000_000, "uj": bounds}
    return {
        "kind": "reading", "host": "box-b0071234", "book": book, "seq": second, "t": time, "dt_us": dt_s * 1_000_000,
        "counter": "/proc/stat", "busy_us": dt_s * 1_000_000, "host_uj": bounds,
        "source": dict.fromkeys(bounds, "measured:rapl"), "spans": {span: use},
    }  # fmt: skip


def two_meters(begin_s: int, length_s: int) -> list[list[dict]]:
    """Ledgers of two clones on one machine: a reading of the first hour, and one that begins at a second of it."""
    ends = (("1", "a", 3600, 3600), ("2", "b", begin_s + length_s, length_s))
    return [
        [start_of(span), reading_at(end, dt_s, book, span, cpu=7_000_000 * dt_s, idle=1_000_000 * dt_s)]
        for book, span, end, dt_s in ends
    ]


@pytest.mark.parametrize(
    ("begin_s", "length_s", "both_s"), [(3600, 3600, 0), (1800, 3600, 1800), (0, 3600, 3600), (600, 1200, 1200)]
)
def test_what_two_meters_saw_at_once_counts_half_and_their_spans_use_whole(
    tmp_path: Path, begin_s: int, length_s: int, both_s: int
) -> None:
    """One meter's hour, and a reading of another that is in it for `both_s`. To the microjoule."""
    alone_s = 3600 + length_s - both_s
    for name, lines in zip("ab", two_meters(begin_s, length_s), strict=True):
        write(tmp_path / name / "box-b0071234.jsonl", lines)
    ledger = read(tmp_path)
    assert ledger.parts["idle"].mid == ledger.host_busy_us == alone_s * 1_000_000
    assert ledger.share_s == alone_s
    assert ledger.parts["cpu"].mid == 7_000_000 * (3600 + length_s), "what a span used itself stays whole"
    # The host's counter says less than its spans used: what is missing is added to it, and nothing is left over.
    assert ledger.host_parts["cpu"] == ledger.parts["cpu"]
    assert {*ledger.unattributed_parts.values()} == {Energy()}
    assert ledger.difference_uj() == 0


def test_a_pulled_ledger_costs_what_it_does_where_it_was_written(tmp_path: Path) -> None:
    """Idle energy of a model that was adopted there counted whole here: its file has another name."""
    for names in (("there/box-b007.jsonl", "there/adopted/mine/box-b007.jsonl"),
                  ("here/team/box-b007.jsonl", "here/team/adopted-mine-box-b007.jsonl")):  # fmt: skip
        for name, lines in zip(names, two_meters(1800, 3600), strict=True):
            write(tmp_path / name, lines)
    assert read(tmp_path / "here").parts == read(tmp_path / "there").parts


@pytest.mark.parametrize(("outcome", "second"), [("Completed", 9), ("Killed", 2)])
def test_a_killed_span_ends_with_its_last_reading_and_others_when_they_say(
    tmp_path: Path, outcome: str, second: int
) -> None:
    end = {"kind": "end", "span": "a", "t": "2026-01-01T00:00:09Z", "outcome": outcome}
    write(tmp_path / "box-b0071234.jsonl", [start_of("a"), reading_at(1), reading_at(2), end])
    (span,) = read(tmp_path)
    assert (span.outcome, span.end) == (outcome, datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))


@pytest.mark.parametrize(
    ("pid", "later", "outcome"), [("own", 0, "Running"), ("own", 1, "Killed"), ("none", 0, "Killed")]
)
def test_a_span_runs_while_the_process_that_opened_it_does(tmp_path: Path, pid: str, later: int, outcome: str) -> None:
    write(tmp_path / "box-b0071234.jsonl", [start_of("a"), reading_at(1)])
    stat = read_stat("/proc/self/stat")
    span = {"pid": os.getpid() if pid == "own" else 2**22 + 1, "start": stat.start + later}
    (tmp_path / ".box-b0071234.books").write_text(json.dumps({"books": {"spans": {"a": span}}}))
    (found,) = read(tmp_path)
    assert found.outcome == outcome
