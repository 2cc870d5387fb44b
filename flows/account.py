"""The account stage; `python -m flows.account` has DVC reproduce it.

python -m flows.account --since 2026-01-31      what the whole project has cost since then, in vain or not
"""

import os
import sys
from typing import Any

from components import params as schema
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

    return write_books(
        root=paths.ROOT,
        ledger_folder=paths.LEDGER,
        params=params,
        fingerprints=dvc.fingerprints(),
        progress=progress,
    )


def call(context: StageContext, branch: str) -> Report:
    """Run the stage function; its headline is what the MLflow run of the stage shows."""
    report = refresh(context.params, context.progress)
    report.facts = {}
    report.write(context.reports)
    return report


WRITTEN = (
    "summary.json", "summary.md", "report.html", "energy.png", "forecast.png", "loss_per_gram.png", "cards", "data.md",
)  # fmt: skip
"""What the stage leaves in reports/ that no other stage does."""
STAGE = Stage(
    "account",
    Account,
    "Summarise and account: the table, the report, model cards, energy and carbon.",
    call,
    folder="",
    artifacts=tuple(f"reports/{name}" for name in WRITTEN),
)


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
    known = ledger_costs.intensity
    source = f"{known.source}; PUE {known.pue.mid:g} in grams and price ({known.pue_source})"
    lines.append(f"grid: {source}; hosts: {', '.join(total['hosts']) or 'none'}")
    return "\n".join(lines)


def _line(name: str, cost: dict[str, Any], runs: str) -> str:
    low, mid, high = (1000 * value for value in cost["kwh"])
    grams_low, grams, grams_high = cost["grams"]
    energy, carbon = f"{mid:.3g} ({low:.3g}..{high:.3g})", f"{grams:.3g} ({grams_low:.3g}..{grams_high:.3g})"
    return f"{name:<24} {runs:>6} {energy:>24} {carbon:>26}"


def main() -> None:
    """Print the project's total."""
    parser = parser_of("account", __doc__)
    parser.add_argument("--since", default="", metavar="DATE", help="a day in UTC, such as 2026-01-31; empty for all")
    print(project(parser.parse_args().since))


if __name__ == "__main__":
    if len(sys.argv) > 1 and "DVC_STAGE" not in os.environ:
        run_command("account", main)
    run_stage(STAGE)
