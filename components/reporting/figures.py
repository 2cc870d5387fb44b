"""Figures of reports: PNG files whose bytes depend on what is drawn alone (no date, no version, no pyplot).

A figure carries its caption, one sentence, in the PNG's `Description`: the report shows it, also to those who do not
see the picture. All are of one width, so that their text has one size on a page.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from components.core.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
WIDTH = 5.8
"""Inches; the report shows 96 pixels of a page an inch."""
Ends = ArrayLike | Sequence[float | None]
"""Ends of intervals; None where there is no interval."""
COLOURS = ("#2f7d4f", "#d08a2e", "#4a7fb5", "#b5452c", "#7a5ea8", "#6b7770", "#4fa3a0", "#c46a9a", "#8a9a3b", "#333f39")
GREY = "#6b7770"
STYLE: dict[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.titleweight": "bold",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8.5,
    "axes.edgecolor": GREY, "xtick.color": "#333f39", "ytick.color": "#333f39",
}  # fmt: skip


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> "tuple[Figure, list[Axes]]":
    """Empty figure of `width` x `height` inches and its axes, row by row; `options` go to `Figure.subplots`."""
    from cycler import cycler
    from matplotlib import style
    from matplotlib.figure import Figure

    style.use(STYLE | {"axes.prop_cycle": cycler(color=COLOURS)})
    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(rows, columns, squeeze=False, **options).ravel().tolist()


def save(drawing: "Figure", path: Path, caption: str = "", dpi: int = DPI) -> None:
    """Write a figure as PNG, whole, with its caption."""
    with written_whole(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None, "Description": caption})


@contextmanager
def chart(path: Path, caption: str, height: float = 3.0, **labels: Any) -> "Iterator[Axes]":
    """Axes of a figure that is written when the block ends, with a legend if anything in it has a label.

    Args:
        caption: one sentence: what is drawn, and what follows from it.
        labels: for `Axes.set`: title, xlabel, ylabel, scales, limits.
    """
    drawing, [axes] = figure(WIDTH, height)
    yield axes
    axes.set(**labels)
    legend(axes)
    save(drawing, path, caption)


def legend(*all_axes: "Axes") -> None:
    """Legend of what has a label in axes of one figure, each once, below the figure, where it covers nothing."""
    named: dict[str, Any] = {}
    for axes in all_axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    drawing = all_axes[0].get_figure(root=True)
    if named and drawing is not None:
        drawing.legend(list(named.values()), list(named), loc="outside lower left", ncols=3)


def bars(axes: "Axes", names: Sequence[str], series: Mapping[str, Sequence[float]], stacked: bool = True) -> np.ndarray:
    """Lying bars, the first name on top; a colour per series. Returns the ends of stacked bars, float64 (names,)."""
    positions, left = np.arange(len(names)), np.zeros(len(names))
    height = 0.8 if stacked else 0.8 / max(1, len(series))
    for number, (label, values) in enumerate(series.items()):
        offset = 0.0 if stacked else (number - (len(series) - 1) / 2) * height
        axes.barh(positions + offset, values, height, left if stacked else None, label=label)
        left = left + np.asarray(values, float)
    axes.set_yticks(positions, names)
    axes.invert_yaxis()
    return left


def intervals(axes: "Axes", names: Sequence[str], rows: ArrayLike, label: str = "95% interval") -> None:
    """A point with its interval per name, the first on top; `rows` are (value, low, high)."""
    positions = np.arange(len(names))
    value, low, high = np.array(rows, float).reshape(-1, 3).T
    axes.errorbar(value, positions, xerr=error_bars(value, low, high), fmt="o", capsize=3, label=label)
    axes.set_yticks(positions, names)
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)


def error_bars(value: ArrayLike, low: Ends, high: Ends) -> np.ndarray:
    """Lengths of error bars, float64 (2, n): from the value down to `low` and up to `high`, at least 0; 0 for None."""
    middle, *ends = (np.array(row, dtype=np.float64) for row in (value, low, high))
    return np.nan_to_num(np.maximum(0.0, [middle - ends[0], ends[1] - middle]))
