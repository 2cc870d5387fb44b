"""Everything that is fitted to the finished cells of a sweep, and the best model that a budget buys by it.

The law says what loss N weights and D tokens reach (law.py), the calibration what a floating-point operation costs
here, the grid how dirty the joule is in the hours of the work. A model that is served costs on: each token it reads or
writes is a forward pass, a third of a training step's operations, which moves the optimum to a smaller network trained
on more tokens (Sardana & Frankle 2023, arXiv:2401.00448).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.params import Scaling
from components.studies.scaling import law as scaling_law
from components.studies.scaling import sweep
from components.studies.scaling.law import Law, Minimum, PowerLaw


@dataclass(frozen=True)
class Fits:
    """All that was fitted to the finished cells of a sweep."""

    params: Scaling
    results: list[dict[str, Any]]
    law: Law
    laws: list[Law]
    minima: list[Minimum]
    rival: PowerLaw
    exponent: float | None
    reason: str

    @classmethod
    def of(cls, params: Scaling, results: list[dict[str, Any]]) -> "Fits":
        """Fit the cells whose purpose is `fit`."""
        rows = [row for row in results if row["purpose"] == "fit"]
        points = [sweep.point(row) for row in rows]
        budgets = sweep.by_budget(rows)
        law = scaling_law.fit(points)
        laws = scaling_law.resampled(points, law, params.bootstrap, seed=1)
        minima = [scaling_law.minimum(row) for row in budgets.values()]
        exponent, reason = scaling_law.optimum_exponent(minima)
        return cls(params, rows, law, laws, minima, scaling_law.power_law(budgets), exponent, reason)

    @property
    def largest(self) -> float:
        """The largest fitted budget."""
        return max(self.params.budgets)

    def last_ratio(self, flops: float) -> float:
        """Loss at a budget if it fell with every doubling by the ratio of the last two budgets: a rule of thumb."""
        best = {budget: min(loss for _, loss in scaling_law.mean_by_size(points))
                for budget, points in sweep.by_budget(self.results).items()}  # fmt: skip
        (less, before), (most, last) = sorted(best.items())[-2:]
        return last * (last / before) ** (math.log(flops / most) / math.log(most / less))

    def interval(self, value: Callable[[Law], float], noise: float = 0.0) -> tuple[float, float]:
        """95% bootstrap interval of what a law says, plus normal noise of that deviation."""
        draws = np.random.default_rng(2).normal(0.0, noise, len(self.laws))
        low, high = np.quantile([value(law) for law in self.laws] + draws, [0.025, 0.975])
        return float(low), float(high)

    def loss(self, size: float, tokens: float) -> tuple[float, float, float]:
        """Expected loss with the ends of its 95% interval, seed noise left out: low, mid, high."""
        low, high = self.interval(lambda law: law.loss(size, tokens))
        return low, self.law.loss(size, tokens), high

    def prediction(self, size: float, tokens: float) -> dict[str, float]:
        """Expected loss of a run, and the 95% interval of the mean of `params.seeds` of them, seed noise included."""
        low, high = self.interval(lambda law: law.loss(size, tokens), self.seed_spread / math.sqrt(self.params.seeds))
        return {"loss": self.law.loss(size, tokens), "low": low, "high": high}

    @property
    def seed_spread(self) -> float:
        """Standard deviation of the loss of equal cells with different seeds, pooled."""
        groups: dict[tuple, list[float]] = {}
        for row in self.results:
            groups.setdefault((row["width"], row["budget"]), []).append(row["loss"])
        repeated = [losses for losses in groups.values() if len(losses) > 1]
        freedom = sum(len(losses) - 1 for losses in repeated)
        return math.sqrt(sum(np.var(losses) * len(losses) for losses in repeated) / freedom)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        names = ("floor", "size_exponent", "token_exponent", "power", "optimum_exponent")
        return {
            "law": self.law.as_dict(),
            "intervals": {name: self.interval(lambda law, key=name: getattr(law, key)) for name in names},  # type: ignore[misc]
            "minima": [asdict(one) | {"size": _number(one.size), "loss": _number(one.loss)} for one in self.minima],
            "parabola_exponent": self.exponent,
            "parabola_reason": self.reason,
            "power_law": asdict(self.rival),
            "seed_spread": self.seed_spread,
            "cells": len(self.results),
        }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
