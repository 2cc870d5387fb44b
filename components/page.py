"""The report: one self-contained HTML page with every stage's text and plots, and the plot of where the energy went."""

import base64
from pathlib import Path
from typing import Any

from components.card import environment
from components.files import written_whole
from components.summary import stage_reports
from components.table import render_table

MAX_PICTURE_BYTES = 600_000
"""Larger pictures are left out of the page; they are in the stage's plots folder."""


def plot_energy(cost: dict[str, Any], path: Path) -> None:
    """Watt-hours per stage, by component, with the bounds of the sum."""
    from matplotlib.figure import Figure

    stages = list(cost["parts"])
    names = sorted({name for parts in cost["parts"].values() for name in parts})
    figure = Figure(figsize=(9, 0.35 * max(3, len(stages)) + 1.4), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(stages)
    for name in names:
        widths = [cost["parts"][stage].get(name, [0.0] * 3)[1] * 1000 for stage in stages]
        axes.barh(stages, widths, left=left, label=f"{name} ({cost['sources'].get(name, '').split(':')[0]})")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    bounds = [[sum(part[i] for part in cost["parts"][stage].values()) * 1000 for stage in stages] for i in (0, 2)]
    if stages:
        errors = [
            [m - low for m, low in zip(left, bounds[0], strict=True)],
            [h - m for m, h in zip(left, bounds[1], strict=True)],
        ]
        axes.errorbar(
            left, stages, xerr=errors, fmt="none", ecolor="black", capsize=3, linewidth=1, label="low to high"
        )
        axes.invert_yaxis()
        axes.legend(fontsize=8)
    axes.set_xlabel("energy of this machine (Wh), earlier attempts included")
    axes.set_title("Where the energy went")
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def render_html(summary: dict[str, Any], reports: Path) -> str:
    """The report as one self-contained page."""
    sections = [_section(stage, folder) for stage, folder in stage_reports(reports).items()]
    return environment().get_template("report.html.j2").render(
        summary=summary, sections=sections, energy=picture(reports / "energy.png"), table=render_table(summary)
    )  # fmt: skip


def _section(stage: str, folder: Path) -> dict[str, Any]:
    text = folder / "details" / "report.md"
    plots = sorted((folder / "plots").glob("*.png")) if (folder / "plots").is_dir() else []
    pictures = [(path.stem.replace("_", " "), picture(path)) for path in plots]
    return {
        "stage": stage,
        "html": markdown(text.read_text(encoding="utf-8")) if text.exists() else "",
        "pictures": [(name, data) for name, data in pictures if data],
    }


def markdown(text: str) -> str:
    """A stage's report as HTML. Raw HTML in it is shown, not obeyed: reports quote documents of anybody."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text)


def picture(path: Path) -> str:
    """A PNG as data URL; "" if there is none or it is too large."""
    if not path.exists() or path.stat().st_size > MAX_PICTURE_BYTES:
        return ""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
