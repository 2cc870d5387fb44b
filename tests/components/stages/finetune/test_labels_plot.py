"""The picture of accuracy by number of labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.reporting import figures
from components.stages.finetune.classification_report import RULES, _confusion_plot, _labels_plot
from components.statistics import Estimate


def test_the_ticks_are_the_numbers_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers of ten between them stood there: a scale that is set last brings ticks of its own."""
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "save", lambda drawing, path, caption: drawn.append(drawing))
    row = dict.fromkeys(RULES, Estimate(0.5, 0.4, 0.6, 9, 9, "works"))
    _labels_plot({16: row, 64: row, 240: row}, tmp_path / "labels.png")
    drawn[0].draw_without_rendering()
    [axes] = drawn[0].axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["16", "64", "240"]
    assert not [text.get_text() for text in axes.get_xticklabels(minor=True) if text.get_text()]


@pytest.mark.filterwarnings("error")
def test_a_class_whose_name_the_font_lacks_is_drawn_by_its_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was an empty box, and a warning of matplotlib for each."""
    drawn: list[Any] = []
    _confusion_plot(["où", "\u4e2d"], np.eye(2, dtype=int), np.ones(2), tmp_path / "confusion.png", "")
    assert (tmp_path / "confusion.png").exists()
    monkeypatch.setattr("components.stages.finetune.classification_report.save", lambda one, *_: drawn.append(one))
    _confusion_plot(["où", "\u4e2d"], np.eye(2, dtype=int), np.ones(2), tmp_path / "confusion.png", "")
    assert [text.get_text() for text in drawn[0].axes[0].get_yticklabels()] == ["où", "\\u4e2d"]
