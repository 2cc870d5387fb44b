"""What the budgets leave for work that has not begun: `make plan`'s options count with it.

A run that begins has its own limits whole, and of the project's what the ledger does not have yet. While it runs,
budget.py guards the same limits.
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

    def least(self, other: "Amounts") -> "Amounts":
        """The tighter of two limits, each by itself."""
        return Amounts(min(self.hours, other.hours), min(self.kwh, other.kwh), min(self.grams, other.grams))


def used(books: "Spans", intensity: "Intensity", pue: float) -> Amounts:
    """What these spans took, grams at the intensity of their hours."""
    return Amounts(books.elapsed_s / 3600, books.energy.mid_kwh, intensity.grams(books.hours, pue).mid)


def left(limit: "Budget | ProjectBudget", spent: Amounts) -> Amounts:
    """What a budget still holds, never less than nothing; infinite where it has no limit."""

    def rest(limit: float, spent: float) -> float:
        return max(0.0, limit - spent) if limit else NO_LIMIT

    return Amounts(rest(limit.hours, spent.hours), rest(limit.kwh, spent.kwh), rest(limit.grams, spent.grams))


def left_to_begin(budget: "Budget", books: "Spans", intensity: "Intensity", pue: float) -> tuple[Amounts, Amounts]:
    """For a run that begins now: its own limits, and what the project's budget still holds."""
    return left(budget, Amounts(0.0, 0.0, 0.0)), left(budget.project, used(books, intensity, pue))
