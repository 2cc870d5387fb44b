"""The summary as a page of plain text: what `make demo` ends with. At most 45 lines of 100 columns."""

from typing import Any

from components.carbon import constants
from components.carbon.footprint import intensity
from components.carbon.planning.forecast import ORCHESTRATION_NAME
from components.stages.account.types import Cost, SkippedTask, SpanCost, Summary

WIDTH = 100
MAX_SCORES = 10
MAX_SKIPPED = 3
_WORLD = intensity.zone_mean("WORLD").mean
ZONE_HINT = (
    f"set runtime.grid.zone: within {constants.bounds('yearly_mean_spread').high - 1:.0%} of a mean, "
    f"instead of {_WORLD.low:g} to {_WORLD.high:g} g/kWh"
)
"""How far a zone narrows grams, from the shipped table of intensities."""


def render_table(summary: Summary) -> str:
    """The short table printed at the end of a run."""
    blocks = [
        _stages(summary) + _text(summary) + _models(summary),
        _evaluation(summary.evaluation) + _skipped(summary.skipped),
        _cost(summary.cost) + _next(summary),
    ]
    lines = [line for block in blocks if block for line in [*block, ""]][:-1]
    return "\n".join(line[:WIDTH].rstrip() for line in lines) + "\n"


COLUMNS = (
    ("in", "taken", 9), ("kept", "kept", 9), ("dropped", "dropped", 9), ("quarantined", "quarantined", 12),
    ("held out", "heldout", 10),
)  # fmt: skip
"""Title, attribute of DocumentCounts, width."""
SPENT = (("seconds", 9), ("Wh", 9), ("gCO2e", 9))


def _stages(summary: Summary) -> list[str]:
    """One row per stage: documents and what it took."""
    lines = [f"{'stage':<18}" + "".join(f"{name:>{width}}" for name, *_, width in (*COLUMNS, *SPENT))]
    for stage, cost in summary.cost.stages.items():
        documents = summary.documents.get(stage)
        counts = "".join(f"{_count(getattr(documents, key, None)):>{width}}" for _, key, width in COLUMNS)
        attempts = f" +{cost.attempts}" if cost.attempts else ""
        lines.append(f"{stage:<18}{counts}{_spent(cost)}{attempts}")
    around = summary.cost.orchestration
    if around.kwh[1]:
        # Its spans last as long as the whole run: their seconds would say nothing.
        lines.append(f"{ORCHESTRATION_NAME:<67}{'':>9}{_energy(around)}")
    return lines if len(lines) > 1 else []


def _spent(cost: SpanCost) -> str:
    return f"{cost.elapsed_s:>9.1f}{_energy(cost)}"


def _energy(cost: SpanCost) -> str:
    return f"{cost.kwh[1] * 1000:>9.3f}{cost.grams[1]:>9.3f}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _text(summary: Summary) -> list[str]:
    tokens = summary.tokens
    if "train" not in tokens:
        return []
    train, heldout = tokens["train"], tokens.get("heldout", {"num_tokens": 0, "num_documents": 0})
    return [
        f"{'tokens':<18}{train['num_tokens']:,} to train on ({train['num_bytes'] / train['num_tokens']:.2f} bytes "
        f"each), {heldout['num_tokens']:,} held out, vocabulary {tokens['vocab_size']:,}"
    ]


def _models(summary: Summary) -> list[str]:
    lines = []
    for name, model in summary.models.items():
        task = f"{model.task['name']}: " if model.task.get("name") else ""
        line = f"{name:<18}{model.parameters / 1e6:.2f} M parameters; {task}"
        for score, row in model.scores.items():
            more = _score(score, row)
            if len(line) + len(more) <= WIDTH:
                line += more + "; "
        lines.append(line.removesuffix("; "))
    return lines


def _score(name: str, row: dict[str, float]) -> str:
    bounds = f" [{row['low']:.3f}, {row['high']:.3f}]" if "low" in row and "high" in row else ""
    chance = f", chance {row['chance']:.3g}" if "chance" in row else ""
    return f"{name.replace('/', ' ').replace('_', ' ')} {row['value']:.3f}{bounds}{chance}"


def _evaluation(highlights: list[dict[str, Any]]) -> list[str]:
    if not highlights:
        return []
    chosen = headlines(highlights)
    lines = [f"{'held-out evaluation':<46}{'score':>9}{'interval':>20}{'chance':>10}{'n':>7}"]
    for line in chosen:
        bounds = "" if line["low"] is None else f"[{line['low']:.3f}, {line['high']:.3f}]"
        chance = "" if line["chance"] is None else f"{line['chance']:.3g}"
        lines.append(f"  {line['name'][:43]:<44}{line['value']:>9.3f}{bounds:>20}{chance:>10}{line['n']:>7}")
    if len(chosen) < len(highlights):
        lines.append(f"  and {len(highlights) - len(chosen)} more in the report")
    return lines


def headlines(highlights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first line of every question, then second lines, until the page is full; in the order of the report."""
    ranked = []
    seen: dict[str, int] = {}
    for place, line in enumerate(highlights):
        question = line.get("question", line["name"])
        seen[question] = seen.get(question, 0) + 1
        ranked.append((seen[question], place))
    chosen = {place for _, place in sorted(ranked)[:MAX_SCORES]}
    return [line for place, line in enumerate(highlights) if place in chosen]


def _skipped(rows: list[SkippedTask]) -> list[str]:
    lines = [f"skipped: {row.stage}: {row.what}: {row.why}" for row in rows[:MAX_SKIPPED]]
    lines = [line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines]
    return lines + ([f"skipped: {len(rows) - MAX_SKIPPED} more, see the report"] if len(rows) > MAX_SKIPPED else [])


def _cost(cost: Cost) -> list[str]:
    total = cost.total
    if not total.kwh[1]:
        return ["energy: the ledger has no completed run of these artifacts"]
    assumed = ", assumed" if cost.pue_source.startswith("assumed") else ""
    pue = f"PUE {cost.pue:g}" + (f" (counted in the grams alone{assumed})" if cost.pue != 1 else "")
    kwh, grams, embodied = total.kwh, total.grams, total.embodied_grams
    lines = [
        f"{'energy':<18}{kwh[1]:.3g} kWh ({kwh[0]:.3g} to {kwh[2]:.3g}), {pue}",
        f"{'':<18}{cost.how}",
        f"{'carbon':<18}{grams[1]:.3g} gCO2e ({grams[0]:.3g} to {grams[2]:.3g}); {cost.intensity_short}",
        *([f"{'':<18}{ZONE_HINT}"] if "no zone set" in cost.intensity_short else []),
        f"{'machine':<18}{embodied[1]:.3g} gCO2e ({embodied[0]:.3g} to {embodied[2]:.3g}) for making it"
        + (f"; {cost.price[1]:.4f} {cost.currency}" if cost.price else ""),
    ]
    if cost.attempts.kwh[1]:
        lost = cost.attempts
        lines.append(f"{'':<18}of it (+) {lost.kwh[1] * 1000:.3f} Wh in runs that failed, were stopped or killed")
    return lines


def _next(summary: Summary) -> list[str]:
    lines = ["report            reports/report.html; model cards: reports/cards/; data: reports/summary.json"]
    if "pretrain/causal" in summary.models:
        lines.append(
            "next              make chat, make up (Prefect and MLflow), make why after a change of params.yaml"
        )
    return lines
