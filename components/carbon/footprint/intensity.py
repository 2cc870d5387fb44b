"""Carbon intensity of the electricity: grams of CO2e per kWh, by hour, with its source.

In this order: the value fixed in params.yaml, the user's hourly series, the country's yearly mean (intensity.csv, with
year and licence), the world's mean. Which of them was used is part of every result; where the machine stands is never
guessed from the network. A yearly mean is an average, location-based figure, and sources differ about it by up to a
fifth (France 2023: 56 to 67). Of a zone that was not stated only the range of all countries is known, as bounds.
"""

import csv
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.ledger.reader import Energy
from components.core.errors import UserError

if TYPE_CHECKING:
    from components.params import Grid

TABLE = Path(__file__).with_name("intensity.csv")
MEAN_SPREAD = 0.2


@dataclass(frozen=True)
class Grams:
    """Grams of CO2e (or grams per kWh), with bounds."""

    low: float = 0.0
    mid: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Grams") -> "Grams":
        return Grams(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> "Grams":
        return Grams(self.low * factor, self.mid * factor, self.high * factor)


@dataclass(frozen=True)
class Intensity:
    """Grams per kWh. `mean` holds where `series` (UTC hour -> g/kWh) says nothing."""

    mean: Grams
    source: str
    zone: str = ""
    series: dict[str, float] = field(default_factory=dict)
    series_source: str = ""

    def at(self, hour: str) -> Grams:
        """In a UTC hour such as `2026-01-31T13`."""
        return Grams(*(self.series[hour],) * 3) if hour in self.series else self.mean

    def grams(self, hours: dict[str, Energy], pue: float = 1.0) -> Grams:
        """CO2e of energy spent in those hours. Bounds of energy and of intensity are taken together."""
        total = Grams()
        for hour, energy in hours.items():
            per_kwh = self.at(hour)
            total += Grams(
                energy.low_kwh * per_kwh.low, energy.mid_kwh * per_kwh.mid, energy.high_kwh * per_kwh.high
            ).times(pue)  # fmt: skip
        return total

    def sources(self, hours: dict[str, Energy]) -> list[str]:
        """Sources of these hours' intensities, in words."""
        covered = sum(hour in self.series for hour in hours)
        if not self.series:
            return [self.source]
        found = [f"{self.series_source} ({covered} of {len(hours)} hours)"] if covered else []
        return found + ([self.source] if covered < len(hours) or not hours else [])


def resolve(grid: "Grid", root: Path = Path()) -> Intensity:
    """The intensity that holds, per `runtime.grid`.

    Raises:
        UserError: the zone is not in the table, or the series cannot be read.
    """
    if grid.grams_per_kwh > 0:
        return Intensity(Grams(*(grid.grams_per_kwh,) * 3), "fixed value of runtime.grid.grams_per_kwh", grid.zone)
    mean = zone_mean(grid.zone)
    if not grid.series:
        return mean
    path = root / grid.series
    source = f"hourly series {path.name}"
    return Intensity(mean.mean, mean.source, mean.zone, read_series(path), source)


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
        bounds = Grams(min(values), mid, max(values))
        place = "world mean, because runtime.grid.zone names no country; bounds: cleanest and dirtiest country"
    else:
        bounds = Grams(mid * (1 - MEAN_SPREAD), mid, mid * (1 + MEAN_SPREAD))
        place = f"{row['name']}, yearly mean"
    return Intensity(bounds, f"{place} ({row['year']}, {row['kind']}, {row['source']}, {row['licence']})", zone)


def read_series(path: Path) -> dict[str, float]:
    """A CSV with columns `time` (ISO 8601, UTC unless it has an offset) and `g_per_kwh`, as hour -> g/kWh.

    Several values in one hour are averaged.

    Raises:
        UserError: missing file or column, or a value that is no time or number, with its line.
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
    from datetime import UTC

    at = datetime.fromisoformat(text.strip())
    return (at.astimezone(UTC) if at.tzinfo else at).strftime("%Y-%m-%dT%H")
