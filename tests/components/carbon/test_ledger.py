"""The ledger read back: merged without counting twice, robust to a torn line, complete."""

import json
import shutil
from pathlib import Path

import pytest

from components.carbon.ledger import Energy, Ledger, read
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


def test_an_empty_folder_is_an_empty_ledger(tmp_path: Path) -> None:
    ledger = read(tmp_path / "none")
    assert len(ledger) == 0
    assert ledger.difference_uj() == 0
    assert ledger.elapsed_s == 0


def test_a_span_without_an_end_ends_at_its_last_reading(tmp_path: Path) -> None:
    write(tmp_path / "box-b0071234.jsonl", lines_of(busy_world(), {"a": {"stage": "dedup"}}))
    (span,) = read(tmp_path)
    assert span.outcome == "Killed"
    assert span.cpu_us == 1_500_000
    assert span.parts["cpu"] == Energy(2_250_000, 5_250_000, 10_500_000)
    assert span.wall_us == 3_000_000
    assert span.sources["cpu"] == "estimated:cpu_seconds x watts"


def test_two_clones_and_two_hosts_merge_without_counting_twice(tmp_path: Path) -> None:
    lines = lines_of(busy_world(), {"a": {"stage": "dedup"}})
    write(tmp_path / "mine/box-b0071234.jsonl", lines)
    once = read(tmp_path)
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


def test_a_torn_line_is_skipped_and_its_spans_energy_not_lost_twice(tmp_path: Path) -> None:
    path = tmp_path / "box-b0071234.jsonl"
    write(path, lines_of(busy_world(), {"a": {}}))
    whole = read(tmp_path)
    path.write_text(path.read_text()[:-40])
    torn = read(tmp_path)
    assert torn.skipped_lines == 1
    assert torn.difference_uj() == 0
    assert torn.energy.mid_uj < whole.energy.mid_uj
    text = path.read_text().splitlines()
    path.write_text("\n".join(text[1:-1]) + "\n")  # and without the start line its energy is nobody's
    lost = read(tmp_path)
    assert lost.difference_uj() == 0
    assert lost.energy.mid_uj == 0
    assert lost.unattributed == lost.host_energy


def test_groups_and_elapsed_time(tmp_path: Path) -> None:
    world = World()
    first, second = world.fork(2), world.fork(2)
    world.open(first, "a")
    world.open(second, "b")
    world.burn(first, 100_000)
    world.pass_time(2_000_000)
    world.sample()
    write(tmp_path / "box.jsonl", lines_of(world, {"a": {"stage": "dedup", "run": "r"}, "b": {"run": "r"}}))
    ledger = read(tmp_path)
    assert set(ledger.by("stage")) == {"dedup", "orchestration"}
    assert ledger.select(run="r").energy == ledger.energy
    assert ledger.share_s == pytest.approx(2.0)
    assert isinstance(ledger, Ledger)


def test_reading_a_long_ledger_is_quick(tmp_path: Path) -> None:
    """Ten hours of readings: seconds, not minutes (no timing asserted; the test's timeout is the limit)."""
    world = busy_world(2)
    line = world.lines[-1]
    many = [line | {"seq": number, "t": f"2026-01-01T{number // 3600:02d}:00:00.000Z"} for number in range(36_000)]
    world.lines = many
    write(tmp_path / "box.jsonl", lines_of(world, {"a": {}}))
    ledger = read(tmp_path)
    assert len(next(iter(ledger)).hours) == 10
    assert ledger.difference_uj() == 0
