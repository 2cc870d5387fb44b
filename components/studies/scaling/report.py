"""Report of a sweep: metrics, plots and tables of the fits, their predictions and the measured losses."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_json, write_text
from components.reporting.tables import Page, markdown_table
from components.studies.scaling import plots, sweep
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
        rows.append(row | {"power_law": fits.rival.loss(cell.flops)})
    return rows


def checked(expected: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The predictions beside what was measured.

    Returns:
        A row per prediction with `losses` of its runs (one per seed), their mean `measured`, the relative `error`
        against it with its standard error `error_se`, and `power_law_error`.
    """
    rows = []
    for row in expected:
        losses = [run["loss"] for run in results if (run["width"], run["budget"]) == (row["width"], row["budget"])]
        mean = statistics.fmean(losses)
        spread = statistics.stdev(losses) / math.sqrt(len(losses)) / mean
        errors = {"error": row["loss"] / mean - 1, "error_se": spread, "power_law_error": row["power_law"] / mean - 1}
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
    plots.laws(fits, checks, folder / "scaling.png")
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
    page.say(
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
        "The interval of a prediction is for the mean of its runs and covers the uncertainty of its fit and of "
        "seeds. Sizes for other budgets: `greenhouse plan --best`.",
    )
    if fits.params.seeds < ENOUGH_SEEDS:
        page.say(
            f"Standard errors are of {fits.params.seeds} runs each, of which they may be several times too small; "
            f"set `seeds` of the sweep to {ENOUGH_SEEDS} or more for errors to rely on."
        )
    return page.markdown


ENOUGH_SEEDS = 3
"""Runs from which the standard error of their mean says something."""
CHECK_COLUMNS = (
    "larger runs", "weights", "tokens", "predicted", "95%", "measured, mean", "error (standard error)",
    "error of a power law with a floor",
)  # fmt: skip


def _check_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['multiple']:.3g}x, {row['flops']:.3g} FLOPs, {len(row['losses'])} seeds", f"{row['size'] / 1e3:.0f} k",
        f"{row['tokens'] / 1e6:.2f} M", f"{row['loss']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}",
        f"{row['measured']:.3f}", f"{row['error']:+.2%} ({row['error_se']:.2%})", f"{row['power_law_error']:+.2%}",
    )  # fmt: skip
