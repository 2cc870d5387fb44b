"""What a running stage says of itself."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flows.tracking import progress as progress_module
from flows.tracking.progress import Screen, StageProgress
from tests.errors import refuses


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the clock that `StageProgress` reads; set `clock[0]`."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def reported(clock: list[float], progress: StageProgress, *reports: tuple[float, int, int]) -> None:
    for at, done, total in reports:
        clock[0] = 1000.0 + at
        progress.update(done, total, "step")


@pytest.mark.parametrize(
    ("expected_s", "training_s", "reports", "told"),
    [
        # Twenty seconds to start, and a run that goes on from step 50 of 100, two steps a second; then other work of
        # the same stage, at its own pace.
        (0, 0, [(20, 50, 100), (24, 58, 100), (45, 100, 100), (60, 0, 10), (70, 5, 10)],
         ["20 s", "21+ s left", "45 s", "60 s", "10+ s left"]),
        # What earlier runs took counts after the work at hand; the last work is slower than any of them.
        (90, 0, [(10, 0, 100), (20, 50, 100), (30, 100, 100), (80, 1, 2), (90, 1, 100), (100, 2, 100)],
         [*(f"{left} s left of the stage" for left in (80, 70, 60, 10)), "90 s", "980 s left"]),
        # Of 600 seconds 500 were for the training, as on longer rows; it takes 60, and 100 are for the rest, among
        # it the training of random weights, for comparison.
        (600, 500, [(5, 1, 1), (10, "train"), (10, 0, 100), (40, 50, 100), (70, 100, 100),
                    (70, "train"), (80, 0, 10), (90, 5, 10), (100, 10, 10)],
         [f"{left} s left of the stage" for left in (595, 590, 120, 90, 80, 70, 60)]),
        # One training after another, of as many steps.
        (0, 0, [(5, 1, 100), (10, 51, 100), (15, 100, 100), (105, 1, 100), (110, 51, 100)],
         ["5 s", "5+ s left", "15 s", "105 s", "5+ s left"]),
    ],
    ids=["nothing is known", "earlier runs", "a forecast of the training", "the same work again"],
)  # fmt: skip
def test_time_left(
    expected_s: float, training_s: float, reports: list[Any], told: list[str],
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    progress = StageProgress("toy", tmp_path / "log")
    progress.expected_s, progress.training_s = expected_s, training_s
    with ExitStack() as phases:
        for at, *report in reports:
            clock[0] = 1000.0 + at
            if report == ["train"]:
                phases.close()
                phases.enter_context(progress.phase("train"))
            else:
                progress.update(*report, "step")
    assert [line.split("step, ")[1] for line in capsys.readouterr().out.splitlines()] == told
    assert (tmp_path / "log").read_text().count(" left") == sum(" left" in line for line in told)


def test_a_progress_line_fits_80_columns_and_its_log_has_all_of_it(
    clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    progress, note = (
        StageProgress("toy", tmp_path / "log"),
        "loss 1.234, 2.345 bits per byte, 17.7k tokens/s, 39% of peak",
    )
    progress.update(1_000_000, 2_000_000, "documents", note)
    progress.log("an error, however long it is, is shown whole: " + note)
    [first, second] = [line.split("\x1b[K")[1] for line in capsys.readouterr().out.split("\r")[1:]]
    assert len(first) == progress_module.WIDTH < 80
    assert first.endswith("…")
    assert second.strip().endswith(note)
    assert note in (tmp_path / "log").read_text().splitlines()[0]


def event(done: int, **more: Any) -> dict[str, Any]:
    note = "loss 4.353, 2.398 bits per byte, 11.7k tokens/s"
    return {"done": done, "total": 400, "unit": "step", "time": "36+ s left", "note": note, "budget": ""} | more


@pytest.mark.parametrize("terminal", [True, False])
def test_a_pipeline_shows_the_progress_of_its_stages_on_one_line(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    screen = Screen()
    screen.progress("pretrain@causal", event(200))
    screen.progress("pretrain@masked", event(200))
    screen.show("pretrain@causal", "pretrain@causal: done")
    screen.end("pretrain@causal")
    shown = capsys.readouterr().out
    lines = [line for line in shown.replace("\r\x1b[K", "\n").split("\n") if line]
    assert " pretrain@causal | pretrain@causal: done" in lines[2]
    if terminal:
        assert max(len(line) for line in lines) < 80
        assert shown.count("\n") == 1  # all but what is done is written over
        assert lines[1] == " | ".join(f"pretrain@{name} 200/400, 36+ s left" for name in ("causal", "masked"))
        assert lines[-1].startswith("  pretrain@masked | [######......] 200/400 step, 36+ s left  loss")
    else:
        progress = "[######......] 200/400 step, 36+ s left  loss 4.353, 2.398 bits per byte, 11.7k tokens/s"
        assert lines[0] == f"  pretrain@causal | {progress}"  # whole


def test_without_a_terminal_a_line_of_progress_comes_every_few_seconds_and_at_the_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    for second in range(10):
        clock[0] = 1000.0 + second
        screen.progress("mix", event(40 * second, note="\x1b[31mred"))
    screen.progress("mix", event(400, note=""))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines] == ["0/400", "160/400", "320/400", "400/400"]
    assert not any("\x1b" in line for line in lines)


def test_reports_in_quick_succession_are_not_all_shown(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = StageProgress("toy", tmp_path / "log")
    reported(clock, progress, *((at / 10, at, 1000) for at in range(100)))
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["0/1,000", "40/1,000", "80/1,000"]


class Events:
    """Instead of an `EventWriter`: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def write(self, kind: str, **facts: Any) -> None:
        self.told.append({"kind": kind} | facts)


def test_whatever_a_stage_says_is_an_event_of_its_run(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a pipeline it prints nothing itself; the log has it all the same."""
    events = Events()
    progress = StageProgress("toy", tmp_path / "log", events, quiet=True)  # type: ignore[arg-type]
    progress.log("going on from step 3")
    progress.log_metrics(4, {"loss": 2.5})
    with progress.phase("encode"):
        reported(clock, progress, (0, 4, 100), (0.5, 5, 100), (1, 6, 100))
    assert [event["kind"] for event in events.told] == ["log", "metrics", "phase", "progress", "progress"]
    assert events.told[1] == {"kind": "metrics", "step": 4, "values": {"loss": 2.5}}
    assert [event["done"] for event in events.told[3:]] == [4, 6]  # one a second
    assert capsys.readouterr().out == ""
    assert (tmp_path / "log").read_text().splitlines()[0] == "going on from step 3"


def test_what_is_left_of_the_budget_is_told_with_the_progress(clock: list[float], tmp_path: Path) -> None:
    """From the budget check to the event that the bar in Prefect shows."""
    from components.carbon.planning.budget import budget_check
    from components.params import Budget, Runtime
    from tests.components.carbon.planning.test_budget import FakeMeter

    events = Events()
    meter = FakeMeter()
    limit = Budget(kwh=10 * 36 / 3.6e6)  # ten steps of a second at 36 W
    began_s = meter.now_s
    check = budget_check(Runtime(budget=limit), meter, tmp_path / "ledger", "r", clock=lambda: meter.now_s)
    progress = StageProgress("toy", tmp_path / "log", events, budget_check=check)  # type: ignore[arg-type]
    progress.raise_if_stopped()
    for step in range(1, 6):
        meter.work(1.0, 36.0)
        progress.raise_if_stopped()
        reported(clock, progress, (10.0 * step, step, 20))
    assert events.told[-1]["budget"] == "; 60% of the run's budget"  # five steps, and the next one

    def go_on() -> None:
        while True:
            meter.work(1.0, 36.0)
            progress.raise_if_stopped()

    refuses(lambda: go_on(), "BudgetLimits.check", "runtime.budget")
    assert meter.now_s - began_s == pytest.approx(10.0)
