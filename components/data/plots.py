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
