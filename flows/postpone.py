"""A run that may wait: `python -m flows.pipeline --before 2026-11-26T08:00`, or `before` in the form.

It begins in the hours in which the grid is cleanest, and ends before the deadline. Until then it is a scheduled run in
Prefect: from a terminal this process waits for it, from the UI the process of `make up` does.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from components.carbon import ledger
from components.carbon.forecast import StageForecast, total
from components.carbon.intensity import resolve
from components.carbon.timing import Start, best_start
from components.errors import UserError
from components.params import Grid, Params
from flows import dag, house, rates
from flows.promise import expected

WORTH_WAITING = timedelta(minutes=1)


def chosen(params: Params, before: str) -> Start:
    """When the next run should begin.

    Raises:
        UserError: `before` is no time, or past; or nothing is known of how long the run takes.
    """
    stages, books, found = dag.graph(), ledger.history(house.LEDGER), rates.known(params)
    stale = dag.downstream(stages, set(dag.stale()))
    known = [one for stage in stages if stage in stale and (one := expected(books, stage, "", params, found))]
    if stale and not known:
        raise UserError("before: nothing has run here yet, so how long a run takes is unknown; run it once without")
    return start_of(known, params.runtime.grid, before, datetime.now(UTC))


def start_of(known: list[StageForecast], grid: Grid, before: str, now: datetime) -> Start:
    """When work that is expected to take so much should begin."""
    seconds, kwh = total([one.seconds for one in known]), total([one.kwh for one in known])
    intensity = resolve(grid, house.ROOT)
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
) -> Any:
    """A scheduled run of a flow that this process carries out at its time; its final state."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.states import Cancelled, Scheduled

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow, parameters=parameters, state=Scheduled(scheduled_time=at), tags=[house.process_tag()]
        )
        try:
            while (left_s := (at - clock()).total_seconds()) > 0:
                sleep(min(left_s, 30.0))
        except BaseException:
            client.set_flow_run_state(run.id, Cancelled(message="ended while it waited"), force=True)
            raise
        run = client.read_flow_run(run.id)
    return run_flow(flow, flow_run=run, parameters=parameters, return_type="state")


def reschedule(deployment: str, at: datetime, parameters: dict[str, Any]) -> None:
    """Another run of the deployment, at its time; the process that serves it will begin it."""
    from uuid import UUID

    from prefect.deployments import run_deployment

    run_deployment(UUID(deployment), parameters=parameters, scheduled_time=at, timeout=0, as_subflow=False)
