"""What the next run will take: seconds, energy and gCO2e per stale stage, each with its interval, before anything runs.

    python -m flows.plan

The figures come from the ledger: earlier runs of the stage on this machine. A stage that has never completed here has
none, and is said to have none. Stages whose inputs are still to be made are compared with all their runs.
"""

import argparse
import math
import sys

from components import params as schema
from components.carbon.forecast import Forecast, StageForecast, forecast
from components.carbon.intensity import Intensity, resolve
from components.carbon.ledger import read
from components.errors import UserError
from flows import dag, house


def rows() -> tuple[list[StageForecast], list[str]]:
    """Forecasts of the stages that are stale or follow one that is, and the names of those without history."""
    stages = dag.graph()
    stale = dag.stale()
    after = dag.downstream(stages, set(stale))
    ledger = read(house.LEDGER)
    known, unknown = [], []
    for stage in [name for name in stages if name in after]:
        # Inputs that an earlier stage is about to change have no fingerprint yet.
        settled = not set(stages[stage]) & after
        found = forecast(ledger, stage, dag.inputs(stage).fingerprint if settled else "")
        known += [found] if found else []
        unknown += [] if found else [stage]
    return known, unknown


def total(parts: list[Forecast]) -> Forecast:
    """Sum of independent figures: half-widths add in quadrature, on either side."""
    mid = sum(part.mid for part in parts)
    low = mid - math.sqrt(sum((part.mid - part.low) ** 2 for part in parts))
    high = mid + math.sqrt(sum((part.high - part.mid) ** 2 for part in parts))
    return Forecast(low, mid, high)


def render(known: list[StageForecast], unknown: list[str], grid: Intensity, pue: float) -> str:
    """The plan as a table."""
    if not known and not unknown:
        return "nothing is stale: the next run has nothing to do"
    lines = [f"{'stage':<18} {'seconds':>22} {'Wh':>28} {'gCO2e':>28}  from"]
    per_kwh = grid.mean.mid * pue
    for row in known:
        lines.append(_line(row.stage, row.seconds, row.kwh, per_kwh, row.basis))
    if known:
        seconds, kwh = total([row.seconds for row in known]), total([row.kwh for row in known])
        lines.append(_line("all of these", seconds, kwh, per_kwh, ""))
        lines.append("90 % intervals; seconds as if one stage ran after another: independent ones run at the same time")
        lines.append(f"grid: {grid.source}")
    if unknown:
        lines.append(f"never completed on this machine, so no forecast: {', '.join(unknown)}")
    return "\n".join(lines)


def _line(name: str, seconds: Forecast, kwh: Forecast, grams_per_kwh: float, basis: str) -> str:
    energy, carbon = _cell(kwh, 1000), _cell(kwh, grams_per_kwh)
    return f"{name:<18} {_cell(seconds, 1):>22} {energy:>28} {carbon:>28}  {basis}".rstrip()


def _cell(value: Forecast, scale: float) -> str:
    return f"{value.mid * scale:.2g} ({value.low * scale:.2g} to {value.high * scale:.2g})"


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    house.settle()
    try:
        grid = schema.load(house.ROOT / "params.yaml").runtime.grid
        known, unknown = rows()
        print(render(known, unknown, resolve(grid, house.ROOT), grid.pue))
    except UserError as error:
        sys.exit(f"plan: {error}")


if __name__ == "__main__":
    main()
