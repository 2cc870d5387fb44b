"""Plots of what it cost: where the energy went, the loss each gram bought, and forecasts beside what came of them."""

import csv
from pathlib import Path
from typing import Any

from components.files import written_whole


def plot_energy(cost: dict[str, Any], path: Path) -> None:
    """Watt-hours per stage, by component, with the bounds of the sum."""
    from matplotlib.figure import Figure

    stages = list(cost["parts"])
    names = sorted({name for parts in cost["parts"].values() for name in parts})
    figure = Figure(figsize=(9, 0.35 * max(3, len(stages)) + 1.4), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(stages)
    for name in names:
        widths = [cost["parts"][stage].get(name, [0.0] * 3)[1] * 1000 for stage in stages]
        axes.barh(stages, widths, left=left, label=f"{name} ({cost['sources'].get(name, '').split(':')[0]})")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    bounds = [[sum(part[i] for part in cost["parts"][stage].values()) * 1000 for stage in stages] for i in (0, 2)]
    if stages:
        errors = [
            [m - low for m, low in zip(left, bounds[0], strict=True)],
            [h - m for m, h in zip(left, bounds[1], strict=True)],
        ]
        axes.errorbar(
            left, stages, xerr=errors, fmt="none", ecolor="black", capsize=3, linewidth=1, label="low to high"
        )
        axes.invert_yaxis()
        axes.legend(fontsize=8)
    axes.set_xlabel("energy of this machine (Wh), earlier attempts included")
    axes.set_title("Where the energy went")
    _save(figure, path)


def plot_forecasts(rows: list[dict[str, Any]], path: Path, most: int = 200) -> None:
    """Every checked forecast: what was forecast against what it took, with 80 % intervals. Removed if there is none."""
    from matplotlib.figure import Figure

    path.unlink(missing_ok=True)
    if not rows:
        return
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    units = (("seconds", "actual_seconds", 1.0, "seconds"), ("kwh", "actual_kwh", 1000.0, "Wh"))
    for axes, (said, took, scale, unit) in zip(figure.subplots(1, 2), units, strict=True):
        actual = [row[took] * scale for row in rows[-most:]]
        low, mid, high = ([row[said][i] * scale for row in rows[-most:]] for i in range(3))
        errors = [[m - a for m, a in zip(mid, low, strict=True)], [b - m for m, b in zip(mid, high, strict=True)]]
        axes.errorbar(actual, mid, yerr=errors, fmt="o", markersize=3, linewidth=0.8, alpha=0.7)
        ends = [min(actual + low), max(actual + high)]
        axes.plot(ends, ends, color="black", linewidth=0.8, label="forecast = actual")
        axes.set(xscale="log", yscale="log", xlabel=f"actual ({unit})", ylabel=f"forecast ({unit}), 80 % interval")
        axes.legend(fontsize=8)
    inside = sum(row["seconds"][0] <= row["actual_seconds"] <= row["seconds"][2] for row in rows)
    figure.suptitle(f"Forecasts of {len(rows)} stage runs; {inside} within their interval of seconds")
    _save(figure, path)


def plot_loss_per_gram(cost: dict[str, Any], reports: Path) -> None:
    """Held-out loss against the CO2e spent on training until then, one line per pretrained model."""
    from matplotlib.figure import Figure

    path = reports / "loss_per_gram.png"
    path.unlink(missing_ok=True)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes, drawn = figure.subplots(), 0
    for branch in ("causal", "masked"):
        curve = _curve(reports / "pretrain" / branch / "plots" / "heldout.csv")
        grams = cost["stages"].get(f"pretrain@{branch}", {}).get("grams", [0.0] * 3)[1]
        if curve and grams:
            last = curve[-1][0]
            axes.plot([grams * step / last for step, _ in curve], [loss for _, loss in curve], "o-", label=branch)
            drawn += 1
    if drawn:
        axes.set(xlabel="gCO2e of pretraining until then (mid)", ylabel="held-out loss (nats per target)")
        axes.set_title("What each gram bought")
        axes.legend(fontsize=8)
        _save(figure, path)


def _curve(path: Path) -> list[tuple[float, float]]:
    """Step and loss of a held-out curve; empty if there is none."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(file) if float(row["step"]) > 0]


def _save(figure: Any, path: Path) -> None:
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
