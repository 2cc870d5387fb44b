"""The two steps every picture of the data stages shares: an empty figure with a title, and saving the same bytes."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def figure(title: str, width: float = 7.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of `width` x `height` inches. Agg, and no pyplot: no window, no global state."""
    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return drawing, axes


def save(drawing: Figure, path: Path) -> None:
    """Write a PNG without date or version in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=110, metadata={"Software": None})


def panels(title: str, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A grid of small pictures, row by row."""
    drawing = Figure(figsize=(3.2 * columns, 2.1 * rows), layout="constrained")
    FigureCanvasAgg(drawing)
    drawing.suptitle(title, x=0.01, ha="left")
    grid = [axes for row in drawing.subplots(rows, columns, squeeze=False) for axes in row]
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
    return drawing, grid
