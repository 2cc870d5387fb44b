"""Carbon intensity of the electricity: grams of CO2e per kWh, by hour, with its source.

In this order: the value fixed in params.yaml, the user's hourly series, the country's yearly mean
(intensity.csv, with year and licence), the world's mean. Which of them was used is part of every
result; where the machine stands is never guessed from the network. A yearly mean is an average,
location-based figure. Of a zone that was not stated only the range of all countries is known, as
bounds. A building takes more than its machines: `pue` is part of every sum.
"""

import csv
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.spans import Bounds, Energy
from components.core.errors import UserError
from greenhouse_record.metering import constants

if TYPE_CHECKING:
    from components.params import Grid

MACHINE_ALONE = Bounds.exactly(1.0)
TABLE = Path(__file__).with_name("intensity.csv")


@dataclass(frozen=True)
class Intensity:
    """Grams per kWh. `mean` holds where `series` (UTC hour -> g/kWh) says nothing; `pue` is the building's factor."""

    mean: Bounds
    source: str
    zone: str = ""
    series: dict[str, float] = field(default_factory=dict)
    series_source: str = ""
    pue: Bounds = MACHINE_ALONE
    pue_source: str = "of the machine alone"

    def at_hour(self, hour: str) -> Bounds:
        """Grams per kWh of the grid in a UTC hour such as `2026-01-31T13`."""
        return Bounds.exactly(self.series[hour]) if hour in self.series else self.mean

    def grams(self, hours: dict[str, Energy]) -> Bounds:
        """CO2e of a machine's energy spent in those hours, PUE included."""
        return sum((energy.kwh * self.at_hour(hour) * self.pue for hour, energy in hours.items()), Bounds())

    def sources(self, hours: dict[str, Energy]) -> list[str]:
        """Sources of these hours' intensities, in words."""
        covered = sum(hour in self.series for hour in hours)
        if not self.series:
            return [self.source]
        named = [f"{self.series_source} ({covered} of {len(hours)} hours)"] if covered else []
        return named + ([self.source] if covered < len(hours) or not hours else [])


def resolve(grid: "Grid", root: Path = Path()) -> Intensity:
    """The intensity that holds, per `runtime.grid`.

    Raises `UserError`: the zone is not in the table, or the series cannot be read.
    """
    pue, pue_source = power_usage(grid)
    if grid.grams_per_kwh > 0:
        known = Intensity(Bounds.exactly(grid.grams_per_kwh), "fixed value of runtime.grid.grams_per_kwh", grid.zone)
    else:
        known = zone_mean(grid.zone)
        if grid.series:
            path = root / grid.series
            known = replace(known, series=read_series(path), series_source=f"hourly series {path.name}")
    return replace(known, pue=pue, pue_source=pue_source)


def power_usage(grid: "Grid") -> tuple[Bounds, str]:
    """Power usage effectiveness of the building, and its source in words."""
    if grid.pue is not None:
        return Bounds.exactly(grid.pue), "runtime.grid.pue"
    if grid.machine == "server":
        return constants.bounds("pue_server"), "assumed: runtime.grid.pue is not set, and servers' buildings differ"
    return MACHINE_ALONE, f"a {grid.machine} has no building of its own"


def table() -> dict[str, dict[str, str]]:
    """intensity.csv by zone."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return {row["zone"]: row for row in csv.DictReader(file)}


def zone_mean(zone: str) -> Intensity:
    """The yearly mean of a zone."""
    rows = table()
    if zone not in rows:
        known = ", ".join(sorted(rows))
        raise UserError(f"runtime.grid.zone = {zone!r}: not in {TABLE.name}; use one of {known}, or set grams_per_kwh")
    row = rows[zone]
    mid = float(row["g_per_kwh"])
    if zone == "WORLD":
        values = [float(other["g_per_kwh"]) for other in rows.values()]
        bounds = Bounds(min(values), mid, max(values))
        source_name = "world mean, because runtime.grid.zone names no country; bounds: cleanest and dirtiest country"
    else:
        bounds = constants.bounds("yearly_mean_spread") * mid
        source_name = f"{row['name']}, yearly mean"
    return Intensity(bounds, f"{source_name} ({row['year']}, {row['kind']}, {row['source']}, {row['licence']})", zone)


def read_series(path: Path) -> dict[str, float]:
    """A CSV with columns `time` (ISO 8601, UTC unless it has an offset) and `g_per_kwh`, as hour -> g/kWh.

    Several values in one hour are averaged.

    Raises `UserError`: missing file or column, or a value that is no time or number, with its line.
    """
    hours: dict[str, list[float]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for name in ("time", "g_per_kwh"):
                if name not in (rows.fieldnames or []):
                    raise UserError(f"{path}: no column `{name}`; the header must be time,g_per_kwh")
            for row in rows:
                hours.setdefault(_hour(row["time"]), []).append(float(row["g_per_kwh"]))
    except FileNotFoundError:
        raise UserError(f"runtime.grid.series = {path}: no such file; correct the path or leave it empty") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} line {rows.line_num}: {error}; each line is a UTC time and grams per kWh") from None
    return {hour: sum(values) / len(values) for hour, values in sorted(hours.items())}


def _hour(text: str) -> str:
    moment = datetime.fromisoformat(text.strip())
    return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%Y-%m-%dT%H")
