"""What people see of a stage that a pipeline runs: lines, one bar that is kept up to date, a report at its end."""

import logging
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.execution import stage_view
from flows.execution.stage_view import StageView
from flows.system import paths
from flows.system.run_folder import EventWriter, RunFolder, StageFolder
from flows.tracking.progress import Screen


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What Prefect is told: (what, ...)."""
    told: list[tuple] = []

    def create(percent: float, key: str, description: str) -> UUID:
        told.append(("create", key, percent, description))
        return uuid4()

    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(stage_view, "EVERY_S", 0.0)
    monkeypatch.setattr(stage_view, "get_run_logger", lambda: logging.getLogger("shown"))
    monkeypatch.setattr(stage_view, "create_progress_artifact", create)
    monkeypatch.setattr(
        stage_view, "update_progress_artifact", lambda bar, percent, text: told.append(("update", percent, text))
    )
    monkeypatch.setattr(
        stage_view, "create_markdown_artifact", lambda text, key, description: told.append(("report", key, text))
    )
    return told


def begun(name: str) -> tuple[StageFolder, EventWriter]:
    RunFolder("calm-otter").open("pipeline")
    folder = RunFolder("calm-otter").stage(name)
    folder.clear()
    folder.dvc_log.write_text("Running stage\nTo track the changes with git, run:\n")
    return folder, EventWriter(folder, fingerprint="f", params={}, hashes={})


def progress(done: int, total: int | None) -> dict[str, Any]:
    more = {"unit": "step", "time": "9 s left", "note": "loss 2.5", "budget": "; 60% of the run's budget"}
    return {"done": done, "total": total} | more


def test_a_stages_events_are_shown_once_and_its_bar_is_kept_up_to_date(
    artifacts: list[tuple], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shown")
    folder, events = begun("pretrain@causal")
    view = StageView(folder, Screen(), known=True)
    events.write("log", text="going on from step 3")
    events.write("progress", **progress(10, 100))
    view.refresh()
    view.refresh()
    events.write("progress", **progress(75, 100))
    events.write("progress", **progress(3, None))  # no end in sight: no bar
    view.refresh()
    assert artifacts == [
        ("create", "progress-pretrain-causal", 10.0, "10 of 100 step, 9 s left  loss 2.5; 60% of the run's budget"),
        ("update", 75.0, "75 of 100 step, 9 s left  loss 2.5; 60% of the run's budget"),
    ]
    shown = capsys.readouterr().out
    assert shown.count("pretrain@causal | going on from step 3\n") == 1
    assert "To track the changes" not in shown  # of DVC, which has nothing to say of it
    assert caplog.messages[0] == "going on from step 3"
    assert caplog.messages[1].endswith("10/100 step, 9 s left  loss 2.5")


def test_of_a_stage_of_the_users_own_is_shown_what_it_and_dvc_print(
    artifacts: list[tuple], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = begun("count")
    view = StageView(folder, Screen(), known=False)
    view.refresh()
    with open(folder.dvc_log, "a") as log:
        log.write("counted\n\n")
    view.refresh()
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["count | Running stage", "count | To track the changes with git, run:", "count | counted"]


def test_a_prefect_that_fails_does_not_take_the_work_down(
    artifacts: list[tuple], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> UUID:
        raise ConnectionError("away")

    for name in ("create_progress_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(stage_view, name, fail)
    folder, events = begun("mix")
    events.write("progress", **progress(10, 100))
    view = StageView(folder, Screen(), known=True)
    view.refresh()
    view.end(folder.dvc_log, "Completed")
    assert capsys.readouterr().out.count("Prefect: not shown there: ConnectionError: away") == 2


@pytest.mark.parametrize(("outcome", "shown"), [("Completed", True), ("Failed", False), ("Cached", False)])
def test_the_report_of_a_stage_that_completed_is_shown(
    outcome: str, shown: bool, artifacts: list[tuple], tmp_path: Path
) -> None:
    folder, _ = begun("pretrain@causal")
    (tmp_path / "report.md").write_text(f"the report: `{'a forgotten text ' * 3}`")
    StageView(folder, Screen(), known=True).end(tmp_path / "report.md", outcome)
    assert artifacts == ([("report", "pretrain-causal", "the report: `...`")] if shown else [])
