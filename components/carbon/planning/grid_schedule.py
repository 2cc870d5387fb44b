"""The grid in coming hours, and when to start: the hours before a deadline in which the same work emits least.

The intensity of a coming hour is the user's series where it reaches that far (a day-ahead forecast), else the mean of
that hour of the week in the series (its climatology, bounded by the least and the most it was), else the yearly mean
with its bounds. The energy is the same whenever it runs;
what differs is how dirty each kilowatt-hour is.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.carbon.footprint.intensity import Grams, Intensity

STEP = timedelta(minutes=15)
"""Between the starts that are compared."""
HORIZON_S = 28 * 24 * 3600.0
"""Work that lasts longer is priced as its first four weeks: what is known of hours farther off repeats by the week."""
HOURLY, USUAL, YEARLY = "hourly series", "usual for the hour of the week", "yearly mean"


@dataclass(frozen=True)
class Start:
    """The start chosen, and what it is worth: grams of the same kWh then and now.

    `in_time` is False if the work would not end before the deadline even if it began now; it begins now then.
    """

    at: datetime
    kwh: float
    grams: float
    grams_now: float
    basis: str
    in_time: bool = True

    @property
    def saved_grams(self) -> float:
        return self.grams_now - self.grams

    def told(self, now: datetime) -> str:
        """For a person."""
        if not self.in_time:
            return "starts now: it would not be done before the deadline otherwise"
        if self.at <= now:
            return f"starts now: no later start before the deadline emits less ({self.basis})"
        share = self.saved_grams / self.grams_now if self.grams_now else 0.0
        return (
            f"starts at {self.at:%Y-%m-%d %H:%M} UTC: {self.grams:.3g} gCO2e instead of {self.grams_now:.3g} for the "
            f"same {1000 * self.kwh:.3g} Wh, {self.saved_grams:.3g} saved ({share:.0%}; {self.basis})"
        )


class Outlook:
    """Grams of CO2e per kWh of coming hours, with bounds. `used` collects what they rested on."""

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self.usual = climatology(intensity.series)
        self.used: set[str] = set()

    def at(self, hour: datetime) -> Grams:
        """In the hour that this time (UTC) is in."""
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

    def per_kwh(self, start: datetime, seconds: float) -> Grams:
        """Mean over so many seconds from `start` (UTC) on."""
        seconds = min(max(seconds, 1.0), HORIZON_S)
        total, at, end = Grams(), start, start + timedelta(seconds=seconds)
        while at < end:
            next_hour = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            until = min(end, next_hour)
            total += self.at(at).times((until - at).total_seconds() / seconds)
            at = until
        return total

    def grams(self, start: datetime, seconds: float, kwh: float, pue: float) -> Grams:
        """CO2e of so much energy, spent evenly from `start` on."""
        return self.per_kwh(start, seconds).times(kwh * pue)

    @property
    def sources(self) -> list[str]:
        """Sources that were used, with names, years and licences."""
        series, mean = self.intensity.series_source, self.intensity.source
        named = {HOURLY: series, USUAL: f"the usual for the hour of the week in {series}", YEARLY: mean}
        return [named[one] for one in sorted(self.used)]


def climatology(series: dict[str, float]) -> dict[tuple[int, int], Grams]:
    """(weekday, hour) -> least, mean and most of the series in that hour of the week."""
    slots: dict[tuple[int, int], list[float]] = defaultdict(list)
    for hour, value in series.items():
        at = datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        slots[at.weekday(), at.hour].append(value)
    return {slot: Grams(min(values), sum(values) / len(values), max(values)) for slot, values in slots.items()}


def best_start(
    now: datetime, deadline: datetime, seconds: float, most_seconds: float, kwh: float, intensity: Intensity, pue: float
) -> Start:
    """The start between now and the deadline with the least grams; the earliest of equals.

    Args:
        now, deadline: with time zone.
        seconds, kwh: what the work is expected to take.
        most_seconds: upper end of that: what must fit before the deadline.
        pue: the building's energy per energy of the machine.
    """
    outlook, seconds = Outlook(intensity), max(seconds, 1.0)
    latest = deadline - timedelta(seconds=most_seconds)
    first = now.replace(minute=0, second=0, microsecond=0)
    quarters = (first + STEP * number for number in range(int((latest - first) / STEP) + 1))
    starts = [now, *(at for at in quarters if now < at <= latest)]
    grams = [outlook.grams(at, seconds, kwh, pue).mid for at in starts]
    # A later start must be worth it: sums of the same hours differ in the last bits.
    best = min(range(len(starts)), key=lambda number: (round(grams[number], 12), starts[number]))
    return Start(starts[best], kwh, grams[best], grams[0], " and ".join(sorted(outlook.used)), latest >= now)


def next_clean(now: datetime, above: float, deadline: datetime, outlook: Outlook) -> datetime | None:
    """The first time from now on, and before the deadline, whose hour is at most that dirty; None if there is none.

    Args:
        above: g/kWh (mid), without PUE.
    """
    at = now
    while at < deadline and outlook.at(at).mid > above:
        at = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return at if at < deadline else None
