"""The report: one self-contained HTML page with every stage's text and plots, and the plots of what it cost."""

import base64
from pathlib import Path
from typing import Any

from components.stages.account.answers import ModelAnswers
from components.stages.account.model_card import environment
from components.stages.account.summary import stage_reports
from components.stages.account.terminal_table import render_table
from components.stages.account.types import Summary

MAX_PICTURE_BYTES = 600_000
"""Larger pictures are left out of the page; they are in the stage's plots folder."""


def render_html(summary: Summary, answers: dict[str, ModelAnswers], reports: Path) -> str:
    """The report as one self-contained page."""
    sections = [_section(stage, folder) for stage, folder in stage_reports(reports).items()]
    return environment().get_template("report.html.j2").render(
        summary=summary, answers=answers, sections=sections, costs=_cost_pictures(reports), table=render_table(summary)
    )  # fmt: skip


def _cost_pictures(reports: Path) -> list[tuple[str, str]]:
    names = {
        "energy": "Where the energy went",
        "loss_per_gram": "Held-out loss against CO2e",
        "forecast": "Forecast and actual",
    }
    found = [(title, picture(reports / f"{name}.png")) for name, title in names.items()]
    return [(title, data) for title, data in found if data]


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
