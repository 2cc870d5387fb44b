"""A run that waits for cleaner hours: a scheduled state in Prefect, on a clock of the test's."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.states import Completed, State

from components.carbon.ledger import reader
from components.carbon.ledger.reader import Ledger
from components.carbon.planning.forecast import forecast
from components.carbon.planning.grid_schedule import Start
from components.core.errors import UserError
from components.params import Dedup, Grid, Params, Runtime
from flows import pipeline as command
from flows.execution import pipeline_flow as pipeline
from flows.execution.form import PipelineForm
from flows.execution.stage_flow import form_of
from flows.planning import deferral
from flows.system import dvc, environment
from tests.components.carbon.planning.test_forecast import span

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)


def test_a_deadline_is_a_time_to_come() -> None:
    assert deferral.deadline_of("2026-03-02T19:00", NOW) == datetime(2026, 3, 2, 19, tzinfo=UTC)
    assert deferral.deadline_of("2026-03-02T19:00+02:00", NOW + timedelta(hours=-1)).hour == 19
    with pytest.raises(UserError, match="no time"):
        deferral.deadline_of("tomorrow", NOW)
    with pytest.raises(UserError, match="is past"):
        deferral.deadline_of("2026-03-02", NOW)


def test_a_deadline_that_is_past_is_refused_before_a_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(command.cli, "with_prefect", start)
    for before, said in (("2020-01-01", "is past"), ("soon", "no time")):
        with pytest.raises(UserError, match=said):
            command.run_from_terminal("", before)


def test_work_waits_for_the_clean_hours(tmp_path: Path) -> None:
    csv = tmp_path / "grid.csv"
    csv.write_text("time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n")
    grid = Grid(zone="FRA", series=str(csv))
    known = forecast(Ledger([span(0, 100.0), span(1, 110.0)]), "dedup")
    assert known
    start = deferral.start_of([known], grid, "2026-03-02T20:00", NOW)
    assert start.at == NOW.replace(hour=19, minute=0)
    assert deferral.worth_waiting(start, NOW)
    assert start.saved_grams == pytest.approx(start.grams_now * 7 / 8, rel=0.01)
    assert not deferral.worth_waiting(deferral.start_of([known], Grid(zone="FRA"), "2026-03-02T20:00", NOW), NOW)


GRAPH = {"ingest": [], "dedup": ["ingest"], "evaluate": ["dedup"]}
CLEAN_AT_19 = "time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """params.yaml over a clean workspace of three stages, of which dedup has run for 100 s here, twice."""
    (tmp_path / "grid.csv").write_text(CLEAN_AT_19)
    books = Ledger([span(0, 100.0), span(1, 100.0)])
    monkeypatch.setattr(reader, "history", lambda folder: books)
    monkeypatch.setattr(dvc, "graph", lambda: GRAPH)
    monkeypatch.setattr(dvc, "stale", dict)
    return Params(runtime=Runtime(grid=Grid(zone="FRA", series=str(tmp_path / "grid.csv"))))


def test_a_run_does_what_is_stale_what_its_values_touch_and_what_follows(
    own: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = own.model_copy(update={"dedup": Dedup(threshold=0.8)})
    assert deferral.to_run(own, own) == []
    assert deferral.to_run(other, own) == ["dedup", "evaluate"]
    assert deferral.to_run(other, own, until="dedup") == ["dedup", "evaluate"]  # an experiment runs to the end
    monkeypatch.setattr(dvc, "stale", lambda: {"ingest": ["never ran"]})
    assert deferral.to_run(own, own, until="dedup") == ["ingest", "dedup"]


def test_keys_are_those_of_dvc_yaml() -> None:
    assert dvc.reading({"dedup.threshold"}) == {"dedup"}
    assert dvc.reading({"pretrain.causal.steps"}) == {"pretrain@causal"}
    assert dvc.reading({"pretrain"}) == {"pretrain@causal", "pretrain@masked"}
    assert "evaluate" in dvc.reading({"numerics.threads"})
    assert dvc.reading({"runtime.workers"}) == set()


def test_an_experiment_over_a_clean_workspace_is_no_work_of_zero_seconds(own: Params) -> None:
    other = own.model_copy(update={"dedup": Dedup(threshold=0.8)})
    start = deferral.chosen(other, own, "2026-03-02T20:00", NOW)
    assert start.kwh == pytest.approx(100.0 * 10 / 3.6e6)
    assert start.at == NOW.replace(hour=19, minute=0)
    nothing = deferral.chosen(own, own, "2026-03-02T20:00", NOW)
    assert (nothing.at, nothing.kwh) == (NOW, 0.0)


def test_what_never_ran_cannot_be_timed(own: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "history", lambda folder: Ledger([]))
    monkeypatch.setattr(dvc, "stale", lambda: {"dedup": ["never ran"]})
    with pytest.raises(UserError, match="run it once without"):
        deferral.chosen(own, own, "2026-03-02T20:00", NOW)


def test_the_form_schedules_another_run_of_its_deployment(own: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, asked = UUID(int=7), list[dict[str, Any]]()
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda name, **how: asked.append({"name": name} | how))
    monkeypatch.setattr(pipeline.schema, "load", lambda path: own)
    monkeypatch.setattr(pipeline, "own_deployment", lambda: str(deployment))
    other = own.model_copy(update={"dedup": Dedup(threshold=0.8)})
    again = {"params": {"settings": ["dedup.threshold=0.8"]}, "params_hash": "", "until": ""}
    state = pipeline._postponed(other, again, "2026-03-02T20:00", NOW)
    assert state is not None
    assert state.name == "Postponed"
    assert "starts at 2026-03-02 19:00 UTC" in str(state.message)
    (asked_for,) = asked
    assert (asked_for["name"], asked_for["scheduled_time"]) == (deployment, NOW.replace(hour=19, minute=0))
    assert asked_for["parameters"] == again
    found = deferral.saving(asked_for["tags"])
    assert found["delayed_start/grams_saved"] == pytest.approx(found["delayed_start/grams_at_once"] * 7 / 8, rel=1e-4)

    assert pipeline._postponed(own, again, "2026-03-02T20:00", NOW) is None  # nothing to do: begin now
    late = pipeline._postponed(other, again, "2026-03-02T17:00", NOW)
    assert late is not None
    assert late.is_failed()
    monkeypatch.setattr(pipeline, "own_deployment", str)
    assert pipeline._postponed(other, again, "2026-03-02T20:00", NOW) is None  # the terminal waits by itself
    assert len(asked) == 1
    assert deferral.saving(["greenhouse", "pid:7"]) == {}


def test_a_paused_run_of_the_form_is_scheduled_again(own: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, asked = UUID(int=7), list[dict[str, Any]]()
    paused = Completed(name="Paused", message="runtime.pause_above: dirty")
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda name, **how: asked.append({"name": name} | how))
    monkeypatch.setattr(pipeline, "own_deployment", lambda: str(deployment))
    monkeypatch.setattr(pipeline, "run_pipeline", lambda *_, pausing: paused if pausing else Completed())
    monkeypatch.setattr(pipeline, "datetime", SimpleNamespace(now=lambda zone: NOW))
    dirty = own.model_copy(update={"runtime": own.runtime.model_copy(update={"pause_above": 100.0})})
    monkeypatch.setattr(pipeline, "chosen_params", lambda form, form_hash: dirty if form else own)
    form = PipelineForm(settings=["runtime.pause_above=100.0"])
    state = pipeline.pipeline.fn(form, "", "dedup")
    assert (state.name, state.is_completed()) == ("Paused", True)
    assert state.message == "goes on by itself at 2026-03-02 19:00 UTC: runtime.pause_above: dirty"
    (again,) = asked
    assert (again["name"], again["scheduled_time"]) == (deployment, NOW.replace(hour=19, minute=0))
    sent = {"settings": ["runtime.pause_above=100.0"]}  # the fields that were sent, and no others
    assert again["parameters"] == {"params": sent, "params_hash": "", "until": "dedup"}
    monkeypatch.setattr(pipeline.schema, "load", lambda path: own)
    assert (
        pipeline.pipeline.fn(None, "", "", "2026-03-02T20:00").name == "Completed"
    )  # one with a deadline goes through
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("stage", "section", "parameters"),
    [
        (form_of("dedup"), Dedup(threshold=0.8), {}),
        (form_of("dedup"), None, {}),
        (form_of("pretrain"), None, {"branch": "masked"}),
    ],
    ids=["changed values", "as params.yaml", "one branch"],
)
def test_a_paused_run_of_a_stages_form_is_scheduled_again(
    stage: Any, section: Dedup | None, parameters: dict[str, str], own: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ran = list[dict[str, Any]](), list[tuple[Any, ...]]()
    dirty = own.model_copy(update={"runtime": own.runtime.model_copy(update={"pause_above": 100.0})})
    paused = Completed(name="Paused", message="runtime.pause_above: dirty")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda name, **how: asked.append({"name": name} | how))
    monkeypatch.setattr(pipeline.schema, "load", lambda path: dirty)
    monkeypatch.setattr(pipeline, "own_deployment", lambda: str(UUID(int=7)))
    monkeypatch.setattr(pipeline, "run_pipeline", lambda *how: ran.append(how) or paused)
    monkeypatch.setattr(pipeline, "datetime", SimpleNamespace(now=lambda zone: NOW))
    state = stage.fn(params=section, params_hash="f00", **parameters)
    assert state.message == "goes on by itself at 2026-03-02 19:00 UTC: runtime.pause_above: dirty"
    (again,) = asked
    assert (again["name"], again["scheduled_time"]) == (UUID(int=7), NOW.replace(hour=19, minute=0))
    shown = section and section.model_dump(mode="json")
    assert again["parameters"] == {"params": shown, "params_hash": "f00", **parameters}
    # What was scheduled is what the flow takes, and does the same.
    stage.fn(**stage.validate_parameters(again["parameters"]))
    assert ran[0] == ran[1]
    monkeypatch.setattr(pipeline, "own_deployment", str)
    assert stage.fn(params=section, **parameters) is paused  # in a terminal DVC tells when to run it again
    assert len(asked) == 2


def test_the_terminal_waits_for_a_clean_hour_as_often_as_it_must(
    own: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, begun = [NOW], list[datetime]()
    dirty = own.model_copy(update={"runtime": own.runtime.model_copy(update={"pause_above": 100.0})})
    paused = Completed(name="Paused", message="dirty")

    def run_at(flow: object, at: datetime, parameters: dict[str, Any]) -> State:
        clock[0] = at
        begun.append(at)
        assert parameters == {"until": ""}
        return paused if len(begun) == 1 else Completed()

    monkeypatch.setattr(pipeline.schema, "load", lambda path: dirty)
    monkeypatch.setattr(command.cli, "with_prefect", nullcontext)
    monkeypatch.setattr(pipeline, "pipeline", lambda *_, return_state: paused)
    monkeypatch.setattr(command, "datetime", SimpleNamespace(now=lambda zone: clock[0]))
    monkeypatch.setattr(deferral, "run_at", run_at)
    assert command.run_from_terminal("").name == "Completed"
    assert begun == [NOW.replace(hour=19, minute=0)] * 2
    assert "waits here until 2026-03-02 19:00 UTC" in capsys.readouterr().out


def test_a_run_whose_start_was_chosen_does_not_pause(own: Params) -> None:
    dirty = own.model_copy(update={"runtime": own.runtime.model_copy(update={"pause_above": 100.0})})
    steady = deferral.without_pauses(dirty)
    assert steady == own
    assert steady.identity() == dirty.identity()


@pytest.mark.slow
def test_it_is_scheduled_until_its_time_and_then_runs() -> None:
    environment.apply_environment()
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.runtime import flow_run
    from prefect.testing.utilities import prefect_test_harness

    clock, seen = [datetime.now(UTC) - timedelta(hours=2)], []
    at = clock[0] + timedelta(hours=1)

    @flow(name="waits")
    def waits(number: int) -> dict[str, Any]:
        return {"number": number, "deployment": pipeline.own_deployment()} | deferral.saving(flow_run.tags)

    def sleep(seconds: float) -> None:
        with get_client(sync_client=True) as client:
            seen.extend(run.state.type.value for run in client.read_flow_runs() if run.state)
        clock[0] += timedelta(minutes=20)

    with prefect_test_harness(server_startup_timeout=120):
        tag = deferral.saving_tag(Start(at, 1.0, 20.0, 50.0, "a series"))
        state = deferral.run_at(waits, at, {"number": 7}, lambda: clock[0], sleep, [tag])
        assert state.is_completed()
        saved = {"delayed_start/grams_saved": 30.0, "delayed_start/grams_at_once": 50.0}
        assert state.result() == {"number": 7, "deployment": ""} | saved
        # From the form: another run of the deployment, which knows its deployment and what it saves.
        deployment = str(waits.to_deployment("form").apply())
        later = datetime.now(UTC) - timedelta(minutes=1)  # else Prefect would wait here
        deferral.reschedule(deployment, later, {"number": 8}, [tag])
        with get_client(sync_client=True) as client:
            (run,) = [run for run in client.read_flow_runs() if run.deployment_id]
        assert run.state is not None
        assert (run.state.name, run.state.state_details.scheduled_time) == ("Scheduled", later)
        ended = run_flow(waits, flow_run=run, parameters=run.parameters, return_type="state")
        assert ended.result() == {"number": 8, "deployment": deployment} | saved
    assert seen == ["SCHEDULED"] * 3
