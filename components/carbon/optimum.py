"""The best model a budget buys, and the same loss for less: the scaling law, priced in joules and grams.

The law says what loss N weights and D tokens reach (components/train/scaling_law.py); the calibration says what a
floating-point operation costs here; the grid says how dirty the joule is.
"""

from collections.abc import Sequence
from pathlib import Path

from components.files import written_whole
from components.train.scaling_law import Candidate, Law, Plan, best

HALVINGS = 80
SPAN, POINTS = 30.0, 25


def cheapest(law: Law, loss: float, candidates: Sequence[Candidate]) -> Plan | None:
    """The least compute with which some candidate is expected to reach `loss`; None if the law says that none can."""
    low, high = 1e3, 1e30
    if best(law, high, candidates).loss > loss:
        return None
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if best(law, middle, candidates).loss <= loss else (middle, high)
    return best(law, high, candidates)


def frontier(law: Law, flops: float, candidates: Sequence[Candidate]) -> list[Plan]:
    """The best of `POINTS` budgets from `flops` / `SPAN` to `flops` x `SPAN`."""
    budgets = [flops * SPAN ** (2 * number / (POINTS - 1) - 1) for number in range(POINTS)]
    return [best(law, budget, candidates) for budget in budgets]


def plot(plans: Sequence[Plan], here: tuple[float, float], grams_per_flop: float, path: Path) -> None:
    """Expected loss against grams: the frontier, and where params.yaml stands (`here`: grams, loss)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    grams = [plan.flops * grams_per_flop for plan in plans]
    axes.plot(grams, [plan.loss for plan in plans], label="best size and tokens")
    axes.plot(*here, "o", color="black", label="params.yaml")
    axes.set(xscale="log", xlabel="gCO2e of pretraining (mid)", ylabel="expected held-out loss (nats per token)")
    axes.set_title("Loss and grams, by the scaling law")
    axes.legend(fontsize=8)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
