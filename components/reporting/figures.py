"""Figures of reports: PNG files whose bytes depend on what is drawn alone (no date, no version, no pyplot)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from components.core.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110


def figure(
    width: float, height: float, rows: int = 1, columns: int = 1, frame: bool = True
) -> "tuple[Figure, list[Axes]]":
    """Empty figure of `width` x `height` inches and its axes, row by row; without `frame`, open above and right."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    grid: list[Axes] = drawing.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(frame)
    return drawing, grid


def save(drawing: "Figure", path: Path, dpi: int = DPI) -> None:
    """Write a figure as PNG, whole."""
    with written_whole(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})


def error_bars(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Lengths of error bars, float64 (2, n): from the value down to `low` and up to `high`, at least 0."""
    return np.maximum(0.0, [np.subtract(value, low), np.subtract(high, value)])
