"""Pictures of the bias stage: keep ratios with intervals, mentions per group and source, toxicity within source."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from components.stages.bias.disparate_impact import Impact

DARK, LIGHT, WARN = "#1b5e4b", "#9aa7a1", "#b5452c"


def plot_impact(rows: "list[Impact]", limit: float, path: Path) -> None:
    """Ratio of keep rates per group with its interval, beside the ratio of the filter without masking."""
    rows = [row for row in rows if np.isfinite([row.ratio.value, row.ratio.high, row.ratio_unmasked.value]).all()]
    figure, axes = _figure(7.5, 1.6 + 0.32 * max(4, len(rows)))
    if not rows:
        axes.text(0.5, 0.5, "no group is mentioned often enough to compare", ha="center", transform=axes.transAxes)
    y = np.arange(len(rows))[::-1]
    value = np.array([row.ratio.value for row in rows])
    low = np.array([value_ - row.ratio.low for value_, row in zip(value, rows, strict=True)])
    high = np.array([row.ratio.high - value_ for value_, row in zip(value, rows, strict=True)])
    if rows:
        axes.scatter(
            [row.ratio_unmasked.value for row in rows], y, marker="x", color=WARN, label="without masking", zorder=3
        )
        axes.errorbar(
            value, y, xerr=np.abs([low, high]), fmt="o", color=DARK, capsize=3, label="as used, 95%", zorder=4
        )
    axes.axvline(1, color=LIGHT, lw=1)
    left = min([limit, *(row.ratio.low for row in rows), *(row.ratio_unmasked.value for row in rows)])
    if left < (limit + 1) / 2:
        axes.axvline(limit, color=WARN, lw=1, ls="--", label=f"min_keep_ratio = {limit}")
    axes.set_yticks(y, [f"{row.group} ({row.documents:,})" for row in rows])
    axes.set_xlabel("keep rate, documents that mention the group / others of their source and length")
    axes.set_title("Who does the toxicity filter remove? (1 = as often as others)", loc="left")
    if rows:
        axes.legend(loc="best", frameon=False, fontsize=8)
    _save(figure, path)


def plot_mentions(rows: list[dict], path: Path) -> None:
    """Share of each source's documents that mention each group."""
    sources, groups = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "group"))
    share = np.array([100 * row["share"] for row in rows]).reshape(len(sources), len(groups)).T
    figure, axes = _figure(3.2 + 1.3 * len(sources), 1.4 + 0.3 * len(groups))
    if not rows:
        axes.text(0.5, 0.5, "no documents", ha="center", transform=axes.transAxes)
        return _save(figure, path)
    axes.imshow(np.sqrt(share), aspect="auto", cmap="Greens", vmin=0, vmax=10)
    for (y, x), value in np.ndenumerate(share):
        text = f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.2g}%"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if value > 45 else "black")
    axes.set_xticks(range(len(sources)), sources)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_title("Documents that mention a group", loc="left")
    _save(figure, path)


def plot_toxicity(rows: list[dict], path: Path) -> None:
    """Share of toxic sentences by group within each source, with Wilson intervals."""
    sources = list(dict.fromkeys(row["source"] for row in rows)) or [""]
    most = max([sum(row["source"] == source and "rate" in row for row in rows) for source in sources])
    figure, all_axes = _figures(len(sources), 3.8 * len(sources) + 1.2, 1.8 + 0.3 * max(4, most))
    for axes, source in zip(all_axes, sources, strict=True):
        ours = [row for row in rows if row["source"] == source and "rate" in row]
        y = np.arange(len(ours))[::-1]
        rate, low, high = (100 * np.array([row[key] for row in ours]) for key in ("rate", "low", "high"))
        axes.errorbar(
            rate, y, xerr=np.abs([rate - low, high - rate]), fmt="o", color=DARK, capsize=3, label="as written, 95%"
        )
        masked = [100 * row["rate_masked"] for row in ours]
        axes.scatter(masked, y, marker="|", s=90, color=WARN, zorder=3, label="masked")
        axes.set_yticks(y, [f"{row['group']} ({row['sentences']:,})" for row in ours])
        axes.set_xlabel("toxic sentences, %")
        axes.set_title(source, loc="left")
    all_axes[0].legend(loc="best", frameon=False, fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float) -> tuple:
    figure, axes = _figures(1, width, height)
    return figure, axes[0]


def _figures(count: int, width: float, height: float) -> tuple:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
