"""The plots of what it cost draw the figures they are given, each in its place."""

from pathlib import Path
from typing import Any

import pytest

from components.reporting import figures
from components.stages.account import plots
from components.stages.account.html_report import picture
from components.stages.account.types import Cost, SpanCost

NOTHING = SpanCost(kwh=[0.0] * 3, grams=[0.0] * 3, embodied_grams=[0.0] * 3, cpu_s=0.0, elapsed_s=0.0)


COST = Cost(
    parts={
        "dedup": {"cpu": [0.001, 0.002, 0.004], "memory": [0.0005, 0.001, 0.0015]},
        "pretrain@causal": {"cpu": [0.01, 0.02, 0.04]},
    },
    orchestration_parts={"cpu": [0.05, 0.1, 0.2]},
    sources={"cpu": "estimated:cpu_seconds x watts", "memory": "assumed:watts per GB"},
    stages={}, orchestration=NOTHING, attempts=NOTHING, total=NOTHING, nothing=NOTHING, measured=False, how="",
    counters=[], intensity="", constants={}, shares={}, location="", pue=1.0, pue_source="", hardware="",
    embodied_source="",
)  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """File name -> the axes of what was saved as it."""
    found: dict[str, Any] = {}
    save = figures.save

    def keep(figure: Any, path: Path, caption: str = "") -> None:
        found[path.name] = figure.axes[0] if len(figure.axes) == 1 else figure
        save(figure, path, caption)

    monkeypatch.setattr(figures, "save", keep)
    monkeypatch.setattr(plots, "save", keep)
    return found


def test_energy_is_stacked_by_component_with_the_bounds_of_the_sum(drawn: dict[str, Any], tmp_path: Path) -> None:
    plots.plot_energy(COST, tmp_path / "energy.png")
    axes = drawn["energy.png"]
    bars = [(bar.get_x(), bar.get_width()) for group in axes.containers[:2] for bar in group]
    flat = [number for bar in bars for number in bar]
    assert flat == pytest.approx([0, 2, 0, 20, 0, 100, 2, 1, 20, 0, 100, 0])  # Wh: cpu, then memory on top
    names = ["dedup", "pretrain@causal", plots.ORCHESTRATION_NAME]
    assert [text.get_text() for text in axes.get_yticklabels()] == names
    assert [text.get_text() for text in axes.texts] == ["3", "20", "100"]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["cpu (estimated)", "memory (assumed)"]
    (lines,) = axes.containers[2].lines[2]
    spans = [[segment[0][0], segment[1][0]] for segment in lines.get_segments()]
    assert [end for span in spans for end in span] == pytest.approx([1.5, 5.5, 10, 40, 50, 200])
    assert "Wh" in axes.get_xlabel()
    assert (tmp_path / "energy.png").read_bytes().startswith(b"\x89PNG")


def test_forecasts_stand_beside_what_came_of_them_by_stage(drawn: dict[str, Any], tmp_path: Path) -> None:
    rows = [
        {
            "stage": stage, "seconds": [5.0, 10.0, 20.0], "actual_seconds": took,
            "kwh": [0.001, 0.002, 0.004], "actual_kwh": 0.002,
        } for stage, took in (("dedup", 12.0), ("evaluate", 90.0), ("dedup", 30.0))
    ]  # fmt: skip
    plots.plot_forecasts(rows, tmp_path / "forecast.png")
    figure = drawn["forecast.png"]
    shown = picture(tmp_path / "forecast.png")
    assert "1 of 3 took as long as theirs says" in shown.caption
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["forecast = actual", "dedup", "evaluate"]
    seconds, energy = figure.axes
    assert list(seconds.containers[0].lines[0].get_xdata()) == [12.0, 30.0]
    assert list(energy.containers[1].lines[0].get_ydata()) == [2.0]  # Wh
    for axes in figure.axes:
        assert axes.get_xlim() == axes.get_ylim()
    assert seconds.get_xlim()[0] < 5.0
    assert seconds.get_xlim()[1] > 90.0
    plots.plot_forecasts([], tmp_path / "forecast.png")
    assert not (tmp_path / "forecast.png").exists()
