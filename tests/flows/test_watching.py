"""What a running stage says of itself."""

from pathlib import Path

import pytest

from flows import watching
from flows.watching import FlowWatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the clock the watch reads; set `clock[0]`."""
    now = [1000.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    return now


def reported(clock: list[float], watch: FlowWatch, *reports: tuple[float, int, int]) -> None:
    for at, done, total in reports:
        clock[0] = 1000.0 + at
        watch.progress(done, total, "step")


def test_time_left_is_told_at_the_pace_of_the_work_itself(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = FlowWatch("toy", tmp_path / "log")
    # Twenty seconds to start, and a run that goes on from step 50 of 100, two steps a second.
    reported(clock, watch, (20, 50, 100), (24, 58, 100), (45, 100, 100))
    # Other work of the same stage: its own pace.
    reported(clock, watch, (60, 0, 10), (70, 5, 10))
    said = [line.split("step, ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["20 s", "21 s left", "45 s", "60 s", "10 s left"]
    assert (tmp_path / "log").read_text().count("s left") == 2


def test_reports_in_quick_succession_are_not_all_shown(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = FlowWatch("toy", tmp_path / "log")
    reported(clock, watch, *((at / 10, at, 1000) for at in range(100)))
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["0/1,000", "40/1,000", "80/1,000"]
