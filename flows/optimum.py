"""`python -m flows.plan --best`: the best size and tokens for the budget, and today's loss for less carbon.

Needs the law that `make scaling` fitted. It was fitted with a small vocabulary of its own and one process; what it says
of other sizes is as good as its checks (reports/scaling/report.md).
"""

from dataclasses import fields
from pathlib import Path

from components.carbon.calibration import Rates
from components.carbon.intensity import resolve
from components.carbon.optimum import cheapest, frontier, plot
from components.errors import UserError
from components.files import read_json
from components.model.transformer import derive_shape
from components.params import Params
from components.train import scaling
from components.train.scaling_law import Law, Plan, best
from flows import house

REPORTS = house.ROOT / "reports" / "scaling"


def advice(params: Params, rate: Rates, reports: Path = REPORTS) -> str:
    """What the law says, as text; the plot is written beside the law.

    Args:
        rate: of the causal model: what a floating-point operation takes.

    Raises:
        UserError: no law has been fitted yet.
    """
    path = reports / "scaling.json"
    if not path.exists():
        raise UserError(f"{path} is not there; run `make scaling` first, it fits the law")
    raw = read_json(path)["law"]
    law = Law(**{field.name: raw[field.name] for field in fields(Law)})
    own, grid = params.pretrain.causal, params.runtime.grid
    shape = derive_shape(own.model, params.scaling.vocab_size, own.context, True)
    tokens = float(own.steps * own.batch * own.context)
    flops, loss = shape.flops_per_token * tokens, law.loss(scaling.size_of(shape), tokens)
    joules = rate.joules_per_flop[1]
    grams = joules / 3.6e6 * resolve(grid, house.ROOT).mean.mid * grid.pue
    candidates = scaling.candidates(params.scaling)
    plot(frontier(law, flops, candidates), (flops * grams, loss), grams, reports / "loss_per_gram.png")
    lines = [_line("params.yaml", scaling.size_of(shape), tokens, flops, joules, grams, loss)]
    lines.append(_told("best for the same compute", best(law, flops, candidates), joules, grams))
    for name, budget in budgets(params, rate, grams).items():
        lines.append(_told(f"best for {name}", best(law, budget, candidates), joules, grams))
    if found := cheapest(law, loss, candidates):
        lines.append(_told("the same loss", found, joules, grams))
        lines.append(f"the same loss at {found.flops / flops:.0%} of the carbon")
    return "\n".join([*lines, f"plot: {reports / 'loss_per_gram.png'}"])


def budgets(params: Params, rate: Rates, grams: float) -> dict[str, float]:
    """Name -> FLOPs of each limit of `runtime.budget`, all of it spent on the causal model."""
    limit, joules = params.runtime.budget, rate.joules_per_flop[1]
    found = {
        f"{limit.hours:g} h": limit.hours * 3600 * rate.tokens_per_s * rate.flops_per_token,
        f"{limit.kwh:g} kWh": limit.kwh * 3.6e6 / joules,
        f"{limit.grams:g} g": limit.grams / grams,
    }
    return {name: flops for name, flops in found.items() if flops}


def _told(name: str, plan: Plan, joules: float, grams: float) -> str:
    return _line(name, plan.candidate.size, plan.tokens, plan.flops, joules, grams, plan.loss, plan.candidate.label)


def _line(
    name: str, size: float, tokens: float, flops: float, joules: float, grams: float, loss: float, width: str = ""
) -> str:
    shape = f", width {width}" if width else ""
    return (
        f"{name:<28}{size / 1e6:.2f} M weights{shape}, {tokens / 1e6:.2f} M tokens, {flops:.2e} FLOP, "
        f"{flops * joules / 3600:.3g} Wh, {flops * grams:.3g} g: loss {loss:.3f}"
    )
