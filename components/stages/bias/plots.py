"""Pictures of the bias stage: removal ratios with intervals, mentions per group and source, toxicity within source."""

from pathlib import Path
from typing import Any

import numpy as np

from components.reporting.figures import COLOURS, GREY, WIDTH, chart, figure, intervals, legend, save
from components.stages.bias.disparate_impact import Impact

SHOWN_RATIOS = (0.02, 50.0)
"""Ends of the axis of ratios: what lies beyond is drawn at the edge."""


def plot_impact(rows: list[Impact], limit: float, path: Path) -> None:
    """Ratio of removal rates per group with its interval on a log axis, beside the ratio without masking."""
    rows = [row for row in rows if np.isfinite(row.ratio.value)]
    caption = (
        "How often documents that mention a group are removed, relative to others of their source and length; 1 is as "
        "often. A ratio is left out where no other document was removed, and drawn at the edge where it is beyond."
        if rows
        else "Nothing was removed that could be compared."
    )
    labels: dict[str, Any] = {"xscale": "log", "xlabel": "ratio of removal rates"}
    with chart(path, caption, 1.3 + 0.28 * max(4, len(rows)), **labels) as axes:
        ratios = np.clip([(row.ratio.value, row.ratio.low, row.ratio.high) for row in rows], *SHOWN_RATIOS)
        intervals(axes, [f"{row.group} ({row.documents:,})" for row in rows], ratios, "as used, 95% interval")
        known = [place for place, row in enumerate(rows) if np.isfinite(row.ratio_unmasked.value)]
        unmasked = np.clip([rows[place].ratio_unmasked.value for place in known], *SHOWN_RATIOS)
        axes.scatter(unmasked, known, marker="x", color=COLOURS[3], label="without masking", zorder=3)
        axes.axvline(1, color=GREY, lw=1)
        axes.axvline(limit, color=COLOURS[3], lw=1, ls="--", label=f"max_removal_ratio = {limit:g}")
        axes.xaxis.set_major_formatter("{x:g}")


def plot_mentions(rows: list[dict], path: Path) -> None:
    """Share of each source's documents that mention each group."""
    sources, groups = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "group"))
    share = np.array([100 * row["share"] for row in rows]).reshape(len(sources), len(groups)).T
    with chart(path, "Per cent of each source's documents that mention a group.", 0.8 + 0.25 * len(groups)) as axes:
        if rows:
            axes.imshow(np.sqrt(share), aspect="auto", cmap="Greens", vmin=0, vmax=10)
        for (y, x), value in np.ndenumerate(share):
            text = f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.2g}%"
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if value > 45 else "black")
        axes.set_xticks(range(len(sources)), sources)
        axes.set_yticks(range(len(groups)), groups)


def plot_toxicity(rows: list[dict], path: Path) -> None:
    """Share of toxic sentences by group within each source, with Wilson intervals; a panel per source."""
    sources = list(dict.fromkeys(row["source"] for row in rows)) or [""]
    shown = {source: [row for row in rows if row["source"] == source and "rate" in row] for source in sources}
    heights = [0.8 + 0.24 * max(2, len(members)) for members in shown.values()]
    drawing, grid = figure(WIDTH, sum(heights), rows=len(sources), height_ratios=heights)
    for axes, (source, members) in zip(grid, shown.items(), strict=True):
        rates = [[100 * row[key] for key in ("rate", "low", "high")] for row in members]
        names = [f"{row['group']} ({row['sentences']:,})" for row in members]
        intervals(axes, names, rates, "as written, 95% interval")
        masked = [100 * row["rate_masked"] for row in members]
        axes.scatter(masked, range(len(masked)), marker="|", s=90, color=COLOURS[3], zorder=3, label="identity masked")
        axes.set(title=source, xlabel="toxic sentences, %")
    legend(grid[0])
    save(drawing, path, "Sentences that score as toxic, by the group that they mention, within each source.")
