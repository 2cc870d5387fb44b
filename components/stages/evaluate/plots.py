"""Curves as pictures, which `dvc plots show` lays side by side, and as tables."""

from pathlib import Path
from typing import Any

from components.reporting.figures import COLOURS, GREY, WIDTH, figure, intervals, legend, save
from components.reporting.tables import write_table
from components.stages.evaluate.tasks.task import Curve

COLUMNS = ("series", "x", "y", "low", "high", "n")


def draw(curve: Curve, reports: Path) -> None:
    """Write `plots/<name>.png` and `details/curves/<name>.csv`."""
    rows = ([point[name] for name in COLUMNS] for point in curve.points)
    write_table(reports / "details" / "curves" / f"{curve.name}.csv", COLUMNS, rows)
    drawing, [axes] = figure(WIDTH, 0.19 * len(curve.points) + 0.9 if curve.kind == "bar" else 3.0)
    {"line": _lines, "diagonal": _lines, "bar": _categories}[curve.kind](curve, axes)
    save(drawing, reports / "plots" / f"{curve.name}.png", caption_of(curve))


def caption_of(curve: Curve) -> str:
    """A sentence on what the picture shows."""
    against = f" against {curve.x_label}" if curve.x_label else ""
    bounded = all(point["low"] is not None for point in curve.points)
    marks = {
        "lines are 95% intervals" if curve.kind == "bar" else "bands are 95% intervals": bounded,
        f"the dashed line is {curve.line}": curve.chance is not None,
        "the dashed line is perfect calibration": curve.kind == "diagonal",
    }
    shown = " and ".join(words for words, there in marks.items() if there)
    return f"{curve.title}: {curve.y_label}{against}{'; ' if shown else ''}{shown}."


def _lines(curve: Curve, axes: Any) -> None:
    """One line with its band per series."""
    names, band = list(dict.fromkeys(point["series"] for point in curve.points)), None
    for number, name in enumerate(names):
        points = [point for point in curve.points if point["series"] == name]
        x, y = ([point[key] for point in points] for key in ("x", "y"))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=name)
        if all(point["low"] is not None for point in points):
            low, high = ([point[key] for point in points] for key in ("low", "high"))
            band = axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    if band:
        band.set_label("band: 95% interval")  # for who opens the picture, which shows no caption
    if curve.chance is not None:
        axes.axhline(curve.chance, color=GREY, linestyle="--", linewidth=1, label="baseline")
    if curve.kind == "diagonal":
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    if all(isinstance(point["x"], int) for point in curve.points):  # numbers of digits, examples: none lies between
        axes.xaxis.get_major_locator().set_params(integer=True)
    if curve.log2_x:
        from matplotlib.ticker import ScalarFormatter

        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(curve.x_label)
    axes.set_ylabel(curve.y_label)
    legend(axes)


def _categories(curve: Curve, axes: Any) -> None:
    """A point with its interval per category."""
    rows = [
        [point["y"] if point[key] is None else point[key] for key in ("y", "low", "high")] for point in curve.points
    ]
    names = [f"{point['x']}, {point['series']}" if point["series"] else str(point["x"]) for point in curve.points]
    intervals(axes, names, rows)
    axes.set_xlabel(curve.y_label)
    if curve.chance is not None:
        axes.axvline(curve.chance, color=GREY, linestyle="--", linewidth=1)
