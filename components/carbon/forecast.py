"""What a stage will take, from what it took before: seconds and energy, each with an interval.

A prediction interval of a new run, on the logarithm (times and energies are positive and their errors multiply), with
Student's t for the few runs there are. Runs of the same inputs (the same fingerprint) say more than others of the
stage; with fewer than two of them all runs of the stage are used and the forecast says so.
"""

import math
import statistics
from dataclasses import dataclass

from components.carbon.ledger import Ledger, Span, Spans

RECENT = 20
"""Runs looked back at: machines and code change."""
FLOOR = 0.05
"""Smallest relative standard deviation: two equal runs are luck."""
UNKNOWN = 0.5
"""Relative standard deviation taken for one run."""
T90 = [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753]
"""Student's t, 5 % in each tail, for 1, 2, ... degrees of freedom; beyond the list 1.73."""


@dataclass(frozen=True)
class Forecast:
    """An expected value and the interval in which 90 % of new runs should lie."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class StageForecast:
    """Of one stage; `basis` says on which runs it rests."""

    stage: str
    seconds: Forecast
    kwh: Forecast
    basis: str


def interval(values: list[float]) -> Forecast:
    """90 % prediction interval for one more value like these (positive ones)."""
    logs = [math.log(max(value, 1e-12)) for value in values]
    n = len(logs)
    mid = statistics.fmean(logs)
    if n == 1:
        half = 1.645 * UNKNOWN
    else:
        deviation = max(statistics.stdev(logs), FLOOR)
        half = (T90[n - 2] if n - 2 < len(T90) else 1.73) * deviation * math.sqrt(1 + 1 / n)
    return Forecast(math.exp(mid - half), math.exp(mid), math.exp(mid + half))


def forecast(ledger: Ledger, stage: str, fingerprint: str = "") -> StageForecast | None:
    """What the stage will take if it runs now; None if it never completed."""
    runs = completed(ledger, stage)
    same = [run for run in runs if fingerprint and run.labels.get("fingerprint") == fingerprint]
    basis = (
        f"{len(same)} runs of the same inputs" if len(same) >= 2 else f"{len(runs)} runs of the stage, other inputs too"
    )
    chosen = (same if len(same) >= 2 else runs)[-RECENT:]
    if not chosen:
        return None
    kwh = [ledger.inside(run).energy.mid_kwh for run in chosen]
    return StageForecast(stage, interval([run.seconds for run in chosen]), interval(kwh), basis)


def completed(ledger: Spans, stage: str) -> list[Span]:
    """Spans of whole runs of a stage, oldest first. One that resumed a killed run is half a run: left out."""
    found: list[Span] = []
    disturbed: set[str] = set()
    for span in ledger.select(stage=stage):
        key = span.labels.get("fingerprint", "")
        if span.is_phase:
            continue
        if span.outcome == "Completed" and key not in disturbed:
            found.append(span)
        disturbed.discard(key) if span.outcome == "Completed" else disturbed.add(key)
    return found
