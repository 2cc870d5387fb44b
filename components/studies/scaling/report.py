"""Report of a sweep: metrics, plots and tables of the fits, their predictions and the measured losses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_json, write_text
from components.reporting.tables import markdown_table
from components.studies.scaling import law as scaling_law
from components.studies.scaling import plots, sweep
from components.studies.scaling.fits import Fits

MULTIPLES = (1, 3, 10, 30, 100)
"""Budgets of the table, in multiples of the largest that was fitted."""
HOURS = (1, 8, 24)
MEGAJOULES = (0.1, 1.0, 10.0)
FAR = 100.0
"""Multiple of the largest fitted compute beyond which an expected loss is marked as a guess."""


# -- predictions -------------------------------------------------------------------------------------------------------


def predictions(fits: Fits) -> list[dict[str, Any]]:
    """Predictions for the larger runs, written down before these are trained."""
    rows = []
    for cell, plan in sweep.larger(fits.params, fits.law):
        low, high = fits.interval(lambda law, one=plan: law.loss(one.candidate.size, one.tokens))  # type: ignore[misc]
        expected = {"loss": plan.loss, "low": low, "high": high, "straight_line": fits.line.loss(plan.flops)}
        size = {"width": cell.width, "size": cell.size, "tokens": cell.tokens, "flops": cell.flops}
        rows.append({"name": cell.name, "multiple": cell.budget / fits.largest} | size | expected)
    return rows


def checked(expected: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The predictions beside what was measured, with relative errors."""
    measured = {one["name"]: one["loss"] for one in results}
    rows = []
    for row in expected:
        loss = measured[row["name"]]
        errors = {"error": row["loss"] / loss - 1, "straight_line_error": row["straight_line"] / loss - 1}
        rows.append(row | {"measured": loss} | errors)
    return rows


# -- the way back ------------------------------------------------------------------------------------------------------


def speed(results: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """(FLOP/s of one training process, joules per FLOP), from the widest cells, which larger runs are most like."""
    widest = max(one["width"] for one in results)
    rows = [one for one in results if one["width"] == widest]
    flops = sum(one["flops"] for one in rows)
    return flops / sum(one["seconds"] for one in rows), sum(one["joules"] for one in rows) / flops


def best_rows(fits: Fits, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For budgets in FLOPs, hours and joules: the best size and tokens, and the loss to expect."""
    flops_per_s, joules_per_flop = speed(results)
    budgets = [(f"{multiple * fits.largest:.3g} FLOPs", multiple * fits.largest) for multiple in MULTIPLES]
    budgets += [(f"{hours} h", hours * 3600 * flops_per_s) for hours in HOURS]
    if joules_per_flop:
        budgets += [(f"{megajoules:g} MJ", megajoules * 1e6 / joules_per_flop) for megajoules in MEGAJOULES]
    candidates, rows = sweep.candidates(fits.params), []
    for name, flops in budgets:
        plan = scaling_law.best(fits.law, flops, candidates)
        low, high = fits.interval(lambda law, one=plan: law.loss(one.candidate.size, one.tokens))  # type: ignore[misc]
        rows.append({
            "budget": name, "flops": flops, "width": int(plan.candidate.label), "size": plan.candidate.size,
            "tokens": plan.tokens, "loss": plan.loss, "low": low, "high": high,
            "hours": flops / flops_per_s / 3600, "megajoules": flops * joules_per_flop / 1e6,
        })  # fmt: skip
    return rows


# -- written -----------------------------------------------------------------------------------------------------------


def write(fits: Fits, expected: list[dict[str, Any]], results: list[dict[str, Any]], folder: Path) -> str:
    """Write scaling.json, report.md and the plots; returns the report's text."""
    checks = checked(expected, results)
    table = best_rows(fits, results)
    found = {"fits": fits.as_dict(), "checks": checks, "best": table, "cells": results, "goals": goals(checks)}
    write_json(folder / "scaling.json", rounded(found))
    text = _markdown(fits, checks, table)
    write_text(folder / "report.md", text)
    plots.laws(fits, checks, folder / "scaling.png")
    plots.ladder(results, fits.params.objective, folder / "ladder.png")
    return text


def goals(checks: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The benchmark's figures: relative error at each multiple, and against the straight line's over all of them."""
    found = {f"scaling_error_{row['multiple']:.3g}x": abs(row["error"]) for row in checks}
    line = sum(abs(row["straight_line_error"]) for row in checks)
    found["scaling_error_vs_straight_line"] = sum(abs(row["error"]) for row in checks) / max(line, 1e-12)
    return found


def _markdown(fits: Fits, checks: Sequence[dict[str, Any]], table: Sequence[dict[str, Any]]) -> str:
    law = fits.law
    text = "held-out text" if fits.params.objective == "causal" else "hidden tokens of held-out text"
    low, high = fits.interval(lambda one: one.optimum_exponent)
    exponent = f"{fits.exponent:.2f}" if fits.exponent is not None else f"none: {fits.reason}"
    lines = [
        "# Scaling",
        "",
        f"{len(fits.results)} {fits.params.objective} runs; loss in bits per byte of {text}; equal runs with other "
        f"seeds differ by {fits.seed_spread:.4f} (standard deviation).",
        "",
        f"    L(N, D) = {law.floor:.3f} + {law.size_scale:.4g} / N^{law.size_exponent:.3f} "
        f"+ {law.token_scale:.4g} / D^{law.token_exponent:.3f}",
        "",
        f"- by this law the best size grows as compute to the power {law.optimum_exponent:.2f} "
        f"(95%: {low:.2f} to {high:.2f})",
        f"- by the parabolas: {exponent}",
        "",
        markdown_table(CHECK_COLUMNS, map(_check_cells, checks), "l" * len(CHECK_COLUMNS)),
        "",
        markdown_table(BEST_COLUMNS, [_best_cells(row, fits.largest) for row in table], "l" * len(BEST_COLUMNS)),
    ]
    return "\n".join(lines) + "\n"


CHECK_COLUMNS = ("larger run", "weights", "tokens", "predicted", "95%", "measured", "error", "straight line's error")
BEST_COLUMNS = ("budget", "width", "weights", "tokens", "expected", "95%", "hours", "MJ")


def _check_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['multiple']:.3g}x, {row['flops']:.3g} FLOPs", f"{row['size'] / 1e3:.0f} k",
        f"{row['tokens'] / 1e6:.2f} M", f"{row['loss']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}",
        f"{row['measured']:.3f}", f"{row['error']:+.2%}", f"{row['straight_line_error']:+.2%}",
    )  # fmt: skip


def _best_cells(row: dict[str, Any], largest: float) -> tuple[str, ...]:
    far = " (far beyond what was run)" if row["flops"] > FAR * largest else ""
    return (
        row["budget"], row["width"], f"{row['size'] / 1e6:.3g} M", f"{row['tokens'] / 1e6:.3g} M",
        f"{row['loss']:.3f}{far}", f"{row['low']:.3f} to {row['high']:.3f}", f"{row['hours']:.2g}",
        f"{row['megajoules']:.2g}",
    )  # fmt: skip
