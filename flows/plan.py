"""What the next run will take: why each stale stage is stale, its seconds, energy and gCO2e, before anything runs.

    python -m flows.plan            the forecast, with 80 % intervals
    python -m flows.plan --fit      set the pretraining steps so that the run fits `runtime.budget`
    python -m flows.plan --best     by the scaling law: the best size and tokens, and the same loss for less carbon
    python -m flows.plan --best --flops 1e15        ... for a budget of floating-point operations too
    python -m flows.plan --best --served 1e9        ... for a model that will read and write so many tokens

The figures come from the ledger: earlier runs of the stage on this machine. Pretraining that has no two runs of the
same inputs is forecast from a calibration: some real steps on this machine, tried once (flows/planning/step_cost.py). A
stage without history is said to have none. What Prefect, DVC and MLflow take around the stages is a row of its own,
from earlier pipeline runs.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components import params as schema
from components.carbon.footprint.intensity import Intensity, resolve
from components.carbon.ledger import reader
from components.carbon.planning.forecast import (
    ORCHESTRATION_NAME,
    StageForecast,
    orchestration_forecast,
    total,
)
from components.carbon.planning.grid_schedule import Outlook, cleanest_start
from components.carbon.spans import Bounds
from components.params import Params
from flows.planning import step_cost
from flows.planning.stage_forecast import expected
from flows.system import dvc, paths
from flows.system.command import parser_of, run_command

WITHIN_HOURS = 24
"""Hours to come in which the plan looks for a cleaner start."""


@dataclass(frozen=True)
class Row:
    """A stage that the next run will do; `expected` is None if nothing is known of it."""

    stage: str
    reason: str
    expected: StageForecast | None


def plan(params: Params, books: reader.Ledger) -> list[Row]:
    """The stages that are stale or follow one that is, in order, and what runs around them.

    Calibrates if one of them pretrains.
    """
    stages = dvc.graph()
    stale = dvc.stale()
    after = dvc.downstream(stages, set(stale))
    certain = {name for name in after if not set(stages[name]) & after}  # the others' inputs are still to be made
    prints = dvc.fingerprints() if certain else {}
    rates = step_cost.measured(params) if any(name.startswith("pretrain@") for name in after) else {}
    rows = [
        Row(
            stage,
            next(iter(stale.get(stage, [])), f"follows {', '.join(sorted(set(stages[stage]) & after))}"),
            expected(books, stage, prints[stage] if stage in certain else "", params, rates),
        )
        for stage in stages
        if stage in after
    ]
    orchestration = orchestration_forecast(books, len(rows)) if rows else None
    return rows + ([Row(ORCHESTRATION_NAME, "around the stages", orchestration)] if orchestration else [])


# -- as text -----------------------------------------------------------------------------------------------------------


def render(rows: list[Row], grid: Intensity, now: datetime) -> str:
    """The plan as a table; grams are those of the hours from `now` (UTC) on, one stage after another."""
    if not rows:
        return "nothing is stale: the next run has nothing to do"
    lines = [f"{'stage':<20} {'seconds':>20} {'Wh':>26} {'gCO2e':>26}  why; forecast from"]
    outlook, start, known = Outlook(grid), now, list[StageForecast]()
    for row in rows:
        if row.expected is None:
            lines.append(f"{row.stage:<20} {'?':>20} {'?':>26} {'?':>26}  {row.reason}; no run here to go by")
            continue
        seconds, kwh = row.expected.seconds, row.expected.kwh
        known.append(row.expected)
        carbon = kwh * outlook.per_kwh(start, seconds.mid)
        lines.append(_line(row.stage, seconds, kwh, carbon, f"{row.reason}; {row.expected.basis}"))
        start += timedelta(seconds=seconds.mid)
    if known:
        seconds, kwh = sum_of(known)
        unknown = f"without {len(rows) - len(known)} with no run here to go by" * (len(known) < len(rows))
        lines.append(_line("all of these", seconds, kwh, kwh * outlook.per_kwh(now, seconds.mid), unknown))
        lines += EXPLAINED
        lines.append(f"grid: {' and '.join(outlook.sources)}; PUE {grid.pue.mid:g}, {grid.pue_source}")
    return "\n".join(lines)


EXPLAINED = (
    "80 % intervals of the mid estimate, on a machine without other work; the constants behind the watts are",
    "uncertain beyond that (docs/carbon.md). Seconds as if one stage ran after another, from now on; gCO2e at",
    "the intensity of those hours, its bounds included.",
)


def sum_of(forecasts: list[StageForecast]) -> tuple[Bounds, Bounds]:
    """Seconds and kWh of all of them, one after another."""
    return total([one.seconds for one in forecasts]), total([one.kwh for one in forecasts])


def _line(name: str, seconds: Bounds, kwh: Bounds, grams: Bounds, note: str) -> str:
    return f"{name:<20} {_cell(seconds, 1):>20} {_cell(kwh, 1000):>26} {_cell(grams, 1):>26}  {note}".rstrip()


def _cell(value: Bounds, scale: float) -> str:
    return f"{value.mid * scale:.3g} ({value.low * scale:.3g}..{value.high * scale:.3g})"


def budget_line(rows: list[Row], params: Params, now: datetime) -> str:
    """Whether what is known of the run fits what is left of the budgets, by the upper ends; "" without any budget."""
    from flows.planning.fit_budget import budget_left_now, has_limit, needed_now

    known = [row.expected for row in rows if row.expected]
    if not has_limit(params) or not known:
        return ""
    budget_left, outlook = budget_left_now(params, reader.read(paths.LEDGER))
    seconds, kwh = sum_of(known)
    needed = needed_now(outlook, now, seconds.high, kwh.high)
    fits = (
        "it fits"
        if budget_left.contains(needed)
        else "it does not fit: `python -m flows.plan --fit` sets steps that do"
    )
    return f"budget: {budget_left} left, up to {needed} needed: {fits}"


def start_line(rows: list[Row], grid: Intensity, now: datetime) -> str:
    """The cleanest start of the next day and what it saves; "" if none is known to be cleaner than now."""
    seconds = sum(row.expected.seconds.mid for row in rows if row.expected)
    outlook = Outlook(grid)
    start = cleanest_start(outlook, now, seconds, WITHIN_HOURS)
    if start == now:
        return ""
    then, present = (outlook.per_kwh(at, seconds).mid for at in (start, now))
    return (
        f"cleanest start within {WITHIN_HOURS} hours: {start:%Y-%m-%d %H:%M} UTC, {then:.3g} instead of {present:.3g} "
        "g/kWh; runtime.start_within_hours waits for it, a form's run can be scheduled for it"
    )


def main() -> None:
    """Print the plan, or fit the steps to the budget."""
    parser = parser_of("plan", __doc__)
    parser.add_argument("--fit", action="store_true", help="edit params.yaml: pretraining steps that fit the budget")
    parser.add_argument("--best", action="store_true", help="what the scaling law advises (after `make scaling`)")
    parser.add_argument("--flops", type=float, default=0.0, metavar="N", help="with --best: a budget in FLOPs")
    parser.add_argument("--served", type=float, default=0.0, metavar="TOKENS", help="with --best: count serving, too")
    arguments = parser.parse_args()
    if (arguments.flops or arguments.served) and not arguments.best:
        parser.error("--flops and --served go with --best")
    params = schema.load(paths.ROOT / "params.yaml")
    if arguments.fit:
        from flows.planning.fit_budget import fit_to_budget

        print(fit_to_budget(params))
        return
    if arguments.best:
        from flows.planning.compute_optimal import advice, read_law

        read_law(paths.ROOT / "reports/scaling/scaling.json")  # or says so before it measures
        rate = step_cost.required(params)["causal"]
        print(advice(params, rate, datetime.now(UTC), arguments.flops, arguments.served))
        return
    rows = plan(params, reader.history(paths.LEDGER))
    grid, now = resolve(params.runtime.grid, paths.ROOT), datetime.now(UTC)
    print(render(rows, grid, now))
    for sentence in (start_line(rows, grid, now), budget_line(rows, params, now)) if rows else ():
        if sentence:
            print(sentence)


if __name__ == "__main__":
    run_command("plan", main)
