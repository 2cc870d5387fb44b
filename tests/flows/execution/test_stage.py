"""How a stage ends: one outcome and one sentence for each way, nothing half-written taken for whole."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from polars.exceptions import PanicException

from components.core.errors import Stopped, UserError
from components.core.report import Report
from components.params import FURTHER, Mix
from flows.execution import stage_run
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_run import attempt, fresh
from flows.run import run_from_terminal, run_stage
from flows.system.command import OUT_OF_MEMORY
from flows.system.run_folder import StageResult
from flows.system.work_folder import sole_writer
from flows.tracking.progress import StageProgress
from tests.errors import refused


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    work = tmp_path / "work"
    progress = StageProgress("toy", tmp_path / "toy.log")
    return StageContext(None, fresh(work / "out"), fresh(work / "reports"), work, progress, tmp_path)  # type: ignore[arg-type]


def ended(context: StageContext, call: Callable[[StageContext], Any]) -> StageResult:
    """The outcome of a stage that writes a file, then does `call`."""

    def whole(given: StageContext, _: Any) -> Report:
        (given.out / "file").write_text("made")
        call(given)
        return Report({"answer": 42})

    return attempt(Stage("toy", Mix, whole), "", context)[0]


def raising(error: BaseException) -> Callable[[StageContext], None]:
    def call(_: StageContext) -> None:
        raise error

    return call


def test_a_finished_stage_is_moved_into_place(context: StageContext) -> None:
    cards = [fresh(context.root / "reports/cards" / name) for name in ("toy-", "finetune-classify")]  # of models before
    assert ended(context, lambda given: (given.work / "step").mkdir()) == StageResult("Completed", "toy: done")
    assert (context.root / "data/toy/file").read_text() == "made"
    assert (context.root / "reports/toy").is_dir()
    assert list(context.work.iterdir()) == []  # else a rebuild would resume at its end
    assert [card.exists() for card in cards] == [False, True]


@pytest.mark.parametrize(
    ("error", "name", "sentence"),
    [
        (UserError("a.txt: line 3 is no JSON; correct it"), "Failed", "a.txt: line 3 is no JSON; correct it"),
        (MemoryError(), "Failed", OUT_OF_MEMORY),
        (PanicException("could not spawn threads"), "Failed", OUT_OF_MEMORY),  # of polars; no `Exception`
        (Stopped("BudgetReached", "toy: 1 g is spent"), "BudgetReached", "1 g is spent"),
        (ZeroDivisionError("by zero"), "Failed", "ZeroDivisionError: by zero (a mistake in Greenhouse; see the log)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_other_end_has_its_sentence_and_leaves_nothing_in_place(
    context: StageContext, error: BaseException, name: str, sentence: str
) -> None:
    outcome = ended(context, raising(error))
    assert (outcome.name, outcome.message) == (name, f"toy: {sentence}")
    assert outcome.exit_status == (75 if name == "BudgetReached" else 1)
    assert ("Traceback" in (context.root / "toy.log").read_text()) == isinstance(error, ZeroDivisionError)
    assert not (context.root / "data").exists()
    assert context.work.exists()


def test_a_disk_that_fills_is_named_and_what_was_there_stays(context: StageContext) -> None:
    (context.root / "data/toy").mkdir(parents=True)
    (context.root / "data/toy/file").write_text("of the run before")

    def fill(_: StageContext) -> None:
        with open("/dev/full", "w") as full:  # the kernel's own "No space left on device"
            full.write("x" * 100_000)

    outcome = ended(context, fill)
    assert outcome.name == "Failed"
    assert "No space left on device" in outcome.message
    assert outcome.message.endswith("free space on the disk and run again")
    assert "Traceback" not in (context.root / "toy.log").read_text()
    assert (context.root / "data/toy/file").read_text() == "of the run before"


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    with sole_writer(tmp_path), refused("sole_writer", tmp_path), sole_writer(tmp_path):
        pass
    with sole_writer(tmp_path):
        pass
    held, told = Event(), list[str]()
    with ThreadPoolExecutor(1) as threads:

        def hold() -> None:
            with sole_writer(tmp_path):
                held.set()
                time.sleep(0.2)
                told.append("done")

        first = threads.submit(hold)
        held.wait()
        with sole_writer(tmp_path, waits=told.append):  # the second of two runs that make the same
            assert told == [str(os.getpid()), "done"]
        first.result()


def test_a_branch_that_is_off_is_one_sentence(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execvpe", lambda *_: pytest.fail("DVC was asked"))
    for branch in FURTHER:
        for run in (run_stage, run_from_terminal):
            with refused("raise_if_off", f"finetune@{branch}", "params.yaml"):
                run(f"finetune@{branch}")


SPENT = {"forecast_s": 8.0, "forecast_kwh": 0.002, "seconds": 10.0, "kwh": 0.002}


def test_a_stage_that_failed_or_stopped_has_its_energy_too() -> None:
    used = {"seconds/function": 10.0, "energy/kwh": 0.002, "energy/kwh_low": 0.001, "energy/kwh_high": 0.004}
    for name in ("Failed", "BudgetReached", "Cancelled"):
        outcome = StageResult(name, "it ended", function_s=10.0, spent=SPENT, kwh=(0.001, 0.002, 0.004))
        assert stage_run.figures(outcome, None) == used
    outcome = StageResult("Completed", "done", function_s=10.0, spent=SPENT, kwh=(0.001, 0.002, 0.004))
    errors = {"forecast_error_pct/seconds": pytest.approx(-20.0), "forecast_error_pct/kwh": 0.0}
    assert stage_run.figures(outcome, Report({"loss": 2.0})) == {"loss": 2.0} | used | errors
