"""Budget checks: no step begins that cannot fit, and bytes never depend on joules.

A check only decides whether a run goes on; what it computes is untouched, so a run that was stopped and is resumed
under a larger budget ends with the same bytes as one that was never stopped. It is predictive: after each step it knows
what a step costs, and stops when one more would not fit wholly.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.core.errors import Stopped

if TYPE_CHECKING:
    from components.carbon.footprint.intensity import Intensity
    from components.params import Runtime

WARN_AT = 0.8


class Used(Protocol):
    """Energy used so far (`meter.Totals`); `as_of_s` is the age of the reading behind it."""

    @property
    def mid_kwh(self) -> float: ...
    @property
    def as_of_s(self) -> float: ...


@dataclass
class BudgetLimits:
    """Limits of a run or of the project; 0 for none.

    Args:
        hours: wall-clock hours.
        kwh: energy, mid estimate.
        grams: CO2e, mid estimate.
        grams_per_kwh: now, PUE included; may be set anew between checks.
        spent_hours, spent_kwh, spent_grams: what was used until `check`'s clock was 0, grams at the hours' intensities.
        began_kwh: what `check`'s totals were then.
        whose: `run` or `project`, for messages.
    """

    hours: float = 0.0
    kwh: float = 0.0
    grams: float = 0.0
    grams_per_kwh: float = 0.0
    spent_hours: float = 0.0
    spent_kwh: float = 0.0
    spent_grams: float = 0.0
    began_kwh: float = 0.0
    whose: str = "run"
    fraction: float = field(default=0.0, init=False)
    _last_s: float = field(default=0.0, init=False)
    _step_s: float = field(default=0.0, init=False)
    _counted_kwh: float = field(default=0.0, init=False)
    _warned: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._counted_kwh = self.began_kwh

    def check(self, totals: Used, elapsed_s: float) -> str:
        """Call between steps. Returns a warning once, at 80 %; else "". `fraction` is how much will be used after one.

        The next step is taken to last as long as the longest of the last few, at the power used so far.

        Raises:
            Stopped: `BudgetReached`; the next step cannot fit.
        """
        step_s = elapsed_s - self._last_s
        self._last_s, self._step_s = elapsed_s, max(step_s, 0.8 * self._step_s)
        fractions = []
        for limit, used, rate_per_s, unit in self._limits(totals, elapsed_s):
            needed = used + rate_per_s * self._step_s
            if needed > limit:
                raise Stopped("BudgetReached", self._sentence(used, limit, unit, needed - used))
            fractions.append((needed / limit, used, limit, unit))
        worst = max(fractions, default=(0.0, 0.0, 0.0, ""))
        self.fraction = worst[0]
        if self.fraction < WARN_AT or self._warned:
            return ""
        self._warned = True
        share, used, limit, unit = worst
        return f"budget of the {self.whose}: {used:.3g} of {limit:.3g} {unit} used ({share:.0%} after the next step)"

    def _limits(self, totals: Used, elapsed_s: float) -> list[tuple[float, float, float, str]]:
        """(limit, used until now, growth per second, unit) of each limit that is set."""
        read_at_s = elapsed_s - totals.as_of_s
        rate_kwh = (totals.mid_kwh - self.began_kwh) / read_at_s if read_at_s > 0 else 0.0
        own_kwh = totals.mid_kwh + rate_kwh * totals.as_of_s  # of the present process and those beside it
        self.spent_grams += (own_kwh - self._counted_kwh) * self.grams_per_kwh  # each at the intensity of its hour
        self._counted_kwh = own_kwh
        rows = [
            (self.hours, self.spent_hours + elapsed_s / 3600, 1 / 3600, "h"),
            (self.kwh, self.spent_kwh + own_kwh - self.began_kwh, rate_kwh, "kWh"),
            (self.grams, self.spent_grams, rate_kwh * self.grams_per_kwh, "gCO2e"),
        ]
        return [row for row in rows if row[0] > 0]

    def _sentence(self, used: float, limit: float, unit: str, step: float) -> str:
        key = "runtime.budget" if self.whose == "run" else "runtime.budget.project"
        return (
            f"{key}: {used:.3g} of {limit:.3g} {unit} are used and the next step needs {step:.2g}; "
            f"all is saved, raise the budget in params.yaml and run again to go on from here"
        )


def budget_check(
    runtime: "Runtime",
    meter: Any,
    ledger_folder: Path,
    run: str,
    root: Path = Path(),
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], str]:
    """Budget check for `Progress.raise_if_stopped`: raises `Stopped` if none is left for a step, else says what is.

    The budget is the whole run's: stages that ran before, and those that run beside this one, are in it. Near a limit,
    and before the first reading, it has the counters read at each check, so that it never learns too late.
    """
    limits: dict[str, Any] = {"run": runtime.budget, "project": runtime.budget.project}
    wanted = {whose: limit for whose, limit in limits.items() if limit.hours or limit.kwh or limit.grams}
    if not wanted:
        return lambda: ""
    from components.carbon.footprint.intensity import resolve
    from components.carbon.ledger.reader import read
    from components.carbon.planning.budget_left import used

    whole = meter.totals(whole_run=True)
    ledger = read(ledger_folder)  # after the totals: a reading in between counts twice rather than not at all
    intensity, pue = resolve(runtime.grid, root), runtime.grid.pue
    budgets = []
    for whose, limit in wanted.items():
        spent = used(ledger.select(run=run) if whose == "run" else ledger, intensity, pue)
        budgets.append(
            BudgetLimits(
                limit.hours, limit.kwh, limit.grams, spent_hours=spent.hours, spent_kwh=spent.kwh,
                spent_grams=spent.grams, began_kwh=whole.mid_kwh, whose=whose,
            )
        )  # fmt: skip
    started = clock()

    def check() -> str:
        now = clock()
        near = any(budget.fraction >= WARN_AT for budget in budgets)
        totals = meter.totals(whole_run=True)
        if near or totals.as_of_s >= now - started:  # no reading yet since it began
            totals = meter.totals_now(whole_run=True)
        for budget in budgets:
            budget.grams_per_kwh = _now(intensity) * pue
            if warning := budget.check(totals, now - started):
                print(warning, flush=True)
        return "".join(f"; {budget.fraction:.0%} of the {budget.whose}'s budget" for budget in budgets)

    return check


def _now(intensity: "Intensity") -> float:
    """Grams per kWh in this hour, mid."""
    return intensity.at(time.strftime("%Y-%m-%dT%H", time.gmtime())).mid
