"""The sweep behind a scaling law: which small runs to make, and which larger ones check it.

A cell is one pretraining run at a size and a compute budget, with its own whole schedule. Sizes differ in width alone.
All have the same learning rates, which serve every width within about 1% of the loss (optimizer.py): beside size and
data, that much of a difference between cells may be the rate's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.core.errors import UserError
from components.model.shape import Shape, derive_shape
from components.params import ModelShape, Pretrain, Scaling
from components.studies.scaling.law import BudgetPlan, Candidate, Law, Point, best

HEAD_CHANNELS = 16
"""Channels of a head. Small, so that the number of heads grows with the width from the first: with 32, a width of 48
had one head and 64 two, and the law missed the step between them by 4% (docs/results.md)."""
CHECKPOINTS = 4
"""Checkpoints per cell: what a kill may cost is a quarter of a cell."""
WIDEST = 2048
"""Widest network considered when a budget's best size is looked for."""


@dataclass(frozen=True)
class Cell:
    """One run of the sweep. `purpose` is `fit`, or `check` of a larger run that tests the law."""

    name: str
    width: int
    budget: float
    seed: int
    purpose: str
    pretrain: Pretrain
    size: int
    flops_per_token: int
    objective: Literal["causal", "masked"] = "causal"

    @property
    def tokens(self) -> int:
        """Tokens trained on: whole steps, so the compute is the budget up to half a step."""
        return self.pretrain.steps * self.pretrain.batch * self.pretrain.context

    @property
    def flops(self) -> float:
        return float(self.tokens * self.flops_per_token)

    @property
    def facts(self) -> dict[str, Any]:
        """As plain JSON."""
        names = ("name", "purpose", "width", "budget", "seed", "size", "tokens", "flops")
        return {name: getattr(self, name) for name in names} | {"steps": self.pretrain.steps}


def network(params: Scaling, width: int) -> ModelShape:
    """The network of a width."""
    return ModelShape(size=params.depth, width=width, heads=max(1, width // HEAD_CHANNELS))


def shape_of(params: Scaling, width: int) -> Shape:
    """Its numbers."""
    return derive_shape(network(params, width), params.vocab_size, params.context, params.objective == "causal")


def size_of(shape: Shape) -> int:
    """N: weights in matrix products, the head's too (Pearce & Song 2024, arXiv:2406.12907)."""
    return shape.num_block_parameters + shape.vocab_size * shape.width


def cell(params: Scaling, width: int, budget: float, seed: int, purpose: str = "fit") -> Cell:
    """The run of a width and a budget of floating-point operations."""
    shape = shape_of(params, width)
    steps = max(1, round(budget / shape.flops_per_token / (params.batch * params.context)))
    pretrain = Pretrain(
        model=network(params, width),
        steps=steps,
        batch=params.batch,
        context=params.context,
        optimizer=params.optimizer,
        seed=seed,
        eval_every=steps,
        checkpoint_every=math.ceil(steps / CHECKPOINTS),
    )
    name = f"{purpose}-{budget:.3g}-width{width}-seed{seed}".replace("+", "")
    return Cell(name, width, budget, seed, purpose, pretrain, size_of(shape), shape.flops_per_token, params.objective)


def plan(params: Scaling) -> list[Cell]:
    """The runs a law is fitted to, the longest first.

    Every width at every budget once, if it takes neither too few nor too many steps, and the middle width of all
    budgets but the largest again with other seeds: errors of the law are compared with the spread of equal runs.

    Raises `UserError`: a budget is left with fewer than three widths.
    """
    budgets, cells = sorted(params.budgets), []
    for budget in budgets:
        row = [cell(params, width, budget, 1) for width in sorted(params.widths)]
        row = [one for one in row if params.steps[0] <= one.pretrain.steps <= params.steps[1]]
        if len(row) < 3:
            raise UserError(
                f"budgets {budget:.3g}: {len(row)} of the widths take {params.steps[0]} to {params.steps[1]} "
                "steps for it, and a parabola needs three; add widths, change the budget, or widen steps"
            )
        seeds = range(2, params.seeds + 1 if budget < budgets[-1] else 2)
        cells += row + [cell(params, row[len(row) // 2].width, budget, seed) for seed in seeds]
    return sorted(cells, key=lambda one: (-one.pretrain.steps, one.name))


def larger(params: Scaling, law: Law) -> list[BudgetPlan]:
    """Multiples of the largest fitted budget at the law's best sizes; the largest first."""
    flops = [multiple * max(params.budgets) for multiple in sorted(params.checks, reverse=True)]
    return [best(law, budget, candidates(params)) for budget in flops]


def check_cells(params: Scaling, width: int, budget: float) -> list[Cell]:
    """Runs that check a prediction: the same network and budget with each seed."""
    return [cell(params, width, budget, seed, "check") for seed in range(1, params.seeds + 1)]


def candidates(params: Scaling) -> list[Candidate]:
    """Networks a budget may be spent on: the sweep's depth, widths in steps of a head."""
    shapes = {width: shape_of(params, width) for width in range(HEAD_CHANNELS, WIDEST + 1, HEAD_CHANNELS)}
    return [Candidate(str(width), size_of(shape), shape.flops_per_token) for width, shape in shapes.items()]


# -- finished cells ----------------------------------------------------------------------------------------------------


def point(result: dict[str, Any]) -> Point:
    """A finished cell as a point of the fits."""
    return Point(result["size"], result["tokens"], result["flops"], result["loss"])


def by_budget(results: Sequence[dict[str, Any]]) -> dict[float, list[Point]]:
    """Points of each budget, smallest first."""
    budgets = sorted({result["budget"] for result in results})
    return {budget: [point(row) for row in results if row["budget"] == budget] for budget in budgets}
