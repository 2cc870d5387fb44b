"""Curves as pictures, and as CSV that `dvc plots` draws."""

from pathlib import Path
from typing import Any

from components.reporting.figures import error_bars, figure, save
from components.reporting.tables import write_table
from components.stages.evaluate.tasks.task import Curve

COLUMNS = ("series", "x", "y", "low", "high", "n")
COLOURS = ("#1b7837", "#762a83", "#b35806", "#2166ac", "#878787", "#d6604d")
MANY_BARS = 16
"""More bars than this are drawn lying, so that their names can be read."""


def draw(curve: Curve, folder: Path) -> None:
    """Write `<name>.png` and `<name>.csv`."""
    rows = ([point[name] for name in COLUMNS] for point in curve.points)
    write_table(folder / f"{curve.name}.csv", COLUMNS, rows)
    lying = curve.kind == "bar" and len(curve.points) > MANY_BARS
    drawing, [axes] = figure(6.4, 0.17 * len(curve.points) + 1.2 if lying else 4.0, frame=False)
    {"line": _lines, "diagonal": _lines, "bar": _bars}[curve.kind](curve, axes)
    axes.set_title(curve.title, fontsize=11, loc="left")
    save(drawing, folder / f"{curve.name}.png")


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
        low, high = ([point[key] for point in bounded] for key in ("low", "high"))
        axes.errorbar(places, y, yerr=error_bars(y, low, high), fmt="none", ecolor="black", elinewidth=1, capsize=3)
    if lying:
        axes.set_yticks(places, names, fontsize=7)
        axes.set_xlabel(curve.y_label)
        axes.margins(y=0.01)
    else:
        rotation, side = (30, "right") if len(names) > 3 else (0, "center")
        axes.set_xticks(places, names, rotation=rotation, ha=side, fontsize=8)
        axes.set_ylabel(curve.y_label)
    if curve.chance is not None:
        (axes.axvline if lying else axes.axhline)(curve.chance, color="#878787", linestyle="--", linewidth=1)
