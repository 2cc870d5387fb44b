"""Outlook on the grid's coming hours.

The intensity of a coming hour is the user's series where it reaches that far (a day-ahead
forecast), else the mean of that hour of the week in the series (its climatology, bounded by the
least and the most it was), else the yearly mean with its bounds.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from components.carbon.footprint.intensity import Intensity
from components.carbon.spans import Bounds

HORIZON_S = 28 * 24 * 3600.0
"""Work that lasts longer is priced as its first four weeks: what is known of hours farther off repeats by the week."""
HOURLY, USUAL, YEARLY = "hourly series", "usual for the hour of the week", "yearly mean"


class Outlook:
    """Grams of CO2e per kWh of coming hours, with bounds. `used` collects what they rested on."""

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self.usual = climatology(intensity.series)
        self.used: set[str] = set()

    def at_hour(self, hour: datetime) -> Bounds:
        """Grams per kWh of the grid in the hour that this time (UTC) is in."""
        key = hour.strftime("%Y-%m-%dT%H")
        if key in self.intensity.series:
            self.used.add(HOURLY)
            return self.intensity.at_hour(key)
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
            total += self.at_hour(now) * ((until - now).total_seconds() / seconds)
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
        hour_start = datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        slots[hour_start.weekday(), hour_start.hour].append(value)
    return {slot: Bounds(min(values), sum(values) / len(values), max(values)) for slot, values in slots.items()}


def cleanest_start(outlook: Outlook, now: datetime, seconds: float, within_hours: float) -> datetime:
    """The start, now or at a full hour (UTC) to come, from which work meets the fewest grams per kWh; now on a tie.

    Args:
        seconds: that the work takes.
        within_hours: after which it must have begun.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    later = [hour + timedelta(hours=ahead) for ahead in range(1, int(within_hours) + 2)]
    starts = [now, *(start for start in later if start <= now + timedelta(hours=within_hours))]
    return min(starts, key=lambda start: round(outlook.per_kwh(start, seconds).mid, 6))
