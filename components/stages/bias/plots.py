"""Pictures of the bias stage: removal ratios with intervals, mentions per group and source, toxicity within source."""

from pathlib import Path

import numpy as np

from components.reporting.figures import error_bars, figure, save
from components.stages.bias.disparate_impact import Impact

DARK, LIGHT, WARN = "#1b5e4b", "#9aa7a1", "#b5452c"
SHOWN_RATIOS = (0.02, 50.0)
"""Ends of the axis of ratios: what lies beyond is drawn at the edge."""


def plot_impact(rows: list[Impact], limit: float, path: Path) -> None:
    """Ratio of removal rates per group with its interval on a log axis, beside the ratio without masking."""
    rows = [row for row in rows if np.isfinite(row.ratio.value)]
    drawing, [axes] = figure(7.5, 1.6 + 0.32 * max(4, len(rows)))
    axes.set_xscale("log")
    if not rows:
        axes.text(0.5, 0.5, "nothing was removed that could be compared", ha="center", transform=axes.transAxes)
    y = np.arange(len(rows))[::-1]
    if rows:
        unmasked = [row.ratio_unmasked.value for row in rows]
        value, low, high = np.clip([(r.ratio.value, r.ratio.low, r.ratio.high) for r in rows], *SHOWN_RATIOS).T
        axes.scatter(np.clip(unmasked, *SHOWN_RATIOS), y, marker="x", color=WARN, label="without masking", zorder=3)
        bars = error_bars(value, low, high)
        axes.errorbar(value, y, xerr=bars, fmt="o", color=DARK, capsize=3, label="as used, 95%", zorder=4)
    axes.axvline(1, color=LIGHT, lw=1)
    axes.axvline(limit, color=WARN, lw=1, ls="--", label=f"max_removal_ratio = {limit:g}")
    axes.set_yticks(y, [f"{row.group} ({row.documents:,})" for row in rows])
    axes.set_xlabel("removal rate, documents that mention the group / others of their source and length")
    axes.set_title("Who does the toxicity filter remove? (1 = as often as others)", loc="left")
    if rows:
        axes.legend(loc="best", frameon=False, fontsize=8)
    save(drawing, path)


def plot_mentions(rows: list[dict], path: Path) -> None:
    """Share of each source's documents that mention each group."""
    sources, groups = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "group"))
    share = np.array([100 * row["share"] for row in rows]).reshape(len(sources), len(groups)).T
    drawing, [axes] = figure(3.2 + 1.3 * len(sources), 1.4 + 0.3 * len(groups))
    if not rows:
        axes.text(0.5, 0.5, "no documents", ha="center", transform=axes.transAxes)
        return save(drawing, path)
    axes.imshow(np.sqrt(share), aspect="auto", cmap="Greens", vmin=0, vmax=10)
    for (y, x), value in np.ndenumerate(share):
        text = f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.2g}%"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if value > 45 else "black")
    axes.set_xticks(range(len(sources)), sources)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_title("Documents that mention a group", loc="left")
    save(drawing, path)


def plot_toxicity(rows: list[dict], path: Path) -> None:
    """Share of toxic sentences by group within each source, with Wilson intervals."""
    sources = list(dict.fromkeys(row["source"] for row in rows)) or [""]
    most = max([sum(row["source"] == source and "rate" in row for row in rows) for source in sources])
    width, height = 3.8 * len(sources) + 1.2, 1.8 + 0.3 * max(4, most)
    drawing, grid = figure(width, height, columns=len(sources))
    for axes, source in zip(grid, sources, strict=True):
        ours = [row for row in rows if row["source"] == source and "rate" in row]
        y = np.arange(len(ours))[::-1]
        rate, low, high = (100 * np.array([row[key] for row in ours]) for key in ("rate", "low", "high"))
        bars = error_bars(rate, low, high)
        axes.errorbar(rate, y, xerr=bars, fmt="o", color=DARK, capsize=3, label="as written, 95%")
        masked = [100 * row["rate_masked"] for row in ours]
        axes.scatter(masked, y, marker="|", s=90, color=WARN, zorder=3, label="masked")
        axes.set_yticks(y, [f"{row['group']} ({row['sentences']:,})" for row in ours])
        axes.set_xlabel("toxic sentences, %")
        axes.set_title(source, loc="left")
    grid[0].legend(loc="best", frameon=False, fontsize=8)
    save(drawing, path)
