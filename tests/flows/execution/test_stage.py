"""How a stage ends: one outcome and one sentence for each way, nothing half-written taken for whole."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.carbon.metering.meter import Meter
from components.carbon.planning import pause
from components.core.errors import Stopped, UserError
from components.core.files import read_json
from components.core.report import Report
from components.params import Budget, Grid, Params, Runtime
from flows.execution.stage import Outcome, Place, Stage, _guard, attempt, fresh, sole_writer
from flows.tracking.progress import FlowProgress


@pytest.fixture
def place(tmp_path: Path) -> Place:
    work = tmp_path / "work"
    progress = FlowProgress("toy", tmp_path / "toy.log")
    return Place(None, fresh(work / "out"), fresh(work / "reports"), work, progress, tmp_path)  # type: ignore[arg-type]


def ended(place: Place, call: Callable[[Place], Any]) -> Outcome:
    """The outcome of a stage that writes a file, then does `call`."""

    def whole(given: Place, _: Any) -> Report:
        (given.out / "file").write_text("made")
        call(given)
        return Report({"answer": 42})

    return attempt(Stage("toy", whole), "", place)[0]


def raising(error: BaseException) -> Callable[[Place], None]:
    def call(_: Place) -> None:
        raise error

    return call


def test_a_finished_stage_is_moved_into_place(place: Place) -> None:
    assert ended(place, lambda given: (given.work / "step").mkdir()) == Outcome("Completed", "toy: done")
    assert (place.root / "data/toy/file").read_text() == "made"
    assert (place.root / "reports/toy").is_dir()
    assert list(place.work.iterdir()) == []  # else a rebuild would resume at its end


@pytest.mark.parametrize(
    ("error", "name", "sentence"),
    [
        (UserError("a.txt: line 3 is no JSON; mend it"), "Failed", "toy: a.txt: line 3 is no JSON; mend it"),
        (MemoryError(), "Failed", "toy: out of memory; lower batch, micro_batch or runtime.workers in params.yaml"),
        (Stopped("BudgetReached", "toy: 1 g is spent"), "BudgetReached", "toy: 1 g is spent"),
        (
            ZeroDivisionError("by zero"),
            "Failed",
            "toy: ZeroDivisionError: by zero (a mistake in Greenhouse; see the log)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_other_end_has_its_sentence_and_leaves_nothing_in_place(
    place: Place, error: BaseException, name: str, sentence: str
) -> None:
    outcome = ended(place, raising(error))
    assert (outcome.name, outcome.message) == (name, sentence)
    assert not (place.root / "data").exists()
    assert place.work.exists()


def test_a_stop_on_purpose_is_told_in_the_work_folder(place: Place) -> None:
    outcome = ended(place, raising(Stopped("BudgetReached", "1 g is spent")))
    assert outcome.exit_status == 75
    assert read_json(place.work / "stopped.json") == {"name": "BudgetReached", "message": "1 g is spent"}


def test_a_disk_that_fills_is_named_and_what_was_there_stays(place: Place) -> None:
    (place.root / "data/toy").mkdir(parents=True)
    (place.root / "data/toy/file").write_text("of the run before")

    def fill(_: Place) -> None:
        with open("/dev/full", "w") as full:  # the kernel's own "No space left on device"
            full.write("x" * 100_000)

    outcome = ended(place, fill)
    assert outcome.name == "Failed"
    assert "No space left on device" in outcome.message
    assert outcome.message.endswith("free space on the disk and run again")
    assert (place.root / "data/toy/file").read_text() == "of the run before"


def test_the_log_of_a_mistake_has_the_traceback(place: Place) -> None:
    ended(place, raising(ZeroDivisionError("by zero")))
    assert "Traceback" in (place.root / "toy.log").read_text()


def test_a_stage_pauses_before_it_is_over_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both guards are asked at each check; the dirty hour comes first, for a budget may be spent in a cleaner one."""
    now = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)
    monkeypatch.setattr(pause, "pauses", partial(pause.pauses, clock=lambda: now))
    (tmp_path / "grid.csv").write_text("time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,50\n")
    grid = Grid(series=str(tmp_path / "grid.csv"))
    params = Params(runtime=Runtime(grid=grid, pause_above=100.0, budget=Budget(hours=1e-9)))
    with Meter(tmp_path / "ledger", 1.0, {"stage": "mix", "run": "r"}) as meter:
        with pytest.raises(Stopped) as paused:
            _guard(params, meter, "r")()
        never = params.model_copy(update={"runtime": params.runtime.model_copy(update={"pause_above": None})})
        with pytest.raises(Stopped) as spent:
            _guard(never, meter, "r")()
    assert (paused.value.name, spent.value.name) == ("Paused", "BudgetReached")


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    with sole_writer(tmp_path), pytest.raises(UserError, match="works here"), sole_writer(tmp_path):
        pass
    with sole_writer(tmp_path):
        pass
