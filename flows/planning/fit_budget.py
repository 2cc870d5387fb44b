"""`greenhouse plan --fit`: a budget becomes a number of pretraining steps, before the run.

Bytes never depend on joules: what a budget may decide is how many tokens are trained on, and that
is decided here, in params.yaml, so that the learning-rate schedule ends annealed. During the run
the budget is only a guard.

The upper ends of the forecasts' 80 % intervals must fit, and with them what Prefect, DVC and MLflow
take around the stages; grams at the mid intensity of the hours from now on, as the guard will count
them. Both branches keep the proportion of their steps.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from components import params as schema
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.budget import Amounts, remaining_to_begin
from components.carbon.planning.forecast import (
    ORCHESTRATION_NAME,
    StageForecast,
    calibrated,
    orchestration_forecast,
    total,
)
from components.carbon.planning.grid_schedule import Outlook
from components.carbon.planning.step_cost_table import Rates
from components.core.errors import UserError
from components.params import Params
from flows.planning import step_cost
from flows.planning.stage_forecast import expected
from flows.planning.step_cost import in_proportion
from flows.system import dvc, params_file, paths

MOST = 1000.0
"""Times the present steps at most."""


def fit_to_budget(params: Params) -> str:
    """Edit params.yaml; returns what there is to say.

    Raises `UserError`: there is no budget, or it does not hold one step.
    """
    books = reader.history(paths.LEDGER)
    budget_left, outlook = budget_left_now(params, reader.read(paths.LEDGER))
    rates = step_cost.required(params)
    stages = dvc.graph()
    pretraining = [stage for stage in stages if stage.startswith("pretrain@")]
    after = dvc.downstream(stages, {*pretraining, *dvc.stale()}) - set(pretraining)
    others = {stage: expected(books, stage, "", params, {}) for stage in stages if stage in after}
    others |= {ORCHESTRATION_NAME: orchestration_forecast(books, len(others) + len(pretraining))}
    known = [forecast for forecast in others.values() if forecast]
    now = datetime.now(UTC)

    def needs(share: float) -> Amounts:
        return needed_now(outlook, now, *needed(params, rates, known, steps_at(params, share), books))

    steps = fitted(params, budget_left, needs)
    unknown = [stage for stage, forecast in others.items() if forecast is None]
    changes, lines = dict[str, int](), list[str]()
    for branch, count in steps.items():
        section = getattr(params.pretrain, branch)
        changes |= {f"pretrain.{branch}.{key}": value for key, value in in_proportion(section, count).items()}
        lines.append(f"pretrain.{branch}: {count:,} steps, {count * section.batch * section.context:,} tokens")
    path = paths.PARAMS
    text = path.read_text()
    files = schema.read(path, text)
    new = params_file.rewritten(files, text, params_file.changed(files.params(), changes, "params.yaml"))
    back = params_file.replace(path, new)
    lines += [f"not counted, with no run here to go by: {', '.join(unknown)}"] if unknown else []
    return "\n".join([*lines, "", *params_file.difference(text, new), back])


def has_limit(params: Params) -> bool:
    """Whether `runtime.budget` limits anything."""
    budget = params.runtime.budget
    return any(limit.hours or limit.kwh or limit.grams for limit in (budget, budget.project))


def budget_left_now(params: Params, books: reader.Ledger) -> tuple[Amounts, Outlook]:
    """The tightest of all limits for work that begins now, and the grid that prices it.

    Raises `UserError`: there is no limit.
    """
    if not has_limit(params):
        raise UserError("runtime.budget has no limit; set hours, kwh or grams in params.yaml")
    intensity = resolve(params.runtime.grid, paths.ROOT)
    run, project = remaining_to_begin(params.runtime.budget, books, intensity)
    return run.minimum(project), Outlook(intensity)


def needed_now(outlook: Outlook, now: datetime, seconds: float, kwh: float) -> Amounts:
    """Amounts of work that begins now, grams at the mid intensity of its hours."""
    return Amounts(seconds / 3600, kwh, kwh * outlook.per_kwh(now, seconds).mid)


def fitted(params: Params, budget_left: Amounts, needs: Callable[[float], Amounts]) -> dict[str, int]:
    """Branch -> the most steps with which everything fits, both in the proportion they have now.

    Args:
        needs: amounts of the whole run with that share of its present steps.

    Raises `UserError`: not even one step of each does.
    """
    low, high = 0.0, MOST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if budget_left.contains(needs(middle)) else (low, middle)
    if not budget_left.contains(needs(low)):
        raise UserError(
            f"runtime.budget: one step of each model and all other stages need up to {needs(0.0)}, and {budget_left} "
            "are left; raise the budget"
        )
    return steps_at(params, low)


def steps_at(params: Params, share: float) -> dict[str, int]:
    """Branch -> that share of its present steps, at least one."""
    return {branch: max(1, int(getattr(params.pretrain, branch).steps * share)) for branch in step_cost.BRANCHES}


def needed(
    params: Params, rates: dict[str, Rates], others: list[StageForecast], steps: dict[str, int], books: reader.Ledger
) -> tuple[float, float]:
    """Seconds and kWh of all stages, upper ends of the intervals. Branches side by side last as long as the longer."""
    trained: list[StageForecast] = []
    for branch, number in steps.items():
        section = getattr(params.pretrain, branch)
        changed = section.model_copy(update=in_proportion(section, number))
        measured = rates[branch]
        trained.append(calibrated(books, f"pretrain@{branch}", measured.seconds(changed), measured.kwh(changed), ""))
    longest = max(trained, key=lambda forecast: forecast.seconds.high)
    timed = [longest] if params.runtime.parallel_stages > 1 else trained
    seconds = total([one.seconds for one in [*others, *timed]])
    return seconds.high, total([one.kwh for one in [*others, *trained]]).high
