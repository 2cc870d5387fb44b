"""Project budget of work outside the pipeline: a sweep, a trial, a calibration.

The project's limits apply to them; the limits of one pipeline run do not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.carbon.planning.budget import budget_check
from components.core.progress import Progress

if TYPE_CHECKING:
    from components.carbon.metering.meter import Meter
    from components.params import Runtime


class ProjectProgress(Progress):
    """Silent progress that stops when `runtime.budget.project` has not enough left for another step.

    Args:
        runtime: budget and grid.
        meter: metering this process.
        ledger: its folder.
        root: where a relative `runtime.grid.series` is.
    """

    def __init__(self, runtime: "Runtime", meter: Any, ledger: Path, root: Path = Path()) -> None:
        from components.params import Budget

        alone = runtime.model_copy(update={"budget": Budget(project=runtime.budget.project)})
        self._check = budget_check(alone, meter, ledger, "", root)

    def raise_if_stopped(self) -> None:
        """Between steps.

        Raises:
            Stopped: `BudgetReached`.
        """
        self._check()


@contextmanager
def metered(
    ledger: Path | None, runtime: "Runtime | None", labels: Mapping[str, str], root: Path = Path()
) -> "Iterator[tuple[Meter | None, Progress]]":
    """Context of a meter for work outside the pipeline, and the progress that checks the project's budget over it.

    Without `ledger` nothing is metered, without `runtime` nothing is limited.

    Raises:
        Stopped: the project's budget is used up: nothing begins.
    """
    if ledger is None:
        yield None, Progress()
        return
    from components.carbon.metering.meter import Meter

    with Meter(ledger, runtime.meter_interval_s if runtime else 1.0, labels) as meter:
        progress = ProjectProgress(runtime, meter, ledger, root) if runtime else Progress()
        progress.raise_if_stopped()
        yield meter, progress
