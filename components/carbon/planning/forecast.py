"""Forecasts of a stage's seconds and energy, each with an interval, and the errors of earlier ones.

From the ledger's history: a prediction interval of a new run, on the logarithm (times and energies
are positive and their errors multiply), with Student's t for the few runs there are. Runs of the
same inputs (the same fingerprint) say more than others of the stage; with fewer than two of them
those of the same settings are used, else all runs of the stage, with a wide interval, and the
forecast says so. Those of a training are brought to the tokens that the new one
reads: a constant, and the training in proportion.

From a calibration (step_cost_table.py), for pretraining: what some real steps took here, times the
steps. What it leaves out, and how far it was off, is learnt from every run that was forecast so:
its ratio of actual to raw forecast is the next one's correction, and the spread of the ratios its
interval.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from components.carbon.spans import Bounds, Ledger, Span, Spans
from components.core.plain_text import counted
from greenhouse_record.metering import constants

RECENT = 20
"""Runs looked back at: machines and code change."""
FLOOR = 0.04
"""Smallest relative standard deviation: two equal runs are luck."""
UNKNOWN = 0.5
"""Relative standard deviation taken for one run."""
OTHER_SETTINGS = 1.0
"""Smallest relative standard deviation of runs with other settings. Between the demo and
tests/small.yaml the root mean square of ln(seconds / seconds) over the stages without tokens is
1.05."""
UNTRIED = 0.10
"""Relative standard deviation of a calibration tried once at most (docs/ledger.md)."""
NORMAL80 = 1.282
TOKENS = "tokens"
"""Label of a training's spans: steps x batch x context."""
TRAINED_ON = "trained_on"
"""Label of a training's spans: base or shape, and data. A run on others says nothing of how long tokens take."""
TRAINING = "train"
TRAININGS = (TRAINING, "cross-validate")
"""Phases that last in proportion to tokens: its own training, and those that it is compared by."""


@dataclass(frozen=True)
class StageForecast:
    """Forecast of one stage; `basis` names its runs. `raw` is a calibration's seconds and kWh before correction.

    `training_s` is what a fine-tuning's own training, its first, takes of the seconds; 0 elsewhere.
    `alike` is false if it is from runs with other settings: then it may be far off, and is no help
    in telling how much is left.
    """

    stage: str
    seconds: Bounds
    kwh: Bounds
    basis: str
    raw: tuple[float, float] | None = None
    training_s: float = 0.0
    alike: bool = True

    def line(self) -> dict:
        """As a line of the ledger (`Meter.record`)."""
        facts = {"seconds": self.seconds.as_list(), "kwh": self.kwh.as_list(), "basis": self.basis}
        return facts | ({"raw": list(self.raw)} if self.raw else {})


@dataclass(frozen=True)
class Checked:
    """A forecast and what the run then took."""

    forecast: StageForecast
    seconds: float
    kwh: float
    run: str = ""
    ended: str = ""

    @property
    def errors_pct(self) -> tuple[float, float]:
        """Errors of seconds and of kWh: forecast less actual, in percent of the actual."""
        return error_pct(self.forecast.seconds.mid, self.seconds), error_pct(self.forecast.kwh.mid, self.kwh)


def error_pct(forecast_mid: float, actual: float) -> float:
    """Positive where the forecast was too high."""
    return 100 * (forecast_mid - actual) / actual if actual else 0.0


def interval(values: Sequence[float], unknown: float = UNKNOWN, min_deviation: float = FLOOR) -> Bounds:
    """80 % prediction interval for one more value like these (positive ones).

    Args:
        unknown: relative standard deviation where there is one value.
        min_deviation: smallest relative standard deviation of several.
    """
    from scipy.special import stdtrit

    logs = [math.log(max(value, 1e-12)) for value in values]
    n = len(logs)
    mid = statistics.fmean(logs)
    if n == 1:
        half = NORMAL80 * unknown * math.sqrt(2)
    else:
        deviation = max(statistics.stdev(logs), min_deviation)
        half = float(stdtrit(n - 1, 0.9)) * deviation * math.sqrt(1 + 1 / n)  # Student's t, 10 % in each tail
    return Bounds(math.exp(mid - half), math.exp(mid), math.exp(mid + half))


def total(parts: Sequence[Bounds]) -> Bounds:
    """Sum of figures whose errors have a part in common, the load of the machine, and a part of their own.

    Half-widths of the common part add up, those of the rest add in quadrature, on either side. With
    h of equal stages and a common share r of the variance, the half-width of n of them is h sqrt(r
    n^2 + (1 - r) n).
    """
    common = constants.bounds("load_share").mid

    def half(halves: list[float]) -> float:
        return math.sqrt(common * sum(halves) ** 2 + (1 - common) * sum(width**2 for width in halves))

    mid = sum(part.mid for part in parts)
    low, high = half([part.mid - part.low for part in parts]), half([part.high - part.mid for part in parts])
    return Bounds(mid - low, mid, mid + high)


# -- from history ------------------------------------------------------------------------------------------------------


def forecast(
    ledger: Ledger, stage: str, fingerprint: str = "", settings: str = "", tokens: int = 0, trained_on: str = ""
) -> StageForecast | None:
    """Forecast of a run of the stage now; None if it never completed.

    From runs of the same inputs, if there are two; else of the same settings on other data (a label
    of their spans); else from all.

    Args:
        tokens: what its training reads (steps x batch x context); 0 where the settings do not say
            how long it trains. Then runs that were not so labelled, or trained on others than
            `trained_on`, say nothing of it.
    """
    runs = completed(ledger, stage)
    same = same_inputs(runs, fingerprint)
    alike = [run for run in runs if settings and run.span.labels.get("settings") == settings]
    spread = (UNKNOWN, FLOOR)
    if len(same) >= 2:
        chosen, source = same, "the same inputs"
    elif alike:
        chosen, source = alike, "the same settings, other inputs too"
    elif tokens:
        chosen = [run for run in runs if run.tokens and run.span.labels.get(TRAINED_ON, "") == trained_on]
        source = "the stage, other inputs too, in proportion to the tokens trained on"
    else:
        chosen, source, spread = runs, "the stage with other settings", (OTHER_SETTINGS, OTHER_SETTINGS)
    if not chosen:
        return None
    basis = f"{counted(len(chosen), 'run')} of {source}"
    chosen = chosen[-RECENT:]
    seconds, kwh = zip(*(run.with_tokens(tokens) for run in chosen), strict=True)
    training_s = statistics.fmean(run.training_s(tokens) for run in chosen) if tokens else 0.0
    bounds = interval(seconds, *spread), interval(kwh, *spread)
    return StageForecast(stage, *bounds, basis, training_s=training_s, alike=spread[0] < OTHER_SETTINGS)


@dataclass(frozen=True)
class PastRun:
    """A whole run of a stage: the span that completed it, having resumed none, in its ledger."""

    span: Span
    ledger: Ledger

    @property
    def kwh(self) -> float:
        """Mid, of all that ran inside."""
        return self.ledger.inside(self.span).energy.mid_kwh

    @property
    def tokens(self) -> int:
        """Tokens that its training read, by its label; 0 if it has none."""
        return int(self.span.labels.get(TOKENS, 0))

    @property
    def trainings(self) -> list[Span]:
        """Its trainings, its own first: others are for comparison."""
        spans = [span for span in self.ledger.inside(self.span) if span.labels.get("phase") in TRAININGS]
        return sorted(spans, key=lambda span: (span.labels["phase"] != TRAINING, span.start))

    def training_s(self, tokens: int) -> float:
        """Seconds of its own training had it read so many tokens; as they were if it is not known how many it read."""
        return sum(span.seconds for span in self.trainings[:1]) * (tokens / self.tokens if self.tokens else 1.0)

    def with_tokens(self, tokens: int) -> tuple[float, float]:
        """Seconds and kWh (mid) had its training read so many tokens; unchanged if either is 0."""
        more = tokens / self.tokens - 1 if tokens and self.tokens else 0.0
        kwh = sum(self.ledger.inside(span).energy.mid_kwh for span in self.trainings)
        return self.span.seconds + more * sum(span.seconds for span in self.trainings), self.kwh + more * kwh


ORCHESTRATION_NAME = "Prefect, DVC, MLflow"
"""Name of the cost of a pipeline run outside its stages."""


def orchestration_forecast(ledger: Ledger, num_stages: int) -> StageForecast | None:
    """Forecast of orchestration around so many stages, from `history`; None if no pipeline run completed with any.

    What a command used before its run began is a span of its own, with the run's name as label.
    In proportion to the number of stages: 19 mWh each around 2, 16 around 3 and 18 around 12, on a
    quiet machine.
    """
    seconds, kwh = list[float](), list[float]()
    outermost = [span for span in ledger if not span.parent and "stage" not in span.labels]
    whole = [span for span in outermost if span.name == span.labels.get("run")]
    for run in [span for span in whole if span.outcome == "Completed"][-RECENT:]:
        before = [span for span in outermost if span is not run and span.labels.get("run") == run.name]
        inside = ledger.inside(run).where(lambda span: "stage" in span.labels and not span.is_phase)
        if inside:
            scale = num_stages / len(inside)
            seconds.append(scale * (max(0.0, run.seconds - inside.elapsed_s) + sum(one.seconds for one in before)))
            around = ledger.inside(run).where(lambda span: "stage" not in span.labels)
            trees = [around, *(ledger.inside(one) for one in before)]
            kwh.append(scale * sum(spans.energy.mid_kwh for spans in trees))
    basis = counted(len(kwh), "pipeline run")
    return StageForecast(ORCHESTRATION_NAME, interval(seconds), interval(kwh), basis) if kwh else None


def same_inputs(runs: list[PastRun], fingerprint: str) -> list[PastRun]:
    """Those of `runs` with this fingerprint."""
    return [run for run in runs if fingerprint and run.span.labels.get("fingerprint") == fingerprint]


def completed(ledger: Ledger, stage: str) -> list[PastRun]:
    """Whole runs of a stage, oldest first. One that resumed a run that ended early is half a run: left out."""
    runs: list[PastRun] = []
    disturbed: set[str] = set()
    for span in ledger.select(stage=stage):
        key = span.labels.get("fingerprint", "")
        if span.is_phase:
            continue
        if span.outcome == "Completed":
            if key not in disturbed:
                runs.append(PastRun(span, ledger))
            disturbed.discard(key)
        else:
            disturbed.add(key)
    return runs


def interrupted(ledger: Spans, stage: str, fingerprint: str) -> bool:
    """Whether the last run of these inputs that ended did not complete: the next, or the present one, resumes it."""
    runs = [span for span in ledger.select(stage=stage, fingerprint=fingerprint) if not span.is_phase]
    ended = [run.outcome for run in runs if run.outcome not in ("", "Running")]
    return bool(ended) and ended[-1] != "Completed"


# -- from a calibration ------------------------------------------------------------------------------------------------


def calibrated(ledger: Ledger, stage: str, seconds: float, kwh: float, basis: str) -> StageForecast:
    """Forecast of a calibration (`seconds`, `kwh`), corrected by the stage's earlier errors."""
    ratios = [
        (run.seconds / run.forecast.raw[0], run.kwh / run.forecast.raw[1])
        for run in checked(ledger)
        if run.forecast.stage == stage and run.forecast.raw
    ][-RECENT:]
    basis += f", corrected by {len(ratios)} earlier" if ratios else ""
    corrections = [_ratio([ratio[unit] for ratio in ratios]) for unit in (0, 1)]
    return StageForecast(stage, corrections[0] * seconds, corrections[1] * kwh, basis, (seconds, kwh))


def _ratio(ratios: list[float]) -> Bounds:
    if ratios:
        return interval(ratios, UNTRIED)
    half = NORMAL80 * UNTRIED
    return Bounds(math.exp(-half), 1.0, math.exp(half))


def checked(ledger: Ledger) -> list[Checked]:
    """Every forecast whose run then completed, undisturbed, oldest first."""
    stages = dict.fromkeys(line["stage"] for line in ledger.forecasts)
    runs = {run.span.id: run for stage in stages for run in completed(ledger, stage)}
    results = []
    for line in ledger.forecasts:
        run = runs.get(line["span"])
        if run and run.span.seconds and (kwh := run.kwh):
            span, ended = run.span, run.span.end.isoformat(timespec="seconds")
            results.append(Checked(from_line(line), span.seconds, kwh, span.labels.get("run", ""), ended))
    return results


def from_line(line: dict) -> StageForecast:
    """The forecast of a ledger line."""
    raw = (line["raw"][0], line["raw"][1]) if "raw" in line else None
    return StageForecast(line["stage"], Bounds(*line["seconds"]), Bounds(*line["kwh"]), line["basis"], raw)
