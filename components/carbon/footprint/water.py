"""Water consumed for the electricity: evaporated where the machine is cooled, and where its electricity is made.

    litres = kWh x WUE  +  kWh x PUE x EWIF        kWh of the machine itself

WUE is the site's water usage effectiveness (The Green Grid), EWIF the grid's electricity water intensity factor. What
params.yaml does not say is taken from water.json with its whole range: sites and grids differ by more than ten.
Making the machine took water too, which is not in it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.ledger.reader import Energy

if TYPE_CHECKING:
    from components.params import Grid

TABLE = Path(__file__).with_name("water.json")
BOUNDS = ("low", "mid", "high")


@dataclass(frozen=True)
class Factor:
    """Litres per kWh, low, mid and high, and where they are from."""

    litres_per_kwh: tuple[float, float, float]
    source: str


@dataclass(frozen=True)
class Water:
    """WUE of the site and EWIF of the grid that hold."""

    cooling: Factor
    electricity: Factor
    pue: float

    def litres(self, energy: Energy) -> list[float]:
        """Litres for that energy, low, mid and high; bounds of energy and of factors are taken together."""
        kwh = (energy.low_kwh, energy.mid_kwh, energy.high_kwh)
        factors = zip(kwh, self.cooling.litres_per_kwh, self.electricity.litres_per_kwh, strict=True)
        return [one * wue + one * self.pue * ewif for one, wue, ewif in factors]

    @property
    def source(self) -> str:
        """Sources of the factors, in words."""
        return f"cooling (WUE): {self.cooling.source}; electricity (EWIF): {self.electricity.source}"


def resolve(grid: "Grid") -> Water:
    """The factors that hold, per `runtime.grid`."""
    rows = json.loads(TABLE.read_bytes())
    if grid.wue is not None:
        cooling = Factor((grid.wue,) * 3, "runtime.grid.wue")
    elif grid.machine == "server":
        cooling = _tabled(rows["cooling"])
    else:
        cooling = Factor((0.0,) * 3, f"none, a {grid.machine} is cooled by air")
    electricity = (
        Factor((grid.ewif,) * 3, "runtime.grid.ewif") if grid.ewif is not None else _tabled(rows["electricity"])
    )
    return Water(cooling, electricity, grid.pue)


def _tabled(row: dict) -> Factor:
    low, mid, high = (row["litres_per_kwh"][bound] for bound in BOUNDS)
    return Factor((low, mid, high), row["source"].removesuffix("."))
