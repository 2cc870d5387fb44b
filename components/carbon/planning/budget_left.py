"""Remaining budgets of work that has not begun, for `make plan`.

A run that begins has its own limits in full, and of the project's limits what the ledger has not used. While it runs,
budget.py checks the same limits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.carbon.footprint.intensity import Intensity
    from components.carbon.spans import Spans
    from components.params import Budget, ProjectBudget

NO_LIMIT = float("inf")


@dataclass(frozen=True)
class Amounts:
    """Hours, kWh (mid) and grams of CO2e (mid)."""

    hours: float
    kwh: float
    grams: float

    def minimum(self, other: "Amounts") -> "Amounts":
        """Elementwise minimum of two limits."""
        return Amounts(min(self.hours, other.hours), min(self.kwh, other.kwh), min(self.grams, other.grams))


def used(spans: "Spans", intensity: "Intensity", pue: float) -> Amounts:
    """Amounts that these spans used, grams at the intensity of their hours."""
    return Amounts(spans.elapsed_s / 3600, spans.energy.mid_kwh, intensity.grams(spans.hours, pue).mid)


def remaining(limit: "Budget | ProjectBudget", spent: Amounts) -> Amounts:
    """Remaining amounts of a budget, at least 0; infinite where it has no limit."""

    def rest(limit: float, spent: float) -> float:
        return max(0.0, limit - spent) if limit else NO_LIMIT

    return Amounts(rest(limit.hours, spent.hours), rest(limit.kwh, spent.kwh), rest(limit.grams, spent.grams))


def remaining_to_begin(budget: "Budget", spans: "Spans", intensity: "Intensity", pue: float) -> tuple[Amounts, Amounts]:
    """Limits of a run that begins now: its own, and what remains of the project's budget."""
    return remaining(budget, Amounts(0.0, 0.0, 0.0)), remaining(budget.project, used(spans, intensity, pue))
