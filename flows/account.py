"""The account stage; `python -m flows.account` has DVC reproduce it.

python -m flows.account --since 2026-01-31      what the whole project has cost since then, failed runs too
"""

import os
import sys
from typing import Any

from components import params as schema
from components.core.errors import UserError
from components.core.progress import Progress
from components.core.report import Report
from components.params import Account, Params
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage
from flows.system import dvc, paths
from flows.system.command import parser_of, run_command


def refresh(params: Params, progress: Progress | None = None) -> Report:
    """Write the summary, the report and the cards anew from what lies in the checkout and the ledger."""
    from components.stages.account.stage import account as write_books
    from components.stages.account.summary import MODELS
    from flows.tracking.model_origin import origin
    from flows.tracking.seed_runs import paragraphs
    from flows.tracking.snapshots import find

    now = find("workspace") if (paths.ROOT / "dvc.lock").exists() else None
    return write_books(
        root=paths.ROOT,
        ledger_folder=paths.LEDGER,
        params=params,
        fingerprints=dvc.fingerprints(),
        origins={model: origin(now, model) for model in MODELS} if now else {},
        judgements=paragraphs(now, params.promote.rules) if now else {},
        progress=progress,
    )


def compare_with_champions(params: Params) -> None:
    """Keep how the models of the workspace compare with their champions, for every card of this evaluation."""
    from components.stages.account.summary import MODELS
    from flows.tracking.mlflow_run import client

    client()  # before its other modules: MLflow is imported by one thread at a time
    from mlflow.exceptions import MlflowException

    from flows.tracking.model_origin import EVALUATION, record_comparison
    from flows.tracking.snapshots import find

    now = find("workspace") if (paths.ROOT / "dvc.lock").exists() else None
    if now is None or EVALUATION not in now.outputs():
        return
    try:
        record_comparison(now, {model: against_champion(now, model, params) for model in MODELS})
    except MlflowException as error:  # the record must not take the work down with it
        print(f"MLflow: {error}; the cards say that no champion was compared", flush=True)


def against_champion(now: Any, model: str, params: Params) -> Any:
    """How a model of the workspace compares with the registered champion of its name."""
    from components.stages.account.answers import AgainstChampion, Change, NotKnown
    from components.stages.account.model_answers import scored_model
    from flows.compare import differences, same_heldout
    from flows.tracking.model_origin import registered_alias, today
    from flows.tracking.model_registry import registered_name
    from flows.tracking.seed_runs import scores_another
    from flows.tracking.snapshots import find

    name = registered_name(params, *model.split("/"))
    version = registered_alias(name, "champion")
    if version is None:
        return NotKnown(not_known=f"no registered model {name} has the alias champion")
    facts = {"champion": f"{name} version {version.version}", "compared": today()}
    if version.tags.get("fingerprint") == now.fingerprints().get(model.replace("/", "@")):
        return AgainstChampion(is_this=True, **facts)
    try:
        champion, branch = find(f"{name}@champion"), model.split("/")[1]
        for whose, state in (("this model's", now), (f"{facts['champion']}'s", champion)):
            if scores_another(state, branch):
                return NotKnown(not_known=f"{whose} scores are of an earlier model; run the pipeline to its end")
        if not same_heldout(champion, now):
            return NotKnown(not_known=f"{facts['champion']} was examined on another held-out set")
        compared, _ = differences(champion, now)
        rows = [row for row in compared if scored_model(row.name.split("/")[0], row.name) == model]
    except UserError as error:
        return NotKnown(not_known=str(error))
    if not rows:
        return NotKnown(not_known=f"no eval task that scores both this model and {facts['champion']}")
    changes = [
        Change(
            name=row.name, champion=row.a, this=row.b, improvement=row.improvement, low=row.low, high=row.high,
            significant=row.p_holm < 0.05,
        )
        for row in rows
    ]  # fmt: skip
    return AgainstChampion(is_this=False, changes=changes, **facts)


def call(context: StageContext, branch: str) -> Report:
    """Summarise and account: the table, the report, model cards, energy and carbon."""
    compare_with_champions(context.params)
    report = refresh(context.params, context.progress)
    report.facts = {}
    report.write(context.reports)
    return report


WRITTEN = (
    "summary.json", "summary.md", "report.html", "energy.png", "forecast.png", "loss_per_gram.png", "scores.png",
    "scores-narrow.png", "cards", "data.md",
)  # fmt: skip
"""What the stage leaves in reports/ that no other stage does."""
STAGE = Stage("account", Account, call, folder="", artifacts=tuple(f"reports/{name}" for name in WRITTEN))


def project(since: str) -> str:
    """What the project has cost since a day (UTC), by stage and by how the runs ended."""
    from components.carbon.footprint import intensity
    from components.carbon.footprint.costs import LedgerCosts, project_total
    from components.carbon.ledger import reader

    grid = schema.load(paths.ROOT / "params.yaml").runtime.grid
    ledger_costs = LedgerCosts(reader.read(paths.LEDGER), grid, intensity.resolve(grid, paths.ROOT))
    total = project_total(ledger_costs, since)
    lines = [f"{'':<24} {'processes':>9} {'Wh':>24} {'gCO2e':>26}"]
    for by in ("by_stage", "by_outcome", "by_experiment"):
        lines.append(by.replace("_", " "))
        lines += [_line(f"  {name or 'Running'}", row, str(row["runs"])) for name, row in sorted(total[by].items())]
    lines.append(_line("all, since " + (since or "the first run"), total["total"], ""))
    saved = total["cache_saved"]
    lines.append(_line("saved by DVC's cache", saved, str(saved["stages"])))
    lines.append(_line("nobody's (unattributed)", total["unattributed"], ""))
    if "price" in total["total"]:
        lines.append(f"price: {total['total']['price'][1]:.4f} {grid.currency}")
    known = ledger_costs.intensity
    source = f"{known.source}; PUE {known.pue.mid:g} in grams and price ({known.pue_source})"
    lines.append(f"grid: {source}; hosts: {', '.join(total['hosts']) or 'none'}")
    return "\n".join(lines)


def _line(name: str, cost: dict[str, Any], runs: str) -> str:
    low, mid, high = (1000 * value for value in cost["kwh"])
    grams_low, grams, grams_high = cost["grams"]
    energy, carbon = f"{mid:.3g} ({low:.3g}..{high:.3g})", f"{grams:.3g} ({grams_low:.3g}..{grams_high:.3g})"
    return f"{name:<24} {runs:>9} {energy:>24} {carbon:>26}"


def main() -> None:
    """Print the project's total."""
    parser = parser_of("account", __doc__)
    parser.add_argument("--since", default="", metavar="DATE", help="a day in UTC, such as 2026-01-31; empty for all")
    print(project(parser.parse_args().since))


if __name__ == "__main__":
    if len(sys.argv) > 1 and "DVC_STAGE" not in os.environ:
        run_command("account", main)
    run_stage(STAGE)
