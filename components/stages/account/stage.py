"""Account, the last stage: what came of it all and what it cost, on one page, in one file, and on each model's card.

    reports/summary.json     everything below as data; `headline` holds the figures that MLflow has of a run
    reports/summary.md       the short table of `make demo`
    reports/report.html      the long form: tables, every stage's report and plots; one file, no link leads outside
    reports/energy.png       where the energy went; forecast.png: what was forecast and what it took;
                             loss_per_gram.png: held-out loss against the CO2e spent on it
    reports/cards/*/         for each model README.md (its card), ATTRIBUTION.md and card.json (the same as data)
    reports/data.md          the data card

These hold measurements, so no hash of DVC covers them, and they are written anew even when no stage
had to run.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.carbon.footprint import intensity
from components.carbon.footprint.costs import LedgerCosts, StageRun, machine, num_gpus, project_total, stage_runs
from components.carbon.ledger import reader
from components.carbon.planning.forecast import Checked, checked
from components.core.files import rounded, write_json, write_text
from components.core.progress import Progress
from components.core.report import Report
from components.params import Params
from components.scores import figures_of
from components.stages.account.answers import ModelAnswers, ModelOrigin
from components.stages.account.data_card import data_card
from components.stages.account.html_report import render_html
from components.stages.account.model_answers import model_answers, stages_behind, unknown_origin
from components.stages.account.model_card import write_cards
from components.stages.account.plots import plot_energy, plot_forecasts, plot_loss_per_gram, plot_scores
from components.stages.account.score_rows import score_rows
from components.stages.account.summary import STAGES, checkout_files, gather
from components.stages.account.terminal_table import render_table
from components.stages.account.types import Cost, StageRecords, Summary
from greenhouse_record.metering import constants


def account(
    *,
    root: Path,
    ledger_folder: Path,
    params: Params,
    fingerprints: Mapping[str, str] | None = None,
    origins: Mapping[str, ModelOrigin] | None = None,
    judgements: Mapping[str, Sequence[str]] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the summary, the report, the plot and the cards under `root`/reports.

    Args:
        root: the checkout, with `data/`, `models/` and `reports/` as the stages left them; missing
            ones are left out.
        ledger_folder: the ledger; what is in it from other checkouts counts for the project's total
            alone.
        params: `account`, `runtime.grid`, and of `finetune` what each model comes from are used.
        fingerprints: stage -> fingerprint of its present inputs, to find the run that made what
            lies here.
        origins: model -> what git, DVC and MLflow know of it; a model that is missing is said to be
            unknown to them.
        judgements: registered name -> the gate's last verdict and the noise of seeds, as lines.

    Returns:
        The headline's costs as metrics, the table as text, the summary as facts.
    """
    progress = progress or Progress()
    reports = root / "reports"
    with progress.phase("gather"):
        file = checkout_files(root)
        grid, tunings = params.runtime.grid, params.finetune.model_dump()
        ledger_costs = LedgerCosts(_consistent(ledger_folder), grid, intensity.resolve(grid, root))
        records = gather(file)
        present = [stage for stage in STAGES if stage in records.metrics]
        runs = stage_runs(ledger_costs.ledger, present, fingerprints or {}, root.name)
        summary = summarise(root, ledger_costs, records, runs, params)
        known = origins or {}
        answers = {
            name: model_answers(
                name, params.account, summary, costs(ledger_costs, runs, stages_behind(name, tunings)),
                summary.forecasts, known.get(name) or unknown_origin(name), file, tunings,
            )
            for name in summary.models
        }  # fmt: skip
        summary.headline = headline(summary, answers)
    with progress.phase("write"):
        plot_energy(summary.cost, reports / "energy.png")
        plot_forecasts(summary.forecasts, reports / "forecast.png")
        plot_loss_per_gram(summary.cost, reports)
        for narrow in (False, True):
            name = "scores-narrow.png" if narrow else "scores.png"
            plot_scores(score_rows(answers), reports / name, narrow)
        write_json(reports / "summary.json", rounded(summary.as_json()))
        write_text(reports / "summary.md", f"```\n{render_table(summary, answers)}```\n")
        write_cards(answers, reports / "cards")
        write_text(reports / "data.md", data_card(summary, summary.model_name))
        write_text(reports / "report.html", render_html(summary, answers, reports, judgements or {}))
    spent = {name: value for name, value in summary.headline.items() if name.startswith("cost/")}
    return Report(spent, f"```\n{render_table(summary, answers)}```\n", summary.as_json())


def _consistent(folder: Path) -> reader.Ledger:
    """The ledger, whose spans and unattributed energy add up to the host's."""
    ledger = reader.read(folder)
    off_uj = ledger.difference_uj()
    assert not off_uj, f"{folder}: spans and unattributed energy are {off_uj} microjoules off the host's"
    return ledger


def summarise(
    root: Path, ledger_costs: LedgerCosts, records: StageRecords, runs: dict[str, StageRun], params: Params
) -> Summary:
    """Summary of the checkout `root` and the ledger, of which `runs` made what lies here."""
    return Summary(
        **dict(records),
        model_name=params.account.model_name,
        description=params.account.description,
        cost=costs(ledger_costs, runs),
        project=project_total(ledger_costs),
        forecasts=[forecast_row(row) for row in checked(ledger_costs.ledger)],
    )


def forecast_row(one: Checked) -> dict[str, Any]:
    """A forecast and what came of it, as JSON."""
    seconds, kwh = one.forecast.seconds, one.forecast.kwh
    return {
        "stage": one.forecast.stage,
        "run": one.run,
        "ended": one.ended,
        "basis": one.forecast.basis,
        "seconds": [seconds.low, seconds.mid, seconds.high],
        "kwh": [kwh.low, kwh.mid, kwh.high],
        "actual_seconds": one.seconds,
        "actual_kwh": one.kwh,
        "error_pct": {"seconds": one.errors_pct[0], "kwh": one.errors_pct[1]},
    }


# -- cost --------------------------------------------------------------------------------------------------------------


def costs(ledger_costs: LedgerCosts, runs: Mapping[str, StageRun], behind: Collection[str] | None = None) -> Cost:
    """Cost of the artifacts in this checkout: per stage (earlier attempts included), around the stages, in total.

    Args:
        behind: the stages that count, such as those behind a model; None for all.
    """
    grid, ledger = ledger_costs.grid, ledger_costs.ledger
    runs = {stage: run for stage, run in runs.items() if behind is None or stage in behind}
    stages = {stage: _stage_cost(ledger_costs, run) for stage, run in runs.items()}
    names = {run.run.labels.get("run", "") for run in runs.values()} - {""}
    # What ran around these stages in the same pipeline runs: Prefect, DVC, MLflow.
    around = ledger.where(lambda span: span.labels.get("run") in names and "stage" not in span.labels)
    attempts = reader.Spans([span for run in runs.values() for span in run.attempt_spans])
    everything = reader.Spans([span for run in runs.values() for span in run.spans] + list(attempts) + list(around))
    sources = everything.sources
    hours = everything.hours
    threads = max((facts["usable_threads"] for facts in ledger.hosts.values()), default=1)
    gpus = max((num_gpus(group) for group in everything.grouped(lambda span: span.host).values()), default=0)
    return Cost(
        stages=stages,
        orchestration=ledger_costs.cost(around),
        total=ledger_costs.cost(everything),
        nothing=ledger_costs.cost(reader.Spans([])),
        parts={stage: _parts([*run.spans, *run.attempt_spans]) for stage, run in runs.items()},
        orchestration_parts=_parts(list(around)),
        sources=sources,
        shares=shares(sources, everything.parts),
        measured=bool(sources) and all(source.startswith("measured") for source in sources.values()),
        how=how(sources, everything.parts),
        constants=constants.described(),
        counters=sorted(ledger.counters),
        intensity="; ".join(ledger_costs.intensity.sources(hours)),
        location="not stated" if grid.zone == "WORLD" else grid.zone,
        pue=ledger_costs.intensity.pue.mid,
        pue_source=ledger_costs.intensity.pue_source,
        pue_assumed=grid.pue is None and ledger_costs.intensity.pue != intensity.MACHINE_ALONE,
        zone_missing=grid.zone == "WORLD" and not grid.series and not grid.grams_per_kwh,
        hardware=hardware(ledger, everything),
        embodied_source=machine(grid.machine, 0.0, threads, gpus).source,
    )


def _stage_cost(ledger_costs: LedgerCosts, run: StageRun) -> dict[str, Any]:
    """Of the completed run and the attempts before it; `elapsed_s` is of the completed run alone."""
    both = reader.Spans([*run.spans, *run.attempt_spans])
    labels = {name: run.run.labels.get(name, "") for name in ("run", "fingerprint")}
    return ledger_costs.cost(both) | labels | {
        "elapsed_s": run.run.seconds,
        "attempts": len(run.attempts),
        "attempts_s": reader.Spans(run.attempts).elapsed_s,
        "attempts_kwh": ledger_costs.cost(run.attempt_spans)["kwh"],
        "ended": run.run.end.isoformat(timespec="seconds"),
    }  # fmt: skip


def _parts(spans: list[reader.Span]) -> dict[str, list[float]]:
    """kWh by component: low, mid, high."""
    parts = reader.Spans(spans).parts
    return {name: energy.kwh.as_list() for name, energy in parts.items()}


def shares(sources: dict[str, str], parts: dict[str, reader.Energy]) -> dict[str, float]:
    """Shares of the mid energy: of `memory`, of `idle`, and of what rests on `constants` for want of a counter."""
    whole = sum(energy.mid_uj for energy in parts.values())
    modelled = sum(energy.mid_uj for name, energy in parts.items() if not sources[name].startswith("measured"))
    named = {name: parts.get(name, reader.Energy()).mid_uj for name in ("memory", "idle")}
    return {name: uj / whole for name, uj in ({"constants": modelled} | named).items()} if whole else {}


WAYS = {
    "cpu_seconds x watts": "from CPU-seconds",
    "watts per thread": "",
    "watts per GB": "",
    "rapl": "(RAPL)",
    "nvml": "(NVML)",
}
"""How a figure was obtained (as in the ledger's `source`), in the words of the table."""


def how(sources: dict[str, str], parts: dict[str, reader.Energy]) -> str:
    """Each part's share and how it was obtained: `cpu 35% estimated from CPU-seconds; idle 9%, memory 56% assumed`."""
    whole = sum(energy.mid_uj for energy in parts.values())
    if not whole:
        return "not metered"
    ways: dict[str, list[str]] = {}
    for part, source in sources.items():
        flag, _, way = source.partition(":")
        text = "now measured, now estimated" if "+" in source else f"{flag} {WAYS.get(way, way)}".strip()
        ways.setdefault(text, []).append(part)
    shown = {name: f"{name} {energy.mid_uj / whole:.0%}" for name, energy in parts.items()}
    rows = sorted(ways.items(), key=lambda entry: entry[1])
    return "; ".join(f"{', '.join(shown[name] for name in names)} {way}" for way, names in rows)


def hardware(ledger: reader.Ledger, spans: reader.Spans) -> str:
    """The machines, in words."""
    names = []
    for host in sorted({span.host for span in spans}):
        facts = ledger.hosts.get(host)
        if facts:
            names.append(f"{facts['usable_threads']} threads of {facts['cpu']}, {facts['memory_bytes'] / 1e9:.0f} GB")
    return "; ".join(dict.fromkeys(names)) or "not recorded"


def headline(summary: Summary, answers: Mapping[str, ModelAnswers]) -> dict[str, float]:
    """Every score by its name, with the bounds of those that have a short one; cost of the stages behind them."""
    values = figures_of(one for model in answers.values() for one in getattr(model.quality, "scores", []))
    if (gap := summary.metrics.get("bias", {}).get("probe_gap")) is not None:
        values["bias/filter_probe_gap"] = gap
    cost = {"cost/behind_kwh": summary.cost.total.kwh[1], "cost/behind_grams": summary.cost.total.grams[1]}
    return values | cost
