"""Everything that is fitted to the finished cells of a sweep."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.params import Scaling
from components.studies.scaling import law as scaling_law
from components.studies.scaling import sweep
from components.studies.scaling.law import Law, Minimum, StraightLine


@dataclass(frozen=True)
class Fits:
    """All that was fitted to the finished cells of a sweep."""

    params: Scaling
    results: list[dict[str, Any]]
    law: Law
    laws: list[Law]
    minima: list[Minimum]
    line: StraightLine
    exponent: float | None
    reason: str

    @classmethod
    def of(cls, params: Scaling, results: list[dict[str, Any]]) -> "Fits":
        """Fit the cells whose purpose is `fit`."""
        rows = [one for one in results if one["purpose"] == "fit"]
        points = [sweep.point(one) for one in rows]
        budgets = sweep.by_budget(rows)
        law = scaling_law.fit(points)
        laws = scaling_law.resampled(points, law, params.bootstrap, seed=1)
        minima = [scaling_law.minimum(row) for row in budgets.values()]
        exponent, reason = scaling_law.optimum_exponent(minima)
        return cls(params, rows, law, laws, minima, scaling_law.straight_line(budgets), exponent, reason)  # type: ignore[arg-type]

    @property
    def largest(self) -> float:
        """The largest fitted budget."""
        return max(self.params.budgets)

    def interval(self, value: Callable[[Law], float]) -> tuple[float, float]:
        """95% bootstrap interval of something a law says."""
        return scaling_law.interval([value(law) for law in self.laws])

    @property
    def seed_spread(self) -> float:
        """Standard deviation of the loss of equal cells with different seeds, pooled; NaN if none was repeated."""
        groups: dict[tuple, list[float]] = {}
        for one in self.results:
            groups.setdefault((one["width"], one["budget"]), []).append(one["loss"])
        repeated = [losses for losses in groups.values() if len(losses) > 1]
        freedom = sum(len(losses) - 1 for losses in repeated)
        return math.sqrt(sum(np.var(losses) * len(losses) for losses in repeated) / freedom) if freedom else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        names = ("floor", "size_exponent", "token_exponent", "optimum_exponent")
        return {
            "law": self.law.as_dict(),
            "intervals": {name: self.interval(lambda law, key=name: getattr(law, key)) for name in names},  # type: ignore[misc]
            "minima": [asdict(one) | {"size": _number(one.size), "loss": _number(one.loss)} for one in self.minima],
            "parabola_exponent": self.exponent,
            "parabola_reason": self.reason,
            "straight_line": asdict(self.line),
            "seed_spread": _number(self.seed_spread),
            "cells": len(self.results),
        }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
