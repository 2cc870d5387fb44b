"""Plots of scores beside their rules, and of costs: energy by stage, loss per gram, forecasts as they came."""

from pathlib import Path
from typing import Any

from components.carbon.planning.forecast import ORCHESTRATION_NAME
from components.reporting.figures import COLOURS, GREY, WIDTH, bars, chart, error_bars, figure, legend, save
from components.stages.account.answer_text import reference_text
from components.stages.account.score_rows import ScoreRow
from components.stages.account.summary import read_rows
from components.stages.account.types import Cost

MOST_FORECASTS = 200
"""Newest ones that are drawn."""


def plot_energy(cost: Cost, path: Path) -> None:
    """Watt-hours per stage and around them, by component, with the bounds of the sum."""
    rows = cost.parts | ({ORCHESTRATION_NAME: around} if (around := cost.orchestration_parts) else {})
    stages = list(rows)
    series = {
        f"{name} ({cost.sources.get(name, '').split(':')[0]})": [
            rows[stage].get(name, [0.0] * 3)[1] * 1000 for stage in stages
        ]
        for name in sorted({name for parts in rows.values() for name in parts})
    }
    caption = (
        "Energy per stage by component, earlier attempts included; black lines reach from the low to the high sum."
    )
    with chart(path, caption, 0.27 * max(3, len(stages)) + 0.9, xlabel="energy of this machine (Wh)") as axes:
        mid = bars(axes, stages, series)
        low, high = ([sum(part[i] for part in rows[stage].values()) * 1000 for stage in stages] for i in (0, 2))
        axes.errorbar(mid, range(len(stages)), xerr=error_bars(mid, low, high), fmt="none", ecolor="black", capsize=3)
        for row, (value, end) in enumerate(zip(mid, high, strict=True)):
            axes.annotate(f"{value:.3g}", (end, row), (6, 0), textcoords="offset points", va="center", fontsize=8)
        axes.margins(x=0.1)


def plot_forecasts(rows: list[dict[str, Any]], path: Path) -> None:
    """Every checked forecast: what was forecast against what it took, with 80 % intervals. Removed if there is none."""
    path.unlink(missing_ok=True)
    if not rows:
        return
    drawing, grid = figure(WIDTH, 3.6, columns=2)
    units = (("seconds", "actual_seconds", 1.0, "seconds"), ("kwh", "actual_kwh", 1000.0, "Wh"))
    for axes, (forecast, actual, scale, unit) in zip(grid, units, strict=True):
        _draw_forecasts(axes, rows[-MOST_FORECASTS:], forecast, actual, scale)
        axes.set(xlabel=f"actual ({unit})", ylabel=f"forecast ({unit})")
    legend(grid[0])
    inside = sum(row["seconds"][0] <= row["actual_seconds"] <= row["seconds"][2] for row in rows)
    save(
        drawing, path,
        f"Forecasts of stage runs with their 80% intervals: {inside} of {len(rows)} took as long as theirs says.",
    )  # fmt: skip


def _draw_forecasts(axes: Any, rows: list[dict[str, Any]], forecast: str, actual: str, scale: float) -> None:
    """A colour for each stage, the same range on both axes: above the diagonal is too much, below too little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    for number, stage in enumerate(stages):
        of_stage = [row for row in rows if row["stage"] == stage]
        low, mid, high = ([row[forecast][i] * scale for row in of_stage] for i in range(3))
        took, color = [row[actual] * scale for row in of_stage], COLOURS[number % len(COLOURS)]
        axes.errorbar(
            took,
            mid,
            error_bars(mid, low, high),
            fmt="o",
            markersize=4,
            linewidth=0.9,
            alpha=0.8,
            color=color,
            label=stage,
        )
    values = [value * scale for row in rows for value in (*row[forecast], row[actual])]
    ends = [0.8 * min(values), 1.25 * max(values)]
    axes.plot(ends, ends, color="black", linewidth=0.8, label="forecast = actual")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def plot_loss_per_gram(cost: Cost, reports: Path) -> None:
    """Held-out loss against the CO2e spent on training until then, one line per pretrained model."""
    path = reports / "loss_per_gram.png"
    path.unlink(missing_ok=True)
    curves = {}
    for branch in ("causal", "masked"):
        rows = read_rows(reports / "pretrain" / branch / "details" / "heldout.csv")
        curve = [(float(row["step"]), float(row["loss"])) for row in rows if float(row["step"]) > 0]
        low, grams, high = cost.stages.get(f"pretrain@{branch}", cost.nothing).grams
        if curve and grams:
            curves[f"{branch}: {grams:.2g} g in all ({low:.2g} to {high:.2g})"] = (curve, grams / curve[-1][0])
    if not curves:
        return
    caption = (
        "Held-out loss of each pretrained model as CO2e is spent on its training. They predict different tokens: their "
        "losses do not compare."
    )
    labels: dict[str, Any] = {
        "xlabel": "g CO2e of pretraining until then (mid estimate)",
        "ylabel": "held-out loss (nats)",
    }
    with chart(path, caption, **labels) as axes:
        for label, (curve, grams_per_step) in curves.items():
            axes.plot([grams_per_step * step for step, _ in curve], [loss for _, loss in curve], "o-", label=label)


UNITS = {"share": "share of items (0 to 1)", "bits": "bits", "nats": "nats", "number": "number"}
ABOVE, BASELINE = COLOURS[0], COLOURS[1]


def score_caption(rows: list[ScoreRow]) -> str:
    """Text of the plot, with every figure, for those who do not see it."""
    parts = [
        f"{row.name} {row.score.value:.3f}" + (f" ({text})" if (text := reference_text(row.score)) else "")
        for row in rows
    ]
    return f"Scores and the rules beside them: {'; '.join(parts)}."


def plot_scores(rows: list[ScoreRow], path: Path, narrow: bool = False) -> None:
    """Write the plot; removed if there are no scores.

    Args:
        narrow: for a telephone: names above their lines instead of beside them.
    """
    path.unlink(missing_ok=True)
    panels = {unit: [row for row in rows if row.score.unit == unit] for unit in UNITS}
    panels = {unit: members for unit, members in panels.items() if members}
    if not panels:
        return
    step = 0.46 if narrow else 0.28
    heights = [step * len(members) + 0.62 for members in panels.values()]
    drawing, grid = figure(3.7 if narrow else 8.6, sum(heights) + 0.35, rows=len(panels), height_ratios=heights)
    for axes, (unit, members) in zip(grid, panels.items(), strict=True):
        _draw(axes, members, narrow)
        axes.set_xlabel(UNITS[unit], loc="left")
        if unit == "share":
            axes.set_xlim(-0.02, 1.02)
    drawing.legend(handles=_legend(), loc="outside upper left", ncols=1 if narrow else 3, fontsize=8.5)
    save(drawing, path, score_caption(rows))


def _draw(axes: Any, rows: list[ScoreRow], narrow: bool) -> None:
    """Points with intervals, rules as bars, and the names."""
    for y, row in enumerate(rows):
        score, colour = row.score, ABOVE if row.verdict == "better" else GREY
        bounds = error_bars([score.value], [score.low], [score.high])
        axes.errorbar([score.value], [y], xerr=bounds, fmt="o", markersize=5, color=colour, linewidth=1.6)
        if score.reference[1] is not None:
            axes.plot([score.reference[1]] * 2, [y - 0.26, y + 0.26], color=BASELINE, linewidth=3, zorder=1)
        if narrow:
            axes.annotate(_name(row), (0, y - 0.42), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [""] * len(rows) if narrow else [_name(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.4, -0.7 if narrow else -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.margins(x=0.08)


def _name(row: ScoreRow) -> str:
    """Name of a row, with what is better where less is."""
    return row.name + {"lower": " (less is better)", "zero": " (0 is even)", "half": " (.5 is even)"}.get(
        row.score.better, ""
    )


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=ABOVE, marker="o", label="score better than every rule"),
        Line2D([], [], color=GREY, marker="o", label="not shown, worse, or no claim"),
        Line2D([], [], color=BASELINE, linewidth=3, label="best rule, or before tuning"),
    ]
