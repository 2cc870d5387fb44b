"""Costs of a set of spans (energy, carbon, hardware), and the spans that made the current artifacts.

A figure is a triple low, mid, high. Attempts that failed, were stopped or killed on the way to an
artifact are part of its cost and shown apart; what DVC took from its cache cost nothing now and
shows what it cost when it was made.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.carbon.footprint.intensity import Intensity
from components.carbon.spans import ORCHESTRATION, Bounds, Energy, Ledger, Span, Spans
from components.core.errors import UserError
from greenhouse_record.metering import constants

if TYPE_CHECKING:
    from components.params import Grid

YEAR_S = 365.25 * 86400


@dataclass(frozen=True)
class Embodied:
    """Grams, and what they rest on."""

    grams: Bounds
    source: str


def machine(kind: str, share_s: float, threads: int, gpus: int = 0) -> Embodied:
    """Embodied carbon of using a machine: its making, by the shares of its life and threads in use (ISO/IEC 21031).

    Args:
        kind: row of constants.json (`server`, `workstation`, `laptop`).
        share_s: seconds of its wall clock, divided among what ran at once (`Spans.share_s`).
        threads: hardware threads of the machine; one with fewer than the row's is taken as a share
            of it.
        gpus: accelerators in use, each reserved wholly.
    """
    rows = constants.rows()
    row = rows[kind]
    reserved = min(1.0, threads / row["threads"]) if row["threads"] else 1.0
    grams = _share(kind, share_s) * reserved + _share("gpu", share_s) * gpus
    kg, years = row["mid"], row["lifetime_years"]
    source = f"{kind} of {kg} kg over {years} years, {reserved:.0%} reserved"
    if gpus:
        source += f"; {gpus} GPU of {rows['gpu']['mid']} kg each over {rows['gpu']['lifetime_years']} years"
    return Embodied(grams, source)


def _share(name: str, share_s: float) -> Bounds:
    life_s = constants.rows()[name]["lifetime_years"] * YEAR_S
    return constants.bounds(name) * (1000 * share_s / life_s)


ALWAYS = datetime.min.replace(tzinfo=UTC)
LATEST = 20
"""Runs that a bill shows one by one; of older ones those that ended early, and the others together."""


@dataclass(frozen=True)
class LedgerCosts:
    """A ledger with the grid that turns its joules into grams."""

    ledger: Ledger
    grid: "Grid"
    intensity: Intensity

    def cost(self, spans: Spans) -> dict:
        """Everything a set of spans cost; plain JSON, triples as [low, mid, high].

        `kwh` is the machines' own, as in budgets, forecasts and metrics; `grams` include PUE.
        """
        return {
            "kwh": spans.energy.kwh.as_list(),
            "grams": self.intensity.grams(spans.hours).as_list(),
            "embodied_grams": self.embodied(spans).as_list(),
            "cpu_s": spans.cpu_s,
            "elapsed_s": spans.elapsed_s,
        }

    def embodied(self, spans: Spans) -> Bounds:
        """CO2e of making the machines, the spans' share."""
        total = Bounds()
        for host, group in spans.grouped(lambda span: span.host).items():
            facts = self.ledger.hosts.get(host, {})
            total += machine(self.grid.machine, group.share_s, facts.get("usable_threads", 1), num_gpus(group)).grams
        return total


def num_gpus(spans: Spans) -> int:
    """GPUs that spans of one host have used."""
    return sum(name.startswith("gpu") for name in spans.parts)


def device_hours(spans: Spans) -> float:
    """Hours of the devices that spans used: of each GPU, or of the machine where a span used none.

    What ran at once on a machine shares its hours (`Spans.share_s`), so that parts add up to the
    whole.
    """
    return sum(one.share_s * max(1, num_gpus(one)) for one in (Spans([span]) for span in spans)) / 3600


# -- spans of the current artifacts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageRun:
    """Runs behind the output of a stage: the one that completed it, and the attempts before that did not."""

    stage: str
    run: Span
    spans: Spans
    attempts: list[Span]
    attempt_spans: Spans


def stage_runs(
    ledger: Ledger, stages: Iterable[str], fingerprints: Mapping[str, str], checkout: str
) -> dict[str, StageRun]:
    """Stage -> the completed run that made its output, by its inputs (`fingerprints`), preferably in this checkout."""
    by_stage = {}
    for stage in stages:
        runs = [span for span in ledger.select(stage=stage) if not span.is_phase]
        if run := _maker(runs, fingerprints.get(stage, ""), checkout):
            attempts = _attempts(runs, run)
            inside = Spans([span for attempt in attempts for span in ledger.inside(attempt)])
            by_stage[stage] = StageRun(stage, run, ledger.inside(run), attempts, inside)
    return by_stage


def _maker(runs: list[Span], fingerprint: str, checkout: str) -> Span | None:
    """The completed run that made what is there: the newest of these inputs in this checkout, or the first elsewhere.

    Later ones elsewhere are experiments and verifications that made the same again. Without one of
    these inputs, the newest in this checkout, or of any.
    """
    completed = [span for span in runs if span.outcome == "Completed"]
    in_checkout = [span for span in completed if span.labels.get("checkout", checkout) == checkout]
    same = [span for span in completed if fingerprint and span.labels.get("fingerprint") == fingerprint]
    if same and not (here_too := [span for span in same if span in in_checkout]):
        return min(same, key=lambda span: span.end)
    return max(here_too if same else in_checkout or completed, key=lambda span: span.end, default=None)


def _attempts(runs: list[Span], run: Span) -> list[Span]:
    """Runs of a stage that ended early on the way to `run`; of a recorded run all earlier tries.

    On the way are those of the same inputs, wherever, and of any settings in the same checkout: what
    failed before a key was set right was paid for this model too. Each since the last one of its
    kind that completed.
    """
    if record := run.labels.get("record"):
        return [span for span in runs if span.labels.get("record") == record and span.end <= run.start]
    found: dict[str, Span] = {}
    for key in ("fingerprint", "checkout"):
        alike = [span for span in runs if span.labels.get(key) == run.labels.get(key) and span.end <= run.start]
        after = max((span.end for span in alike if span.outcome == "Completed"), default=None)
        early = [span for span in alike if span.outcome not in ("Completed", "Running")]
        found |= {span.id: span for span in early if after is None or span.start >= after}
    return sorted(found.values(), key=lambda span: span.start)


def project_total(ledger_costs: LedgerCosts, since: str = "") -> dict:
    """Everything the project has cost since a time (ISO, UTC, such as `2026-01-31`): every run, however it ended.

    A span counts if it began since then.

    Returns:
        `total`, `by_stage`, `by_outcome` and `by_run` (cost, `device_hours` and number of
        processes, `runs`, each; a run has all that ran for it, and its `outcome`), `cache_saved`,
        `unattributed` (`kwh` and `grams` of no span), `since`, `hosts`.

    Raises `UserError`: `since` is no date.
    """
    ledger, begin = ledger_costs.ledger, moment(since)
    spans = ledger.where(lambda span: span.start >= begin)
    outcome = outcomes(spans)

    def billed(group: Spans) -> dict:
        return ledger_costs.cost(group) | {"device_hours": device_hours(group), "runs": _runs(group)}

    def grouped(key: Callable[[Span], str]) -> dict[str, dict]:
        return {name: billed(group) for name, group in spans.grouped(key).items()}

    latest = [*outcome][-LATEST:]
    shown = {run: run for run, ending in outcome.items() if run in latest or ending != "Completed"}
    rest = ledger.unattributed_hours(begin)
    return {
        "since": since,
        "total": billed(spans),
        "by_stage": dict(sorted(grouped(lambda span: span.stage).items())),
        "by_outcome": dict(sorted(grouped(lambda span: outcome[run_of(span)]).items())),
        "by_run": {
            run: row | {"outcome": outcome.get(run, "Completed")}
            for run, row in grouped(lambda span: shown.get(run_of(span), "earlier runs")).items()
        },
        "cache_saved": cache_saved(ledger_costs, begin),
        "unattributed": {
            "kwh": sum(rest.values(), Energy()).kwh.as_list(),
            "grams": ledger_costs.intensity.grams(rest).as_list(),
        },
        "hosts": sorted(ledger.hosts),
    }


def run_of(span: Span) -> str:
    """Name of the run that a span is of, what went on before it began included; `verify` of what was rebuilt to check.

    Of a process that is of no run, its stage, or that no run began.
    """
    if span.labels.get("checkout", "").startswith("verify-"):
        return "verify"
    return span.labels.get("run") or span.labels.get("stage") or "no run began"


def outcomes(spans: Spans) -> dict[str, str]:
    """Run -> how it ended, the oldest run first: as its own process says, else as its first that did not complete."""
    ended = dict[str, str]()
    for run, group in spans.where(lambda span: not span.is_phase).grouped(run_of).items():
        of_run = [span.outcome for span in group if span.name == run]
        early = [span.outcome for span in group if span.outcome != "Completed"]
        ended[run] = next(iter(of_run[-1:] or early), "Completed")
    return {run_of(span): ended.get(run_of(span), "Completed") for span in sorted(spans, key=lambda span: span.start)}


def moment(since: str) -> datetime:
    """A time as a user writes it; the beginning of all time for "".

    Raises `UserError`: it is no ISO date or time.
    """
    try:
        time = datetime.fromisoformat(since.strip()) if since else ALWAYS
    except ValueError:
        raise UserError(f"since {since}: no date; write a day in UTC, such as 2026-01-31") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def cache_saved(ledger_costs: LedgerCosts, begin: datetime = ALWAYS) -> dict:
    """Cost saved by stages that DVC took from its cache, from the last run before each.

    A pipeline run names them in its span's label `cached`; those that began at `begin` or later
    count. Returns `kwh`, `grams` (triples) and `stages`, their number.
    """
    ledger = ledger_costs.ledger
    costs: dict[str, dict] = {}
    total: dict[str, Any] = {"kwh": [0.0] * 3, "grams": [0.0] * 3, "stages": 0}
    completed = ledger.where(lambda span: span.outcome == "Completed" and not span.is_phase)
    cached = ledger.where(lambda span: bool(span.labels.get("cached")) and span.stage == ORCHESTRATION)
    for run in cached.where(lambda span: span.start >= begin):
        for stage in run.labels["cached"].split(","):
            before = [span for span in completed.select(stage=stage) if span.end <= run.end]
            if before:
                last = before[-1]
                cost = costs.setdefault(last.id, ledger_costs.cost(ledger.inside(last)))
                total["stages"] += 1
                for key in ("kwh", "grams"):
                    total[key] = [a + b for a, b in zip(total[key], cost[key], strict=True)]
    return total


def _runs(spans: Spans) -> int:
    return sum(not span.is_phase for span in spans)
