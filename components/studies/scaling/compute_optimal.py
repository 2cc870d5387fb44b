"""The best model a budget buys, and the same loss for less: the scaling law, priced in joules and grams.

The law says what loss N weights and D tokens reach (components/studies/scaling/law.py); the calibration says what a
floating-point operation costs here; the grid says how dirty the joule is in the hours that the work would run in.

A model that is served costs on: every token it reads or writes is a forward pass, a third of a training step's
operations. Counting these moves the optimum to a smaller network trained on more tokens (Sardana & Frankle 2023,
arXiv:2401.00448).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from components.carbon.planning.grid_schedule import Outlook
from components.carbon.planning.step_cost_table import Rates
from components.carbon.spans import Bounds
from components.studies.scaling.law import BudgetPlan, Candidate, Law

FORWARD = 1 / 3
"""Share of the forward pass in a training step: forward and backward are one and two parts (Kaplan et al. 2020)."""
HALVINGS = 60


@dataclass(frozen=True)
class Price:
    """Price of floating-point operations on this machine that begin `now` (UTC)."""

    rate: Rates
    outlook: Outlook
    now: datetime

    def seconds(self, flops: float) -> float:
        """Seconds of training steps."""
        return flops / (self.rate.tokens_per_s * self.rate.flops_per_token)

    def kwh(self, flops: float) -> float:
        """Mid, without PUE: what budgets in kWh count."""
        return flops * self.rate.joules_per_flop[1] / 3.6e6

    def grams(self, flops: float) -> Bounds:
        """CO2e; bounds of the joules and of the intensity are taken together."""
        kwh = Bounds(*self.rate.joules_per_flop) * (flops / 3.6e6)
        return kwh * self.outlook.per_kwh(self.now, self.seconds(flops))

    def flops_for(self, grams: float) -> float:
        """The most operations that emit so many grams (mid)."""
        low, high = 0.0, 1.0
        while self.grams(high).mid < grams:
            low, high = high, 2 * high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.grams(middle).mid <= grams else (low, middle)
        return low


def served_flops(plan: BudgetPlan, served_tokens: float) -> float:
    """Operations of serving so many tokens, read and written."""
    return FORWARD * plan.candidate.flops_per_token * served_tokens


def cheapest(law: Law, loss: float, served_tokens: float, candidates: Sequence[Candidate]) -> BudgetPlan | None:
    """The candidate that reaches `loss` with the least compute of training and serving together.

    Args:
        loss: to reach, in the law's unit.
        served_tokens: tokens it will read and write in its life.

    Returns:
        None if the law says that no candidate reaches the loss, on whatever number of tokens.
    """
    tokens = [(candidate, law.tokens_to(candidate.size, loss)) for candidate in candidates]
    plans = [
        BudgetPlan(candidate, number * candidate.flops_per_token, number, loss)
        for candidate, number in tokens
        if number < math.inf
    ]
    return min(plans, key=lambda plan: plan.flops + served_flops(plan, served_tokens), default=None)
