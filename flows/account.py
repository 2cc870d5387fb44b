"""What the project has cost, failed runs included.

python -m flows.account                         since its first run
python -m flows.account --since 2026-01-31      since a day
"""

from typing import Any

from components import params as schema
from flows.system import paths
from flows.system.command import parser_of, run_command


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
    run_command("account", main)
