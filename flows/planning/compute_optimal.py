"""`greenhouse plan --best`: the best size and tokens for the budget, and today's loss for less carbon.

Needs the law that `greenhouse study scaling` fitted. It was fitted with a small vocabulary of its
own and one process; what it says of other sizes is as good as its checks
(reports/scaling/report.md).
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.budget import NO_LIMIT, remaining_to_begin
from components.carbon.planning.grid_schedule import Outlook
from components.carbon.planning.step_cost_table import Rates
from components.core.errors import UserError
from components.core.files import read_json
from components.model.shape import derive_shape
from components.params import Params, Scaling
from components.studies.scaling import sweep
from components.studies.scaling.fits import Fits, Price, cheapest, served_flops
from components.studies.scaling.law import BudgetPlan, Candidate, best
from flows.system import paths

REPORTS = paths.ROOT / "reports" / "scaling"


def advice(
    params: Params, rate: Rates, now: datetime, flops: float = 0.0, served: float = 0.0, reports: Path = REPORTS
) -> str:
    """Advice of the law, as text.

    Args:
        rate: of the causal model: what a floating-point operation takes.
        now: when the work would begin (UTC).
        flops: a budget of floating-point operations beside those of params.yaml; 0 for none.
        served: tokens that the model will read and write in its life; 0 leaves serving out.

    Raises `UserError`: no law has been fitted yet, or a number is negative.
    """
    if min(flops, served) < 0:
        raise UserError("--flops and --served are numbers of operations and of tokens; they cannot be negative")
    fits = read_law(reports / "scaling.json")
    price = Price(rate, Outlook(resolve(params.runtime.grid, paths.ROOT)), now)
    table = _Table(fits, price, served)
    configured, candidates = present(params, fits), sweep.candidates(fits.params)
    lines = [
        table.line("params.yaml", configured),
        table.line("best for the same compute", best(fits.law, configured.flops, candidates)),
    ]
    for name, budget in budgets(params, price, reader.read(paths.LEDGER), flops).items():
        plan = best(fits.law, budget, candidates) if budget > 0 else None
        lines.append(table.line(f"best for {name}", plan) if plan else f"{name}: nothing is left")
    if same := cheapest(fits.law, configured.loss, served, candidates):
        share = (same.flops + served_flops(same, served)) / (configured.flops + served_flops(configured, served))
        serving = f" of training and serving {served:.3g} tokens" if served else ""
        lines += [table.line("the same loss", same), f"the same loss at {share:.0%} of the carbon{serving}"]
    lines.append("losses in bits per byte with 95 % intervals (bootstrap of the runs behind the law)")
    lines.append(f"grid: {' and '.join(price.outlook.sources)}")
    return "\n".join(lines)


def read_law(path: Path) -> Fits:
    """The law of a finished sweep, fitted to its runs again. Raises `UserError`: there is none."""
    if not path.exists():
        raise UserError(f"{path} is not there; run `greenhouse study scaling` first, it fits the law")
    summary = read_json(path)
    return Fits.of(Scaling.model_validate(summary["settings"]), summary["cells"])


def present(params: Params, fits: Fits) -> BudgetPlan:
    """Model and tokens of params.yaml, with the vocabulary that the law knows."""
    section = params.pretrain.causal
    shape = derive_shape(section.model, fits.params.vocab_size, section.context, True)
    tokens, size = float(section.steps * section.batch * section.context), sweep.size_of(shape)
    candidate = Candidate("", size, shape.flops_per_token)
    return BudgetPlan(candidate, tokens * shape.flops_per_token, tokens, fits.law.loss(size, tokens))


def budgets(params: Params, price: Price, books: reader.Ledger, flops: float = 0.0) -> dict[str, float]:
    """Name -> FLOPs of each limit of `runtime.budget` and of what is left of the project's, all of
    it spent on the causal model; and `flops` itself."""
    run, project = remaining_to_begin(params.runtime.budget, books, price.outlook.intensity)
    by_limit = {f"{flops:.3g} FLOP": flops} if flops else {}
    for scope, part in (("", run), (" left of the project's budget", project)):
        if part.hours < NO_LIMIT:
            by_limit[f"{part.hours:.3g} h{scope}"] = part.hours * 3600 / price.seconds(1.0)
        if part.kwh < NO_LIMIT:
            by_limit[f"{part.kwh:.3g} kWh{scope}"] = part.kwh / price.kwh(1.0)
        if part.grams < NO_LIMIT:
            by_limit[f"{part.grams:.3g} g{scope}"] = price.flops_for(part.grams)
    return by_limit


@dataclass(frozen=True)
class _Table:
    """How plans are told: what each takes to train, and to serve if it will be."""

    fits: Fits
    price: Price
    served: float

    def line(self, name: str, plan: BudgetPlan) -> str:
        low, mid, high = self.fits.loss(plan.candidate.size, plan.tokens)
        width = f", width {plan.candidate.label}" if plan.candidate.label else ""
        served = f", serving {self._cost(served_flops(plan, self.served))}" if self.served else ""
        return (
            f"{name:<28}{plan.candidate.size / 1e6:.2f} M weights{width}, {plan.tokens / 1e6:.2f} M tokens, "
            f"{plan.flops:.2e} FLOP, {self._cost(plan.flops)}{served}: loss {mid:.3f} ({low:.3f}..{high:.3f})"
        )

    def _cost(self, flops: float) -> str:
        grams = self.price.grams(flops)
        return f"{1000 * self.price.kwh(flops):.3g} Wh, {grams.mid:.3g} g ({grams.low:.3g}..{grams.high:.3g})"
