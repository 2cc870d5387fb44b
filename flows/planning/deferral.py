"""A run that may wait: `python -m flows.pipeline --before 2026-11-26T08:00`, or `before` in the form.

It begins in the hours in which the grid is cleanest, and ends before the deadline. Until then it is a scheduled run in
Prefect: from a terminal this process waits for it, from the UI the process of `make up` does. What the wait is expected
to save travels with the run as a tag, so that the run can put it on record when it ends.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from components import params as schema
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.forecast import StageForecast, total
from components.carbon.planning.grid_schedule import Start, best_start
from components.carbon.planning.pause import resumes_at
from components.core.errors import UserError
from components.params import Grid, Params
from flows.planning import step_cost
from flows.planning.stage_forecast import expected
from flows.system import dvc, paths, processes

WORTH_WAITING = timedelta(minutes=1)
SAVING = "gCO2e saved by waiting: "


def chosen(params: Params, own: Params, before: str, now: datetime, until: str = "") -> Start:
    """When a run with `params` should begin; `own` is params.yaml, `until` the stage it ends with (empty for all).

    Raises:
        UserError: `before` is no time, or past; or nothing is known of how long the run takes.
    """
    books, found = reader.history(paths.LEDGER), step_cost.known(params)
    stages = to_run(params, own, until)
    known = [one for stage in stages if (one := expected(books, stage, "", params, found))]
    if stages and not known:
        raise UserError("before: nothing has run here yet, so how long a run takes is unknown; run it once without")
    return start_of(known, params.runtime.grid, before, now)


def to_run(params: Params, own: Params, until: str = "") -> list[str]:
    """The stages that a run with `params` would do, in order: what DVC finds stale, what the changed values touch, and
    what follows them. An experiment runs to the end whatever `until` says, as the pipeline has it."""
    stages = dvc.graph()
    changed = {key for key, _, _ in dvc.leaves("", own.identity(), params.identity())}
    stale = dvc.downstream(stages, set(dvc.stale()) | (dvc.reading(changed) if changed else set()))
    wanted = dvc.upstream(stages, until) if until and not changed else stages
    return [stage for stage in wanted if stage in stale]


def start_of(known: list[StageForecast], grid: Grid, before: str, now: datetime) -> Start:
    """When work that is expected to take so much should begin."""
    seconds, kwh = total([one.seconds for one in known]), total([one.kwh for one in known])
    intensity = resolve(grid, paths.ROOT)
    return best_start(now, deadline_of(before, now), seconds.mid, seconds.high, kwh.mid, intensity, grid.pue)


def deadline_of(before: str, now: datetime) -> datetime:
    """The time in `before` (ISO 8601; UTC if it names no zone).

    Raises:
        UserError: it is no time, or past.
    """
    try:
        deadline = datetime.fromisoformat(before)
    except ValueError:
        raise UserError(f"before = {before!r}: no time; write it like 2026-11-26T08:00 (UTC) or with +01:00") from None
    deadline = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
    if deadline <= now:
        raise UserError(f"before = {before!r} is past; name a time to come")
    return deadline


def worth_waiting(start: Start, now: datetime) -> bool:
    """Whether the start is not as good as now."""
    return start.at - now > WORTH_WAITING


def run_at(
    flow: Any,
    at: datetime,
    parameters: dict[str, Any],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
    tags: Sequence[str] = (),
) -> Any:
    """A scheduled run of a flow that this process carries out at its time; its final state."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.states import Cancelled, Scheduled

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow, parameters=parameters, state=Scheduled(scheduled_time=at), tags=[processes.process_tag(), *tags]
        )
        try:
            while (left_s := (at - clock()).total_seconds()) > 0:
                sleep(min(left_s, 30.0))
        except BaseException:
            client.set_flow_run_state(run.id, Cancelled(message="ended while it waited"), force=True)
            raise
        run = client.read_flow_run(run.id)
    return run_flow(flow, flow_run=run, parameters=parameters, return_type="state")


def reschedule(deployment: str, at: datetime, parameters: dict[str, Any], tags: Sequence[str] = ()) -> None:
    """Another run of the deployment, at its time; the process that serves it will begin it."""
    from uuid import UUID

    from prefect.deployments import run_deployment

    run_deployment(
        UUID(deployment), parameters=parameters, scheduled_time=at, timeout=0, as_subflow=False, tags=list(tags)
    )


def after_pause(params: Params | None, now: datetime) -> datetime:
    """When a run that paused goes on; at once if no clean hour comes any more. None for params.yaml as it is now."""
    runtime = (params or schema.load(paths.ROOT / "params.yaml")).runtime
    return resumes_at(runtime, now, paths.ROOT) or now


def without_pauses(params: Params) -> Params:
    """The same for a run that goes through to its end."""
    return params.model_copy(update={"runtime": params.runtime.model_copy(update={"pause_above": None})})


def saving_tag(start: Start) -> str:
    """A tag of the flow run that waits: the grams it is expected to save, and those of starting at once."""
    return f"{SAVING}{start.saved_grams:.6g} of {start.grams_now:.6g}"


def saving(tags: Iterable[str]) -> dict[str, float]:
    """Metrics of a run that waited for its start, read from its tags; empty for one that did not wait."""
    for tag in tags:
        if tag.startswith(SAVING):
            saved, at_once = tag.removeprefix(SAVING).split(" of ")
            return {"delayed_start/grams_saved": float(saved), "delayed_start/grams_at_once": float(at_once)}
    return {}
