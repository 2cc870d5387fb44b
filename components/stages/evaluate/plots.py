"""Curves as pictures, and as CSV that `dvc plots` draws."""

import csv
import io
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_text, written_whole
from components.stages.evaluate.tasks.task import Curve

COLUMNS = ("series", "x", "y", "low", "high", "n")
COLOURS = ("#1b7837", "#762a83", "#b35806", "#2166ac", "#878787", "#d6604d")
DPI = 110
MANY_BARS = 16
"""More bars than this are drawn lying, so that their names can be read."""


def draw(curve: Curve, folder: Path) -> None:
    """Write `<name>.png` and `<name>.csv`."""
    write_csv(curve, folder / f"{curve.name}.csv")
    figure, axes = new_figure(curve)
    {"line": _lines, "diagonal": _lines, "bar": _bars}[curve.kind](curve, axes)
    axes.set_title(curve.title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    with written_whole(folder / f"{curve.name}.png") as path:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def write_csv(curve: Curve, path: Path) -> None:
    """The points, one a line; `y` is named after the axis in the header's last column order `dvc plots` expects."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in curve.points:
        writer.writerow(["" if point[name] is None else rounded(point[name]) for name in COLUMNS])
    write_text(path, out.getvalue())


def new_figure(curve: Curve) -> tuple[Any, Any]:
    """A figure whose size suits the curve, without any global state of pyplot."""
    from matplotlib.figure import Figure

    lying = curve.kind == "bar" and len(curve.points) > MANY_BARS
    size = (6.4, 0.17 * len(curve.points) + 1.2) if lying else (6.4, 4.0)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _lines(curve: Curve, axes: Any) -> None:
    """One line with its band per series."""
    names = list(dict.fromkeys(point["series"] for point in curve.points))
    for number, name in enumerate(names):
        points = [point for point in curve.points if point["series"] == name]
        x, y = ([point[key] for point in points] for key in ("x", "y"))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=name)
        if all(point["low"] is not None for point in points):
            low, high = ([point[key] for point in points] for key in ("low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    if curve.chance is not None:
        axes.axhline(curve.chance, color="#878787", linestyle="--", linewidth=1, label="chance")
    if curve.kind == "diagonal":
        axes.plot([0, 1], [0, 1], color="#878787", linestyle="--", linewidth=1, label="perfect")
    if curve.log2_x:
        from matplotlib.ticker import ScalarFormatter

        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(curve.x_label)
    axes.set_ylabel(curve.y_label)
    if len(names) > 1 or names != [""] or curve.chance is not None or curve.kind == "diagonal":
        axes.legend(fontsize=8, frameon=False)


def _bars(curve: Curve, axes: Any) -> None:
    """One bar per category, with its interval; many bars lie on their side."""
    lying = len(curve.points) > MANY_BARS
    names, y = [str(point["x"]) for point in curve.points], [point["y"] for point in curve.points]
    places = list(range(len(names)))
    (axes.barh if lying else axes.bar)(places, y, color=COLOURS[0], alpha=0.8)
    bounded = [point for point in curve.points if point["low"] is not None]
    if len(bounded) == len(names):
        errors = [
            [max(0.0, point["y"] - point["low"]) for point in bounded],
            [max(0.0, point["high"] - point["y"]) for point in bounded],
        ]
        axes.errorbar(places, y, yerr=errors, fmt="none", ecolor="black", elinewidth=1, capsize=3)
    if lying:
        axes.set_yticks(places, names, fontsize=7)
        axes.set_xlabel(curve.y_label)
        axes.margins(y=0.01)
    else:
        axes.set_xticks(
            places, names, rotation=30 if len(names) > 3 else 0, ha="right" if len(names) > 3 else "center", fontsize=8
        )
        axes.set_ylabel(curve.y_label)
    if curve.chance is not None:
        (axes.axvline if lying else axes.axhline)(curve.chance, color="#878787", linestyle="--", linewidth=1)
