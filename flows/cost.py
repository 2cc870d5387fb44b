"""`greenhouse cost`: what the project has cost, failed runs included."""

import math
from typing import Any

from components import params as schema
from components.carbon.footprint import intensity
from components.carbon.footprint.costs import LedgerCosts, project_total
from components.carbon.ledger import reader
from components.core.errors import UserError
from flows.system import paths


def project(since: str, rate: float = 0.0) -> str:
    """Cost of the project since a day (UTC), by stage, by how the runs ended, and by run.

    Args:
        since: ISO date or time; "" for all.
        rate: price of a device-hour, in any currency: a GPU's, or the machine's where none was used; 0 leaves it out.

    Raises `UserError`: the rate is no price, or `since` no date.
    """
    if not 0 <= rate < math.inf:
        raise UserError(f"--rate {rate:g}: no price; give a number of 0 or more, such as 2.5")
    grid = schema.load(paths.PARAMS).runtime.grid
    ledger_costs = LedgerCosts(reader.read(paths.LEDGER), grid, intensity.resolve(grid, paths.ROOT))
    total = project_total(ledger_costs, since)
    head = f"{'':<24} {'processes':>9} {'device-hours':>12} {'CPU-hours':>10} {'Wh':>24} {'gCO2e':>26}"
    lines = [head + (f" {f'at {rate:g}':>10}" if rate else "")]
    parts = {"by_stage": "by stage", "by_outcome": "by how the run ended", "by_run": "each run by itself"}
    for by, heading in parts.items():
        lines.append(heading)
        lines += [_line(f"  {name}", row, rate) for name, row in total[by].items()]
    lines.append(_line("project since " + (since or "first run"), total["total"] | {"runs": ""}, rate))
    saved = total["cache_saved"]
    lines.append(_line("saved by DVC's cache", saved | {"runs": saved["stages"]}))
    lines.append(_line("nobody's (unattributed)", total["unattributed"]))
    known = ledger_costs.intensity
    source = f"{known.source}; PUE {known.pue.mid:g} in grams ({known.pue_source})"
    lines.append(f"grid: {source}; hosts: {', '.join(total['hosts']) or 'none'}")
    return "\n".join(lines)


def _line(name: str, cost: dict[str, Any], rate: float = 0.0) -> str:
    """A row of the bill; a column that the cost does not have stays empty."""
    low, mid, high = (1000 * value for value in cost["kwh"])
    grams_low, grams, grams_high = cost["grams"]
    energy, carbon = f"{mid:.3g} ({low:.3g}..{high:.3g})", f"{grams:.3g} ({grams_low:.3g}..{grams_high:.3g})"
    device = cpu = price = ""
    if "device_hours" in cost:
        device, cpu = f"{cost['device_hours']:.3g}", f"{cost['cpu_s'] / 3600:.3g}"
        price = f" {rate * cost['device_hours']:>10.2f}" if rate else ""
    row = f"{name:<24} {cost.get('runs', ''):>9} {device:>12} {cpu:>10} {energy:>24} {carbon:>26}{price}"
    return f"{row}  {cost.get('outcome', '')}".rstrip()


def cost(*, since: str = "", rate: float = 0.0) -> None:
    """What the project has cost, by stage, by how the runs ended, and each run by itself: failed and resumed runs too.

    greenhouse cost                        since its first run
    greenhouse cost --since 2026-01-31     since a day
    greenhouse cost --rate 2.5             with what it comes to at 2.5 per device-hour

    Args:
        since: a day in UTC, such as 2026-01-31.
        rate: price of a device-hour, in any currency: a GPU's, or the machine's where none was used.
    """
    print(project(since, rate))
