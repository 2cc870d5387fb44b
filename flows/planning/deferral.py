"""Waiting for a clean hour: the rest of a paused run is a scheduled run in Prefect.

From a terminal this process waits for it, from a form the process of `make up` does.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from components import params as schema
from components.carbon.planning.grid_schedule import resumes_at
from components.params import Params
from flows.system import paths, processes


def run_at(
    flow: Any,
    at: datetime,
    parameters: dict[str, Any],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Final state of a scheduled run of a flow that this process carries out at its time."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.states import Cancelled, Scheduled

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow, parameters=parameters, state=Scheduled(scheduled_time=at), tags=[processes.process_tag()]
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
    """Schedule another run of the deployment; the process that serves it begins it."""
    from uuid import UUID

    from prefect.deployments import run_deployment

    run_deployment(UUID(deployment), parameters=parameters, scheduled_time=at, timeout=0, as_subflow=False)


def after_pause(params: Params | None, now: datetime) -> datetime:
    """Time at which a paused run goes on: now if no clean hour comes. None stands for params.yaml as it is."""
    runtime = (params or schema.load(paths.ROOT / "params.yaml")).runtime
    return resumes_at(runtime, now, paths.ROOT) or now
