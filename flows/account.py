"""The account stage as a Prefect flow; `python -m flows.account` has DVC reproduce it.

python -m flows.account --since 2026-01-31      what the whole project has cost since then, in vain or not
"""

import argparse
import os
import sys
from typing import Any

from components import params as schema
from components.core.errors import UserError
from components.core.progress import Progress
from components.core.report import Report
from components.params import Account, Params
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow
from flows.system import dvc, paths


def refresh(params: Params, progress: Progress | None = None) -> Report:
    """Write the summary, the report and the cards anew from what lies in the checkout and the ledger."""
    from components.stages.account.stage import account as write_books

    return write_books(
        root=paths.ROOT,
        ledger_folder=paths.LEDGER,
        params=params,
        fingerprints=dvc.fingerprints(),
        progress=progress,
    )


def call(place: Place, branch: str) -> Report:
    """Run the stage function; its headline is what the MLflow run of the stage shows."""
    report = refresh(place.params, place.progress)
    report.facts = {}
    report.write(place.reports)
    return report


WRITTEN = (
    "summary.json", "summary.md", "report.html", "energy.png", "forecast.png", "loss_per_gram.png", "cards", "data.md",
)  # fmt: skip
"""What the stage leaves in reports/ that no other stage does."""
STAGE = Stage("account", call, folder="", artifacts=tuple(f"reports/{name}" for name in WRITTEN))


@flow(name="account")
def account(params: Account | None = None, params_hash: str = "") -> State:
    """Summarise and account: the table, the report, model cards, energy and carbon.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


def project(since: str) -> str:
    """What the project has cost since a day (UTC), by stage and by how the runs ended."""
    from components.carbon.footprint import intensity
    from components.carbon.footprint.costs import LedgerCosts, project_total
    from components.carbon.ledger import reader

    grid = schema.load(paths.ROOT / "params.yaml").runtime.grid
    ledger_costs = LedgerCosts(reader.read(paths.LEDGER), grid, intensity.resolve(grid, paths.ROOT))
    total = project_total(ledger_costs, since)
    lines = [f"{'':<24} {'runs':>6} {'Wh':>24} {'gCO2e':>26}"]
    for by in ("by_stage", "by_outcome", "by_experiment"):
        lines.append(by.replace("_", " "))
        lines += [_line(f"  {name or 'Running'}", row, str(row["runs"])) for name, row in sorted(total[by].items())]
    lines.append(_line("all, since " + (since or "the first run"), total["total"], ""))
    saved = total["cache_saved"]
    lines.append(_line("saved by DVC's cache", saved, str(saved["stages"])))
    lines.append(_line("nobody's (unattributed)", total["unattributed"], ""))
    if "price" in total["total"]:
        lines.append(f"price: {total['total']['price'][1]:.4f} {grid.currency}")
    source = f"{ledger_costs.intensity.source}, PUE {grid.pue:g} in grams and price"
    lines.append(f"grid: {source}; hosts: {', '.join(total['hosts']) or 'none'}")
    return "\n".join(lines)


def _line(name: str, cost: dict[str, Any], runs: str) -> str:
    low, mid, high = (1000 * value for value in cost["kwh"])
    grams_low, grams, grams_high = cost["grams"]
    energy, carbon = f"{mid:.3g} ({low:.3g}..{high:.3g})", f"{grams:.3g} ({grams_low:.3g}..{grams_high:.3g})"
    return f"{name:<24} {runs:>6} {energy:>24} {carbon:>26}"


def _since() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m flows.account", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--since", default="", metavar="DATE", help="a day in UTC, such as 2026-01-31; empty for all")
    since = parser.parse_args().since
    try:
        print(project(since))
    except UserError as error:
        sys.exit(f"account: {error}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and "DVC_STAGE" not in os.environ:
        _since()
    else:
        main(STAGE, account)
