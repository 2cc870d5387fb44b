"""The forest plot: every score with its interval, beside the best rule, a panel per unit."""

from pathlib import Path
from typing import Any

from components.reporting.figures import COLOURS, GREY, error_bars, figure, save
from components.stages.account.answer_text import beside_text
from components.stages.account.score_rows import ScoreRow

UNITS = {"share": "share of items (0 to 1)", "bits": "bits", "nats": "nats", "number": "number"}
ABOVE, BASELINE = COLOURS[0], COLOURS[1]


def score_caption(rows: list[ScoreRow]) -> str:
    """What the plot shows, with every figure, for those who do not see it."""
    said = [
        f"{row.name} {row.score.value:.3f}" + (f" ({text})" if (text := beside_text(row.score)) else "") for row in rows
    ]
    return f"Scores and the rules beside them: {'; '.join(said)}."


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
    for place, row in enumerate(rows):
        score, colour = row.score, ABOVE if row.verdict == "better" else GREY
        bounds = error_bars([score.value], [score.low], [score.high])
        axes.errorbar([score.value], [place], xerr=bounds, fmt="o", markersize=5, color=colour, linewidth=1.6)
        if score.beside[1] is not None:
            axes.plot([score.beside[1]] * 2, [place - 0.26, place + 0.26], color=BASELINE, linewidth=3, zorder=1)
        if narrow:
            axes.annotate(_name(row), (0, place - 0.42), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
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
        Line2D([], [], color=BASELINE, linewidth=3, label="best rule"),
    ]
