"""Report of a sweep: plots and tables of the fits, their predictions and the measured losses."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import rounded, write_json, write_text
from components.reporting.figures import error_bars, figure, save
from components.reporting.tables import Page, markdown_table
from components.studies.scaling import law, sweep
from components.studies.scaling.fits import Fits

# -- predictions -------------------------------------------------------------------------------------------------------


def predictions(fits: Fits) -> list[dict[str, Any]]:
    """Predictions for the larger runs, written down before these are trained."""
    rows = []
    for plan in sweep.larger(fits.params, fits.law):
        width = int(plan.candidate.label)
        cell = sweep.check_cells(fits.params, width, plan.flops)[0]
        row = {"multiple": plan.flops / fits.largest, "budget": plan.flops, "width": width, "size": cell.size}
        row |= {"tokens": cell.tokens, "flops": cell.flops} | fits.prediction(cell.size, cell.tokens)
        rows.append(row | {"power_law": fits.rival.loss(cell.flops), "last_ratio": fits.last_ratio(cell.flops)})
    return rows


ERRORS = {"error": "loss", "power_law_error": "power_law", "last_ratio_error": "last_ratio"}
"""Relative error -> the prediction it is of."""


def checked(expected: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The predictions beside what was measured.

    Returns:
        A row per prediction with `losses` of its runs (one per seed), their mean `measured`, the
        relative `error` against it with its standard error `error_se`, and those of the two rivals.
    """
    rows = []
    for row in expected:
        losses = [run["loss"] for run in results if (run["width"], run["budget"]) == (row["width"], row["budget"])]
        mean = statistics.fmean(losses)
        spread = statistics.stdev(losses) / math.sqrt(len(losses)) / mean
        errors = {name: row[of] / mean - 1 for name, of in ERRORS.items()} | {"error_se": spread}
        rows.append(row | {"losses": losses, "measured": mean} | errors)
    return rows


# -- written -----------------------------------------------------------------------------------------------------------


def write(
    fits: Fits, expected: list[dict[str, Any]], results: list[dict[str, Any]], folder: Path
) -> dict[str, float | None]:
    """Write scaling.json, report.md and the plots; returns the goals."""
    checks = checked(expected, results)
    settings, figures = fits.params.model_dump(mode="json"), goals(checks)
    facts = {"settings": settings, "fits": fits.as_dict(), "checks": checks, "cells": results, "goals": figures}
    write_json(folder / "scaling.json", rounded(facts))
    write_text(folder / "report.md", _markdown(fits, checks))
    laws(fits, checks, folder / "scaling.png")
    return figures


def goals(checks: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The benchmark's figures: mean relative error at each multiple and its standard error, and against the rival's."""
    figures = {f"scaling_error_{row['multiple']:.3g}x": abs(row["error"]) for row in checks}
    figures |= {f"scaling_error_{row['multiple']:.3g}x_se": row["error_se"] for row in checks}
    rival = sum(abs(row["power_law_error"]) for row in checks)
    return figures | {"scaling_error_vs_power_law": sum(abs(row["error"]) for row in checks) / max(rival, 1e-12)}


def _markdown(fits: Fits, checks: Sequence[dict[str, Any]]) -> str:
    law = fits.law
    text = "held-out text" if fits.params.objective == "causal" else "hidden tokens of held-out text"
    low, high = fits.interval(lambda law: law.optimum_exponent)
    floor, power = fits.interval(lambda law: law.floor), fits.interval(lambda law: law.power)
    exponent = f"{fits.exponent:.2f}" if fits.exponent is not None else f"none: {fits.reason}"
    page = Page("Scaling", None)
    page.add(
        f"{len(fits.results)} {fits.params.objective} runs; loss in bits per byte of {text}; equal runs with other "
        f"seeds differ by {fits.seed_spread:.4f} (standard deviation).",
        f"    L(N, D) = {law.floor:.3f} + (({law.size_scale:.4g} / N^{law.size_exponent:.3f})^{law.power:.2f} "
        f"+ ({law.token_scale:.4g} / D^{law.token_exponent:.3f})^{law.power:.2f})^(1/{law.power:.2f})",
        f"- 95% of the floor: {floor[0]:.2f} to {floor[1]:.2f}; of the power: {power[0]:.2f} to {power[1]:.2f} (at 1 "
        "the law is a sum; the larger, the more the loss is what the scarcer of size and data permits)\n"
        f"- by this law the best size grows as compute to the power {law.optimum_exponent:.2f} "
        f"(95%: {low:.2f} to {high:.2f})\n"
        f"- by the parabolas: {exponent}",
        markdown_table(CHECK_COLUMNS, map(_check_cells, checks), "l" * len(CHECK_COLUMNS)),
        "The interval of a prediction is for the mean of its runs and covers the uncertainty of its fit and of seeds.",
    )
    if fits.params.seeds < ENOUGH_SEEDS:
        page.add(
            f"Standard errors are of {fits.params.seeds} runs each, of which they may be several times too small; "
            f"set `seeds` of the sweep to {ENOUGH_SEEDS} or more for errors to rely on."
        )
    return page.markdown


ENOUGH_SEEDS = 3
"""Runs from which the standard error of their mean says something."""
CHECK_COLUMNS = (
    "larger runs", "weights", "tokens", "predicted", "95%", "measured, mean", "error (standard error)",
    "error of a power law with a floor", "of the last doubling's ratio",
)  # fmt: skip


def _check_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['multiple']:.3g}x, {row['flops']:.3g} FLOPs, {len(row['losses'])} seeds", f"{row['size'] / 1e3:.0f} k",
        f"{row['tokens'] / 1e6:.2f} M", f"{row['loss']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}",
        f"{row['measured']:.3f}", f"{row['error']:+.2%} ({row['error_se']:.2%})", f"{row['power_law_error']:+.2%}",
        f"{row['last_ratio_error']:+.2%}",
    )  # fmt: skip


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
