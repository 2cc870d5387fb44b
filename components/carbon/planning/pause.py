"""Pause and resume by grid hour: no step begins in a dirty hour if a cleaner one is known to come soon.

A pause is a stop like the budget's: a checkpoint is written, the process ends, and whoever started the run starts it
again in the clean hour, where it resumes to the same bytes. While it waits it draws nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.footprint.intensity import resolve
from components.carbon.planning.grid_schedule import Outlook, next_clean
from components.core.errors import Stopped

if TYPE_CHECKING:
    from components.params import Runtime

PAUSED = "Paused"


def utc_now() -> datetime:
    """The clock, where a test sets none."""
    return datetime.now(UTC)


def resumes_at(runtime: "Runtime", now: datetime, root: Path = Path()) -> datetime | None:
    """When work may go on: now, or at the next clean hour; None if no such hour comes within `runtime.pause_hours`."""
    if runtime.pause_above is None:
        return now
    outlook = Outlook(resolve(runtime.grid, root))
    return next_clean(now, runtime.pause_above, now + timedelta(hours=runtime.pause_hours), outlook)


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
