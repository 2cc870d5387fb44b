"""A run that waits for cleaner hours: a scheduled state in Prefect, on a clock of the test's."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.states import Cancelled, Completed, State

from components.params import Dedup, Grid, Params, Runtime
from flows import pipeline as command
from flows.execution import pipeline_flow as pipeline
from flows.execution.form import PipelineForm
from flows.execution.stage_flow import form_of
from flows.planning import deferral

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)


CLEAN_AT_19 = "time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n"


@pytest.fixture
def dirty(tmp_path: Path) -> Params:
    """Parameters that pause until 19:00."""
    (tmp_path / "grid.csv").write_text(CLEAN_AT_19)
    return Params(runtime=Runtime(grid=Grid(zone="FRA", series=str(tmp_path / "grid.csv")), pause_above=100.0))


def test_a_paused_run_of_the_form_is_scheduled_again(dirty: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, asked = UUID(int=7), list[dict[str, Any]]()
    paused = Cancelled(name="Paused", message="runtime.pause_above: dirty")
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda name, **how: asked.append({"name": name} | how))
    monkeypatch.setattr(pipeline, "own_deployment", lambda: str(deployment))
    monkeypatch.setattr(pipeline, "run_pipeline", lambda *_: paused)
    monkeypatch.setattr(pipeline, "datetime", SimpleNamespace(now=lambda zone: NOW))
    monkeypatch.setattr(pipeline, "chosen_params", lambda form, form_hash: dirty)
    form = PipelineForm(settings=["runtime.pause_above=100.0"])
    state = pipeline.pipeline.fn(form, "", "dedup")
    assert (state.name, state.is_cancelled()) == ("Paused", True)
    assert state.message == "goes on by itself at 2026-03-02 19:00 UTC: runtime.pause_above: dirty"
    (again,) = asked
    assert (again["name"], again["scheduled_time"]) == (deployment, NOW.replace(hour=19, minute=0))
    sent = {"settings": ["runtime.pause_above=100.0"]}  # the fields that were sent, and no others
    assert again["parameters"] == {"params": sent, "params_hash": "", "until": "dedup"}


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
    stage: Any, section: Dedup | None, parameters: dict[str, str], dirty: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ran = list[dict[str, Any]](), list[tuple[Any, ...]]()
    paused = Cancelled(name="Paused", message="runtime.pause_above: dirty")
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
    dirty: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, begun = [NOW], list[datetime]()
    paused = Cancelled(name="Paused", message="dirty")

    def run_at(flow: object, at: datetime, parameters: dict[str, Any]) -> State:
        clock[0] = at
        begun.append(at)
        assert parameters == {"until": ""}
        return paused if len(begun) == 1 else Completed()

    monkeypatch.setattr(pipeline.schema, "load", lambda path: dirty)
    monkeypatch.setattr(command.cli, "with_prefect", lambda *_: nullcontext())
    monkeypatch.setattr(pipeline, "pipeline", lambda *_, return_state: paused)
    monkeypatch.setattr(command, "datetime", SimpleNamespace(now=lambda zone: clock[0]))
    monkeypatch.setattr(deferral, "run_at", run_at)
    assert command.run_from_terminal("").name == "Completed"
    assert begun == [NOW.replace(hour=19, minute=0)] * 2
    assert "waits here until 2026-03-02 19:00 UTC" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.usefixtures("prefect_harness")
def test_it_is_scheduled_until_its_time_and_then_runs() -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow

    clock, seen = [datetime.now(UTC) - timedelta(hours=2)], []
    at = clock[0] + timedelta(hours=1)

    @flow(name="waits")
    def waits(number: int) -> dict[str, Any]:
        return {"number": number, "deployment": pipeline.own_deployment()}

    def sleep(seconds: float) -> None:
        with get_client(sync_client=True) as client:
            seen.extend(run.state.type.value for run in client.read_flow_runs() if run.state)
        clock[0] += timedelta(minutes=20)

    state = deferral.run_at(waits, at, {"number": 7}, lambda: clock[0], sleep)
    assert state.is_completed()
    assert state.result() == {"number": 7, "deployment": ""}
    # From the form: another run of the deployment, which knows its deployment.
    deployment = str(waits.to_deployment("form").apply())
    later = datetime.now(UTC) - timedelta(minutes=1)  # else Prefect would wait here
    deferral.reschedule(deployment, later, {"number": 8})
    with get_client(sync_client=True) as client:
        (run,) = [run for run in client.read_flow_runs() if run.deployment_id]
    assert run.state is not None
    assert (run.state.name, run.state.state_details.scheduled_time) == ("Scheduled", later)
    ended = run_flow(waits, flow_run=run, parameters=run.parameters, return_type="state")
    assert ended.result() == {"number": 8, "deployment": deployment}
    assert seen == ["SCHEDULED"] * 3
