"""The project's budget over what is no pipeline run: a sweep, a trial, a calibration.

Their energy is the project's as any other, so its limits bind them; the limits of one pipeline run do not.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.carbon.planning.budget import budget_check
from components.core.progress import Progress

if TYPE_CHECKING:
    from components.params import Runtime


class ProjectProgress(Progress):
    """Silent; `check` stops when `runtime.budget.project` does not hold another step.

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
