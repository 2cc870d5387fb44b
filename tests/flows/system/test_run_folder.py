"""The folder of a run: events that a kill may cut, results that are whole, marks, files kept for the record."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.system import paths, processes, run_folder
from flows.system.run_folder import EventReader, EventWriter, RunFolder, StageResult, open_runs, own_run


@pytest.fixture(autouse=True)
def runs(checkout: Path) -> Path:
    return paths.RUNS


def begun(name: str = "mix", run: str = "calm-otter") -> tuple[run_folder.StageFolder, EventWriter]:
    folder = RunFolder(run).stage(name)
    folder.clear()
    return folder, EventWriter(folder, fingerprint="f", params={}, hashes={})


def test_events_are_read_once_in_their_order_and_a_line_that_was_cut_is_left_out() -> None:
    RunFolder("calm-otter").open("pipeline")
    folder, events = begun()
    reader = EventReader(folder)
    events.write("log", text="first")
    assert [event["kind"] for event in reader.new()] == ["begin", "log"]
    assert reader.new() == []
    with open(folder.path / "events.jsonl", "a") as file:
        file.write('{"kind": "metr')  # killed as it wrote
    assert reader.new() == []
    with open(folder.path / "events.jsonl", "a") as file:
        file.write('\n[]\n{"kind": "log"}\n')
    assert reader.new() == [{"kind": "log"}]
    assert folder.begin["process"] == processes.process_tag()
    (folder.path / "events.jsonl").write_text('{"t": 1, "kind": "beg')
    assert folder.begin == {}
    assert folder.run.stages() == []  # it did not come so far


def test_an_event_that_found_no_room_does_not_take_the_next_one_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    RunFolder("calm-otter").open("pipeline")
    folder, events = begun()

    class Full:
        """A file on a disk that takes half of one line."""

        def __init__(self, file: object) -> None:
            self.file, self.full = file, True

        def write(self, line: bytes) -> int:
            half, self.full = line[: len(line) // 2] if self.full else line, False
            return self.file.write(half)  # type: ignore[attr-defined]

    monkeypatch.setattr(events, "_file", Full(events._file))
    events.write("log", text="cut")
    events.write("log", text="whole")
    assert [event.get("text") for event in EventReader(folder).new()] == [None, "whole"]


def test_a_stage_that_says_nothing_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "ALIVE_S", 0.1)
    RunFolder("calm-otter").open("pipeline")
    folder, _ = begun()
    deadline = time.monotonic() + 30
    while "alive" not in (folder.path / "events.jsonl").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert EventReader(folder).new()[1]["kind"] == "alive"


def test_the_result_file_gives_the_whole_result_back() -> None:
    folder = RunFolder("calm-otter").stage("mix")
    assert folder.result() is None
    spent, kwh = {"seconds": 2.5}, (0.1, 0.2, 0.3)
    result = StageResult("BudgetReached", "1 g is spent", "mix.log", 2.5, spent, kwh, {"loss": 1.0}, {"ms": 7})
    folder.write_result(result)
    assert folder.result() == result
    assert result.exit_status == 75


def test_another_try_of_a_stage_does_not_find_what_the_first_one_left() -> None:
    RunFolder("calm-otter").open("pipeline")
    folder, _ = begun()
    folder.write_result(StageResult("Failed", "mix: no"))
    folder.dvc_log.write_text("Running stage")
    folder.mark_recorded()
    folder, _ = begun()
    assert (folder.result(), folder.recorded) == (None, False)
    assert folder.dvc_log.exists()  # DVC writes it, which runs


def test_a_stage_has_ended_when_it_left_its_result_or_its_process_is_gone(ended: str) -> None:
    RunFolder("calm-otter").open("pipeline")
    folder, _ = begun()
    assert not folder.ended
    folder.write_result(StageResult("Completed", "mix: done"))
    assert folder.ended
    killed = RunFolder("calm-otter").stage("dedup")
    killed.clear()
    (killed.path / "events.jsonl").write_text(json.dumps({"t": 1, "kind": "begin", "process": ended}) + "\n")
    assert killed.ended
    assert [stage.name for stage in RunFolder("calm-otter").stages()] == ["dedup", "mix"]  # as they began


def test_runs_stay_open_until_they_have_their_mark(ended: str) -> None:
    for name, process in (("gone", ended), ("here", "")):
        RunFolder(name).open("pipeline", process)
    assert [(run.name, run.alive) for run in open_runs()] == [("gone", False), ("here", True)]
    RunFolder("gone").close()
    assert [run.name for run in open_runs()] == ["here"]
    RunFolder("gone").open("pipeline")  # a name that came again: another run
    (paths.RUNS / "opening").mkdir()  # between its folder and its first file: closed, it would never be recorded
    assert [run.name for run in open_runs()] == ["gone", "here"]


def test_what_is_kept_outlives_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files by a second name, which costs no room; small ones, which may be written over in place, as copies."""
    monkeypatch.setattr(run_folder, "SMALL_BYTES", 10)
    root = tmp_path / "worktree"
    (root / "models/mix").mkdir(parents=True)
    (root / "models/mix/large").write_text("weights " * 10)
    (root / "params.yaml").write_text("a: 1")
    folder, _ = begun()
    files = [root / "models/mix", root / "params.yaml", root / "missing", tmp_path / "lock"]
    (tmp_path / "lock").write_text("of elsewhere")
    assert folder.keep(files, root) == ["models/mix", "params.yaml", "lock"]
    assert os.stat(root / "models/mix/large").st_nlink == 2
    (root / "models/mix/large").unlink()
    (root / "params.yaml").write_text("a: 2")
    assert (folder.kept / "models/mix/large").read_text() == "weights " * 10
    assert (folder.kept / "params.yaml").read_text() == "a: 1"
    folder.mark_recorded()
    assert not folder.kept.exists()


def test_a_run_of_plain_dvc_is_named_after_the_process_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its start: process numbers come again."""
    monkeypatch.delenv("GREENHOUSE_RUN", raising=False)
    name = own_run().name
    assert name.startswith(f"dvc-repro-{os.getppid()}-")
    tag = processes.process_tag(os.getppid())
    monkeypatch.setattr(run_folder, "process_tag", lambda pid: f"{tag}0")
    assert own_run().name != name
    monkeypatch.setenv("GREENHOUSE_RUN", "calm-otter")
    assert own_run().name == "calm-otter"
