"""Pictures of a sweep: loss against size, data and compute with the fits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.reporting.figures import error_bars, figure, save
from components.studies.scaling import law, sweep
from components.studies.scaling.fits import Fits

DPI = 90
LOSS = {"causal": "held-out bits per byte", "masked": "held-out bits per hidden byte"}


def laws(fits: Fits, checks: Sequence[dict[str, Any]], path: Path) -> None:
    """Three panels: loss against size, against tokens, against compute."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    drawing, [size, data, compute] = figure(13, 4.3, columns=3)
    _sizes(size, fits)
    _tokens(data, fits)
    _compute(compute, fits, checks)
    for axes in (size, data, compute):
        axes.set(xscale="log", ylabel=LOSS[fits.params.objective])
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7)
    save(drawing, path, dpi=DPI)


def _sizes(axes: Any, fits: Fits) -> None:
    """Runs of equal compute, their parabolas, and the best sizes."""
    for number, one in enumerate(fits.minima):
        budget = sorted(fits.params.budgets)[number]
        points = [sweep.point(row) for row in fits.results if row["budget"] == budget]
        axes.plot([p.size for p in points], [p.loss for p in points], "o", color=f"C{number}", markersize=4)
        grid = np.geomspace(min(p.size for p in points), max(p.size for p in points), 60)
        label = f"{budget:.3g} FLOPs" + (" (edge)" if one.edge else "")
        axes.plot(grid, np.polyval(one.curve, np.log(grid)), color=f"C{number}", linewidth=1, label=label)
        if not one.edge:
            axes.plot([one.size], [one.loss], "*", color=f"C{number}", markersize=11)
    axes.set(title="Equal compute: size (star: best)", xlabel="weights in products, N")


def _tokens(axes: Any, fits: Fits) -> None:
    """Loss against tokens for each size, with the law's curves."""
    for number, width in enumerate(sorted({row["width"] for row in fits.results})):
        points = [sweep.point(row) for row in fits.results if row["width"] == width]
        axes.plot([p.tokens for p in points], [p.loss for p in points], "o", color=f"C{number}", markersize=4)
        grid = np.geomspace(min(p.tokens for p in points), max(p.tokens for p in points), 40)
        curve = [fits.law.loss(points[0].size, tokens) for tokens in grid]
        axes.plot(grid, curve, color=f"C{number}", linewidth=1, label=f"width {width}")
    axes.set(title="Data (lines: the law)", xlabel="tokens, D")


def _compute(axes: Any, fits: Fits, checks: Sequence[dict[str, Any]]) -> None:
    """All runs, the law's frontier, the power law, predictions and what came of them."""
    axes.plot([row["flops"] for row in fits.results], [row["loss"] for row in fits.results], ".", color="0.6")
    far = max([row["flops"] for row in checks], default=fits.largest)
    grid = np.geomspace(min(fits.params.budgets), far, 40)
    candidates = sweep.candidates(fits.params)
    plans = [law.best(fits.law, flops, candidates) for flops in grid]
    axes.plot(grid, [plan.loss for plan in plans], color="C0", label="law, best size")
    axes.plot(grid, [fits.rival.loss(flops) for flops in grid], ":", color="C3", label="power law with a floor")
    axes.axvline(fits.largest, color="0.8", linewidth=1)
    for row in checks:
        bars = error_bars([row["loss"]], [row["low"]], [row["high"]])
        axes.errorbar([row["flops"]], [row["loss"]], bars, fmt="D", color="C0", markersize=5, capsize=3)
        axes.plot([row["flops"]] * len(row["losses"]), row["losses"], "x", color="k", markersize=6)
    axes.plot([], [], "D", color="C0", label="predicted")
    axes.plot([], [], "x", color="k", label="measured after")
    axes.set(title="Compute", xlabel="floating-point operations, C")
