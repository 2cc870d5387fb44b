"""`greenhouse plan`: what the next run will take, before anything runs; what is stale, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components import params as schema
from components.carbon.footprint.intensity import Intensity, resolve
from components.carbon.ledger import reader
from components.carbon.planning.budget import Amounts, remaining_to_begin
from components.carbon.planning.forecast import (
    ORCHESTRATION_NAME,
    StageForecast,
    orchestration_forecast,
    total,
)
from components.carbon.planning.grid_schedule import Outlook, cleanest_start
from components.carbon.spans import Bounds
from components.core.errors import UserError
from components.params import Params
from flows.planning import step_cost
from flows.planning.stage_forecast import expected
from flows.planning.staleness import accepted, explain, tuning_line
from flows.system import dvc, paths

WITHIN_HOURS = 24
"""Hours to come in which the plan looks for a cleaner start."""


@dataclass(frozen=True)
class PlanRow:
    """A stage that the next run will do; `expected` is None if nothing is known of it."""

    stage: str
    reason: str
    expected: StageForecast | None


def stale_rows(params: Params, books: reader.Ledger) -> list[PlanRow]:
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
        PlanRow(
            stage,
            next(iter(stale.get(stage, [])), f"follows {', '.join(sorted(set(stages[stage]) & after))}"),
            expected(books, stage, prints[stage] if stage in certain else "", params, rates),
        )
        for stage in stages
        if stage in after
    ]
    orchestration = orchestration_forecast(books, len(rows)) if rows else None
    return rows + ([PlanRow(ORCHESTRATION_NAME, "around the stages", orchestration)] if orchestration else [])


# -- as text -----------------------------------------------------------------------------------------------------------


def render(rows: list[PlanRow], grid: Intensity, now: datetime) -> str:
    """The plan as a table; grams are of the hours from `now` (UTC) on, stage after stage."""
    if not rows:
        return "nothing is stale: the next run has nothing to do"
    lines = [f"{'stage':<20} {'seconds':>20} {'Wh':>26} {'gCO2e':>26}  why; forecast from"]
    outlook, start, known = Outlook(grid), now, list[StageForecast]()
    for row in rows:
        if row.expected is None:
            of = " on its base and data" if row.stage.startswith("finetune@") else ""
            unknown = f"{'?':>20} {'?':>26} {'?':>26}"
            lines.append(f"{row.stage:<20} {unknown}  {row.reason}; no run here{of} to go by")
            continue
        seconds, kwh = row.expected.seconds, row.expected.kwh
        known.append(row.expected)
        carbon = kwh * outlook.per_kwh(start, seconds.mid)
        lines.append(_line(row.stage, seconds, kwh, carbon, f"{row.reason}; {row.expected.basis}"))
        start += timedelta(seconds=seconds.mid)
    if known:
        seconds, kwh = sum_of(known)
        unknown = f"without {len(rows) - len(known)} with no run here to go by" if len(known) < len(rows) else ""
        lines.append(_line("all of these", seconds, kwh, kwh * outlook.per_kwh(now, seconds.mid), unknown))
        lines += EXPLAINED
        lines.append(f"grid: {' and '.join(outlook.sources)}; PUE {grid.pue.mid:g}, {grid.pue_source}")
    return "\n".join(lines)


EXPLAINED = (
    "80 % intervals of the mid estimate, on a machine without other work; the constants behind the watts are",
    "uncertain beyond that (docs/ledger.md). Seconds as if one stage ran after another, from now on; gCO2e at",
    "the intensity of those hours, its bounds included.",
)


def sum_of(forecasts: list[StageForecast]) -> tuple[Bounds, Bounds]:
    """Seconds and kWh of all of them, one after another."""
    return total([one.seconds for one in forecasts]), total([one.kwh for one in forecasts])


def _line(name: str, seconds: Bounds, kwh: Bounds, grams: Bounds, note: str) -> str:
    return f"{name:<20} {_cell(seconds, 1):>20} {_cell(kwh, 1000):>26} {_cell(grams, 1):>26}  {note}".rstrip()


def _cell(value: Bounds, scale: float) -> str:
    return f"{value.mid * scale:.3g} ({value.low * scale:.3g}..{value.high * scale:.3g})"


def has_limit(params: Params) -> bool:
    """Whether `runtime.budget` limits anything."""
    budget = params.runtime.budget
    return any(limit.hours or limit.kwh or limit.grams for limit in (budget, budget.project))


def budget_line(rows: list[PlanRow], params: Params, now: datetime) -> str:
    """Whether what is known of the run fits what is left of the budgets, by the upper ends; "" without any budget."""
    known = [row.expected for row in rows if row.expected]
    if not has_limit(params) or not known:
        return ""
    grid = resolve(params.runtime.grid, paths.ROOT)
    run, project = remaining_to_begin(params.runtime.budget, reader.read(paths.LEDGER), grid)
    budget_left, (seconds, kwh) = run.minimum(project), sum_of(known)
    grams = kwh.high * Outlook(grid).per_kwh(now, seconds.high).mid
    needed = Amounts(seconds.high / 3600, kwh.high, grams)
    fits = (
        "it fits"
        if budget_left.contains(needed)
        else "it does not fit: lower pretrain.*.steps, or raise runtime.budget"
    )
    return f"budget: {budget_left} left, up to {needed} needed: {fits}"


def start_line(rows: list[PlanRow], grid: Intensity, now: datetime) -> str:
    """The cleanest start of the next day and what it saves; "" if none is known."""
    seconds = sum(row.expected.seconds.mid for row in rows if row.expected)
    outlook = Outlook(grid)
    start = cleanest_start(outlook, now, seconds, WITHIN_HOURS)
    if start == now:
        return ""
    then, present = (outlook.per_kwh(begin, seconds).mid for begin in (start, now))
    return (
        f"cleanest start within {WITHIN_HOURS} hours: {start:%Y-%m-%d %H:%M} UTC, {then:.3g} instead of {present:.3g} "
        "g/kWh; runtime.start_within_hours waits for it, a form's run can be scheduled for it"
    )


def plan(
    *,
    why: bool = False,
    accept: str = "",
    reason: str = "",
) -> None:
    """What the next run will take: why each stale stage is stale, its seconds, energy and gCO2e, before anything runs.

    greenhouse plan            the forecast, with 80 % intervals
    greenhouse plan --why      for each stale stage all keys and files that made it so; nothing is forecast
    greenhouse plan --accept STAGE --reason "only a comment changed"

    The figures come from the ledger: earlier runs of the stage on this machine. Pretraining that has no two runs of the
    same inputs is forecast from a calibration: some real steps on this machine, tried once
    (flows/planning/step_cost.py). A stage without history is said to have none. What Prefect, DVC and MLflow take
    around the stages is a row of its own, from earlier pipeline runs.

    Accepting keeps a stage's output after a change declared neutral, on the record: DVC takes the present inputs as
    those the output was made from, and who, when, what and why are appended to accepted.jsonl, which belongs in git.

    Args:
        why: say what is stale, and why.
        accept: keep this stage's output.
        reason: with --accept: why the change does not matter.
    """
    if why and accept:
        raise UserError("--why and --accept go one at a time; leave one of them out")
    if reason and not accept:
        raise UserError("--reason goes with --accept STAGE")
    params = schema.load(paths.PARAMS)  # DVC would take an unknown key for one that was taken out
    if why:
        print("\n".join(explain()))
    elif accept:
        print(accepted(accept, reason))
    else:
        print_forecast(params)


def print_forecast(params: Params) -> None:
    """Print the plan, and whether it fits the budget."""
    rows = stale_rows(params, reader.history(paths.LEDGER))
    grid, now = resolve(params.runtime.grid, paths.ROOT), datetime.now(UTC)
    print(render(rows, grid, now))
    tuning = tuning_line([row.stage for row in rows], schema.read(paths.PARAMS))
    for sentence in (tuning, start_line(rows, grid, now), budget_line(rows, params, now)) if rows else ():
        if sentence:
            print(sentence)
