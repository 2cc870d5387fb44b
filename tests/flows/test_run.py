"""`greenhouse run`: which words go together, and a preset as values of one run."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from prefect.states import Completed

from components import params as schema
from components.carbon.footprint.intensity import Intensity, resolve
from components.carbon.planning.forecast import StageForecast
from components.carbon.spans import Bounds
from components.core.report import Report
from components.params import Grid, Params, Runtime
from flows import cli, run
from flows.plan import PlanRow, start_line
from flows.planning import staleness
from flows.system import dvc, paths
from tests.errors import refuses


def test_words_that_are_no_setting_are_named() -> None:
    refuses(lambda: run.form_of(["x"]), "run.form_of", "x", "KEY=VALUE")


@pytest.mark.parametrize(
    ("until", "card"),
    [("finetune@classify", "`greenhouse card finetune@classify`: "), ("mix", ""), ("", "the table, model=")],
)
def test_a_run_that_ends_before_the_report_writes_it_anew_and_says_how_to_go_on(
    until: str, card: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    monkeypatch.setattr(run, "run_from_terminal", lambda *_: Completed(message=""))
    monkeypatch.setattr(
        run, "refresh", lambda params: written.append(params) or Report({}, '```\nthe table, model="models/x"\n```\n')
    )
    assert run.run_pipeline(until, []) == 0
    assert len(written) == 1
    told = capsys.readouterr().out.splitlines()[-3]
    assert told.startswith(f"next        {card}" if until else card)
    assert ("`greenhouse run` goes on" in told) == bool(until)
    assert (f'model="{paths.ROOT}/models/x"' in told) == (not until), "what loads works from any folder"


def test_a_preset_is_values_of_one_run_and_values_win_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["pretrain.common.model.size=3"]
    values = [*run.preset_settings("gpu-124m", settings), *settings]
    chosen = run.form_of(values).applied(schema.read())
    assert chosen.numerics.device == "cuda"
    assert chosen.pretrain.causal.model.size == 3


def test_a_value_that_cannot_do_is_refused_before_the_run_begins() -> None:
    """It began a run that failed after ten seconds, and stood in the books as one."""
    for wrong, *says in (
        ("finetune.classify.data=no/such.csv", "preflight._rows", "finetune.classify.data = no/such.csv"),
        ("runtime.grid.zone=NARNIA", "zone_mean", "runtime.grid.zone = 'NARNIA'"),
    ):
        refuses(partial(run.run_from_terminal, "", [wrong]), *says)


def test_a_dry_run_says_why_and_what_only_stages_with_inputs_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`filter` follows a stale stage, so what it would do with the old input says nothing."""
    monkeypatch.setattr(staleness, "explain", lambda: ["ingest:", "    never ran"])
    monkeypatch.setattr(dvc, "graph", lambda: {"ingest": [], "dedup": ["ingest"], "filter": ["dedup"]})
    monkeypatch.setattr(dvc, "stale", lambda: {"ingest": ["never ran"], "filter": ["key filter.rules"]})
    monkeypatch.setattr(run, "dry_run_of", lambda name, values: f"reads of {name}")
    assert cli.answer(["run", "--dry-run"]) == 0
    assert capsys.readouterr().out == "ingest:\n    never ran\n\ningest would do:\n\nreads of ingest\n"


def test_a_stage_alone_becomes_its_dvc_repro(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(dvc, "raise_if_not_ready", lambda stage: None)
    monkeypatch.setattr(os, "execvpe", lambda file, command, environment: asked.append(command))
    run.run_stage("pretrain@causal")
    assert asked[0][-4:] == ["--wait-for-lock", "repro", "--single-item", "pretrain@causal"]


NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)
CLEAN_AT_19 = "time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    (tmp_path / "grid.csv").write_text(CLEAN_AT_19)
    return Runtime(grid=Grid(zone="FRA", series=str(tmp_path / "grid.csv")), start_within_hours=2.0)


def waited(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time at which a run would begin."""
    clock = [NOW]

    def sleep(seconds: float) -> None:
        assert seconds <= 30  # so that Ctrl-C is heeded
        clock[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(run.dvc, "graph", lambda: {"dedup": []})
    monkeypatch.setattr(run.dvc, "stale", lambda: {"dedup": []})
    monkeypatch.setattr(run, "expected", lambda *_: None)
    run.wait_for_start(Params(runtime=runtime), lambda: clock[0], sleep)
    return clock[0]


def test_a_run_waits_for_the_cleanest_start_and_says_so(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited(runtime, monkeypatch) == NOW.replace(hour=19, minute=0)
    assert capsys.readouterr().out == (
        "pipeline: waits until 2026-03-02 19:00 UTC, the cleanest start within 2 hours (runtime.start_within_hours)\n"
    )


def test_it_begins_at_once_where_no_cleaner_hour_comes_in_time(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited(runtime.model_copy(update={"start_within_hours": 1.0}), monkeypatch) == NOW
    assert capsys.readouterr().out == ""


def test_the_plan_names_the_cleanest_start(runtime: Runtime) -> None:
    rows = [PlanRow("dedup", "why", StageForecast("dedup", Bounds(600.0, 900.0, 1200.0), Bounds(1.0, 1.0, 1.0), ""))]
    line = start_line(rows, resolve(runtime.grid), NOW)
    assert line.startswith("cleanest start within 24 hours: 2026-03-02 19:00 UTC, ")
    assert start_line(rows, Intensity(Bounds(80.0, 100.0, 120.0), "mean"), NOW) == ""
