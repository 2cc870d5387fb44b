"""Outlook on the grid's coming hours, and pauses of work in those that are dirtier than `runtime.pause_above`.

The intensity of a coming hour is the user's series where it reaches that far (a day-ahead forecast), else the mean of
that hour of the week in the series (its climatology, bounded by the least and the most it was), else the yearly mean
with its bounds.

A pause is a stop like the budget's: a checkpoint is written, the process ends, and whoever started the run starts it
again in the clean hour, where it resumes to the same bytes. While it waits it draws nothing.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.footprint.intensity import Intensity, resolve
from components.carbon.spans import PAUSED, Bounds
from components.core.errors import Stopped

if TYPE_CHECKING:
    from components.params import Runtime

HORIZON_S = 28 * 24 * 3600.0
"""Work that lasts longer is priced as its first four weeks: what is known of hours farther off repeats by the week."""
HOURLY, USUAL, YEARLY = "hourly series", "usual for the hour of the week", "yearly mean"


class Outlook:
    """Grams of CO2e per kWh of coming hours, with bounds. `used` collects what they rested on."""

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self.usual = climatology(intensity.series)
        self.used: set[str] = set()

    def at(self, hour: datetime) -> Bounds:
        """Grams per kWh of the grid in the hour that this time (UTC) is in."""
        key = hour.strftime("%Y-%m-%dT%H")
        if key in self.intensity.series:
            self.used.add(HOURLY)
            return self.intensity.at(key)
        slot = (hour.weekday(), hour.hour)
        if slot in self.usual:
            self.used.add(USUAL)
            return self.usual[slot]
        self.used.add(YEARLY)
        return self.intensity.mean

    def per_kwh(self, start: datetime, seconds: float) -> Bounds:
        """Mean per kWh of the machine (PUE included) over so many seconds from `start` (UTC) on."""
        seconds = min(max(seconds, 1.0), HORIZON_S)
        total, now, end = Bounds(), start, start + timedelta(seconds=seconds)
        while now < end:
            next_hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            until = min(end, next_hour)
            total += self.at(now) * ((until - now).total_seconds() / seconds)
            now = until
        return total * self.intensity.pue

    @property
    def sources(self) -> list[str]:
        """Sources that were used, with names, years and licences."""
        series, mean = self.intensity.series_source, self.intensity.source
        named = {HOURLY: series, USUAL: f"the usual for the hour of the week in {series}", YEARLY: mean}
        return [named[name] for name in sorted(self.used)]


def climatology(series: dict[str, float]) -> dict[tuple[int, int], Bounds]:
    """(weekday, hour) -> least, mean and most of the series in that hour of the week."""
    slots: dict[tuple[int, int], list[float]] = defaultdict(list)
    for hour, value in series.items():
        at = datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        slots[at.weekday(), at.hour].append(value)
    return {slot: Bounds(min(values), sum(values) / len(values), max(values)) for slot, values in slots.items()}


def next_clean(now: datetime, above: float, deadline: datetime, outlook: Outlook) -> datetime | None:
    """The first time from now on, and before the deadline, whose hour is at most that dirty; None if there is none.

    Args:
        above: g/kWh (mid), without PUE.
    """
    at = now
    while at < deadline and outlook.at(at).mid > above:
        at = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return at if at < deadline else None


def utc_now() -> datetime:
    """The clock, where a test sets none."""
    return datetime.now(UTC)


def resumes_at(runtime: "Runtime", now: datetime, root: Path = Path()) -> datetime | None:
    """When work may go on: now, or at the next clean hour; None if no such hour comes within `runtime.pause_hours`."""
    if runtime.pause_above is None:
        return now
    deadline = now + timedelta(hours=runtime.pause_hours)
    return next_clean(now, runtime.pause_above, deadline, Outlook(resolve(runtime.grid, root)))


def pauses(runtime: "Runtime", root: Path = Path(), clock: Callable[[], datetime] = utc_now) -> Callable[[], None]:
    """Hour check for `Progress.raise_if_stopped`: raises `Stopped` (`Paused`) when a cleaner hour is known to come.

    It looks once per hour. Where no clean hour comes in time it says so, and the work goes on.
    """
    looked_at = ""

    def check() -> None:
        nonlocal looked_at
        now = clock()
        hour = f"{now:%Y-%m-%dT%H}"
        if runtime.pause_above is None or hour == looked_at:
            return
        looked_at = hour
        at = resumes_at(runtime, now, root)
        limit = f"runtime.pause_above: this hour is dirtier than {runtime.pause_above:g} g/kWh"
        if at is None:
            print(f"{limit}, and so is every hour known of the next {runtime.pause_hours:g}: going on", flush=True)
        elif at > now:
            raise Stopped(PAUSED, f"{limit}; all is saved, run again from {at:%Y-%m-%d %H:%M} UTC to go on from here")

    return check
