"""Plots of what it cost: where the energy went, the loss each gram bought, and forecasts beside what came of them."""

import csv
from pathlib import Path
from typing import Any

from components.carbon.planning.forecast import ORCHESTRATION_NAME
from components.reporting.figures import error_bars, figure, save
from components.stages.account.types import Cost


def plot_energy(cost: Cost, path: Path) -> None:
    """Watt-hours per stage and around them, by component, with the bounds of the sum."""
    rows = cost.parts | ({ORCHESTRATION_NAME: around} if (around := cost.orchestration_parts) else {})
    stages = list(rows)
    names = sorted({name for parts in rows.values() for name in parts})
    drawing, [axes] = figure(9, 0.35 * max(3, len(stages)) + 1.4)
    left = [0.0] * len(stages)
    for name in names:
        widths = [rows[stage].get(name, [0.0] * 3)[1] * 1000 for stage in stages]
        axes.barh(stages, widths, left=left, label=f"{name} ({cost.sources.get(name, '').split(':')[0]})")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    low, high = ([sum(part[i] for part in rows[stage].values()) * 1000 for stage in stages] for i in (0, 2))
    if stages:
        bars = error_bars(left, low, high)
        axes.errorbar(left, stages, xerr=bars, fmt="none", ecolor="black", capsize=3, linewidth=1, label="low to high")
        for stage, mid, end in zip(stages, left, high, strict=True):
            axes.annotate(f"{mid:.3g}", (end, stage), (6, 0), textcoords="offset points", va="center", fontsize=8)
        axes.margins(x=0.08)
        axes.invert_yaxis()
        axes.legend(fontsize=8)
    axes.set_xlabel("energy of this machine (Wh), earlier attempts included")
    axes.set_title("Where the energy went")
    save(drawing, path)


def plot_forecasts(rows: list[dict[str, Any]], path: Path, most: int = 200) -> None:
    """Every checked forecast: what was forecast against what it took, with 80 % intervals. Removed if there is none."""
    path.unlink(missing_ok=True)
    if not rows:
        return
    drawing, grid = figure(10.5, 4.2, columns=2)
    units = (("seconds", "actual_seconds", 1.0, "seconds"), ("kwh", "actual_kwh", 1000.0, "Wh"))
    for axes, (said, took, scale, unit) in zip(grid, units, strict=True):
        _draw_forecasts(axes, rows[-most:], said, took, scale)
        axes.set(xlabel=f"actual ({unit})", ylabel=f"forecast ({unit}), 80 % interval")
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    inside = sum(row["seconds"][0] <= row["actual_seconds"] <= row["seconds"][2] for row in rows)
    drawing.suptitle(f"Forecasts of {len(rows)} stage runs; {inside} within their interval of seconds")
    save(drawing, path)


def _draw_forecasts(axes: Any, rows: list[dict[str, Any]], said: str, took: str, scale: float) -> None:
    """A colour for each stage, the same range on both axes: above the diagonal is too much, below too little."""
    from matplotlib import colormaps
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    for number, stage in enumerate(stages):
        own = [row for row in rows if row["stage"] == stage]
        low, mid, high = ([row[said][i] * scale for row in own] for i in range(3))
        actual, color = [row[took] * scale for row in own], colormaps["tab20"](number % 20)
        bars = error_bars(mid, low, high)
        axes.errorbar(actual, mid, bars, fmt="o", markersize=4, linewidth=0.9, alpha=0.8, color=color, label=stage)
    values = [value * scale for row in rows for value in (*row[said], row[took])]
    ends = [0.8 * min(values), 1.25 * max(values)]
    axes.plot(ends, ends, color="black", linewidth=0.8, label="forecast = actual")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def plot_loss_per_gram(cost: Cost, reports: Path) -> None:
    """Held-out loss against the CO2e spent on training until then, one line per pretrained model."""
    path = reports / "loss_per_gram.png"
    path.unlink(missing_ok=True)
    drawing, [axes] = figure(7, 4)
    drawn = 0
    for branch in ("causal", "masked"):
        curve = _curve(reports / "pretrain" / branch / "details" / "heldout.csv")
        low, grams, high = cost.stages.get(f"pretrain@{branch}", cost.nothing).grams
        if curve and grams:
            last, label = curve[-1][0], f"{branch}: {grams:.2g} g in all ({low:.2g} to {high:.2g})"
            axes.plot([grams * step / last for step, _ in curve], [loss for _, loss in curve], "o-", label=label)
            drawn += 1
    if drawn:
        axes.set(xlabel="gCO2e of pretraining until then (mid)", ylabel="held-out loss (nats per target)")
        axes.set_title("What each gram bought")
        axes.legend(fontsize=8)
        save(drawing, path)


def _curve(path: Path) -> list[tuple[float, float]]:
    """Step and loss of a held-out curve; empty if there is none."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(file) if float(row["step"]) > 0]
