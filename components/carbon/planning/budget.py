"""Budgets: what remains of one, and checks that let no step begin that cannot fit; bytes never depend on joules.

A run that begins has its own limits in full, and of the project's limits what the ledger has not
used. Work outside the pipeline (a sweep, a trial, a calibration) has the project's limits alone.

A check only decides whether a run goes on; what it computes is untouched, so a run that was stopped
and is resumed under a larger budget ends with the same bytes as one that was never stopped. It is
predictive: after each step it knows what a step costs, and stops when one more would not fit
wholly.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.core.errors import Stopped
from components.core.progress import Progress

if TYPE_CHECKING:
    from components.carbon.footprint.intensity import Intensity
    from components.carbon.spans import Spans
    from components.params import Budget as BudgetParams
    from components.params import ProjectBudget, Runtime
    from greenhouse_record.metering.meter import Meter

WARN_AT = 0.8
NO_LIMIT = float("inf")


@dataclass(frozen=True)
class Amounts:
    """Hours, kWh (mid) and grams of CO2e (mid): used, needed, or remaining of a budget."""

    hours: float = 0.0
    kwh: float = 0.0
    grams: float = 0.0

    @classmethod
    def used(cls, spans: "Spans", intensity: "Intensity") -> "Amounts":
        """Amounts that these spans used, grams at the intensity of their hours."""
        return cls(spans.elapsed_s / 3600, spans.energy.mid_kwh, intensity.grams(spans.hours).mid)

    @classmethod
    def remaining(cls, limit: "BudgetParams | ProjectBudget", used: "Amounts") -> "Amounts":
        """Remainder of a budget, at least 0; infinite where it has no limit."""
        pairs = zip((limit.hours, limit.kwh, limit.grams), astuple(used), strict=True)
        return cls(*(max(0.0, most - spent) if most else NO_LIMIT for most, spent in pairs))

    def minimum(self, other: "Amounts") -> "Amounts":
        """Elementwise minimum."""
        return Amounts(*map(min, astuple(self), astuple(other)))

    def contains(self, needed: "Amounts") -> bool:
        """Whether none of these amounts is exceeded."""
        return self.minimum(needed) == needed

    def __str__(self) -> str:
        units = zip(astuple(self), ("h", "kWh", "gCO2e"), strict=True)
        return ", ".join(f"{value:.3g} {unit}" for value, unit in units if value < NO_LIMIT)


NOTHING = Amounts()


def remaining_to_begin(budget: "BudgetParams", spans: "Spans", intensity: "Intensity") -> tuple[Amounts, Amounts]:
    """Limits of a run that begins now: its own, and what remains of the project's budget."""
    used = Amounts.used(spans, intensity)
    return Amounts.remaining(budget, Amounts()), Amounts.remaining(budget.project, used)


# -- while it runs -----------------------------------------------------------------------------------------------------


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
        limits: amounts.
        spent: what was used until `check`'s clock was 0, grams at the hours' intensities.
        grams_per_kwh: now, PUE included; may be set anew between checks.
        began_kwh: what `check`'s totals were then.
        owner: `run` or `project`, for messages.
    """

    limits: Amounts
    spent: Amounts = NOTHING
    grams_per_kwh: float = 0.0
    began_kwh: float = 0.0
    owner: str = "run"

    def __post_init__(self) -> None:
        self.fraction = self._last_s = self._step_s = self._own_grams = 0.0
        self._counted_kwh, self._warned = self.began_kwh, False

    def check(self, totals: Used, elapsed_s: float) -> str:
        """Call between steps. Returns a warning once, at 80 %; else "". `fraction` is how much will be used after one.

        The next step is taken to last as long as the longest of the last few, at the power used so
        far.

        Raises `Stopped`: `BudgetReached`; the next step cannot fit.
        """
        step_s = elapsed_s - self._last_s
        self._last_s, self._step_s = elapsed_s, max(step_s, 0.8 * self._step_s)
        fractions = []
        for limit, used, rate_per_s, unit in self._limits(totals, elapsed_s):
            needed = used + rate_per_s * self._step_s
            if needed > limit:
                raise Stopped("BudgetReached", self._sentence(used, limit, unit, needed - used))
            fractions.append((needed / limit, used, limit, unit))
        if not fractions:
            return ""
        self.fraction, used, limit, unit = max(fractions)
        if self.fraction < WARN_AT or self._warned:
            return ""
        self._warned = True
        share = f"{self.fraction:.0%} after the next step"
        return f"budget of the {self.owner}: {used:.3g} of {limit:.3g} {unit} used ({share})"

    def _limits(self, totals: Used, elapsed_s: float) -> list[tuple[float, float, float, str]]:
        """(limit, used until now, growth per second, unit) of each limit that is set."""
        read_at_s = elapsed_s - totals.as_of_s
        rate_kwh = (totals.mid_kwh - self.began_kwh) / read_at_s if read_at_s > 0 else 0.0
        own_kwh = totals.mid_kwh + rate_kwh * totals.as_of_s  # of the present process and those beside it
        self._own_grams += (own_kwh - self._counted_kwh) * self.grams_per_kwh  # each at the intensity of its hour
        self._counted_kwh = own_kwh
        rows = [
            (self.limits.hours, self.spent.hours + elapsed_s / 3600, 1 / 3600, "h"),
            (self.limits.kwh, self.spent.kwh + own_kwh - self.began_kwh, rate_kwh, "kWh"),
            (self.limits.grams, self.spent.grams + self._own_grams, rate_kwh * self.grams_per_kwh, "gCO2e"),
        ]
        return [row for row in rows if row[0] > 0]

    def _sentence(self, used: float, limit: float, unit: str, step: float) -> str:
        key = "runtime.budget" if self.owner == "run" else "runtime.budget.project"
        return (
            f"{key}: {used:.3g} of {limit:.3g} {unit} are used and the next step needs {step:.2g}; "
            "all is saved, raise the budget where it was set (params.yaml, the form or KEY=VALUE) and run again to go "
            "on from here"
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

    The budget is the whole run's: stages that ran before, and those that run beside this one, are
    in it. Near a limit, and before the first reading, it has the counters read at each check, so
    that it never learns too late.
    """
    limits_of: dict[str, Any] = {"run": runtime.budget, "project": runtime.budget.project}
    wanted = {owner: limit for owner, limit in limits_of.items() if limit.hours or limit.kwh or limit.grams}
    if not wanted:
        return lambda: ""
    from components.carbon.footprint.intensity import resolve
    from components.carbon.ledger.reader import read

    whole = meter.totals(whole_run=True)
    ledger = read(ledger_folder)  # after the totals: a reading in between counts twice rather than not at all
    intensity = resolve(runtime.grid, root)
    budgets = []
    for owner, limit in wanted.items():
        spent = Amounts.used(ledger.select(run=run) if owner == "run" else ledger, intensity)
        limits = Amounts(limit.hours, limit.kwh, limit.grams)
        budgets.append(BudgetLimits(limits, spent, began_kwh=whole.mid_kwh, owner=owner))
    started = clock()

    def check() -> str:
        now = clock()
        near = any(budget.fraction >= WARN_AT for budget in budgets)
        totals = meter.totals(whole_run=True)
        if near or totals.as_of_s >= now - started:  # no reading yet since it began
            totals = meter.totals_now(whole_run=True)
        for budget in budgets:
            budget.grams_per_kwh = _now(intensity)
            if warning := budget.check(totals, now - started):
                print(warning, flush=True)
        return "".join(f"; {budget.fraction:.0%} of the {budget.owner}'s budget" for budget in budgets)

    return check


def _now(intensity: "Intensity") -> float:
    """Grams per kWh of the machine in this hour, mid."""
    return intensity.at_hour(time.strftime("%Y-%m-%dT%H", time.gmtime())).mid * intensity.pue.mid


# -- outside the pipeline ----------------------------------------------------------------------------------------------


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
        """Between steps. Raises `Stopped`: `BudgetReached`."""
        self._check()


@contextmanager
def metered(
    ledger: Path | None, runtime: "Runtime | None", labels: Mapping[str, str], root: Path = Path()
) -> "Iterator[tuple[Meter | None, Progress]]":
    """Context of a meter for work outside the pipeline, and the progress that checks the project's budget over it.

    Without `ledger` nothing is metered, without `runtime` nothing is limited.

    Raises `Stopped`: the project's budget is used up: nothing begins.
    """
    if ledger is None:
        yield None, Progress()
        return
    from greenhouse_record.metering.meter import Meter

    with Meter(ledger, runtime.meter_interval_s if runtime else 1.0, labels) as meter:
        progress = ProjectProgress(runtime, meter, ledger, root) if runtime else Progress()
        progress.raise_if_stopped()
        yield meter, progress
