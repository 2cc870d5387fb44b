"""Start of a run in the cleanest hours to come: `runtime.start_within_hours`.

A run that has begun is not interrupted. A run of a form is not delayed: Prefect schedules it for the time that
`greenhouse plan` names.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.grid_schedule import Outlook, cleanest_start
from components.params import Params
from flows.planning import step_cost
from flows.planning.stage_forecast import expected
from flows.system import dvc, paths

UNKNOWN_S = 3600.0
"""Seconds taken for work of which nothing is known."""


def wait_for_start(
    params: Params,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sleep until the start, within `runtime.start_within_hours`, from which the run meets the cleanest grid."""
    outlook, now = Outlook(resolve(params.runtime.grid, paths.ROOT)), clock()
    at = cleanest_start(outlook, now, _expected_s(params), params.runtime.start_within_hours)
    if at > now:
        print(
            f"pipeline: waits until {at:%Y-%m-%d %H:%M} UTC, the cleanest start within "
            f"{params.runtime.start_within_hours:g} hours (runtime.start_within_hours)",
            flush=True,
        )
    while (remaining_s := (at - clock()).total_seconds()) > 0:
        sleep(min(remaining_s, 30.0))


def _expected_s(params: Params) -> float:
    """Seconds that the stale stages will take, as far as anything is known of them."""
    ledger, rates = reader.history(paths.LEDGER), step_cost.known(params)
    stages = dvc.downstream(dvc.graph(), set(dvc.stale()))
    forecasts = [expected(ledger, stage, "", params, rates) for stage in stages]
    return sum(one.seconds.mid for one in forecasts if one) or UNKNOWN_S
