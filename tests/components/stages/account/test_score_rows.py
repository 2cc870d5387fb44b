"""Scores of the end table and the forest plot: paired with counterparts, marked, and drawn with their baselines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components import verdicts
from components.reporting import figures
from components.scores import Baseline, Score
from components.stages.account import plots
from components.stages.account.answer_text import reference_text
from components.stages.account.html_report import picture
from components.stages.account.plots import plot_scores
from components.stages.account.score_rows import ScoreRow, score_rows
from components.statistics import Estimate

ROWS = [
    ("few_shot/accuracy", "label mapping, 8 examples", 0.7, 0.6, 0.5, True, "few_shot/accuracy/shots=0", "0 examples"),
    ("few_shot/accuracy/shots=0", "label mapping, 0 examples", 0.5, 0.4, 0.5, True, "", ""),
    ("chain_of_thought/accuracy/direct", "sums, at once", 0.1, 0.0, 0.0, True, "", ""),
    ("chain_of_thought/accuracy/steps", "sums, with steps", 0.2, 0.1, 0.05, True, "chain_of_thought/accuracy/direct",
     "at once"),
    ("open_book/accuracy/record closed", "closed book (record)", 0.25, 0.2, 0.25, True, "", ""),
    ("open_book/accuracy/record open", "open book (record)", 0.3, 0.2, 0.25, True, "open_book/accuracy/record closed",
     "closed book"),
    ("recall/accuracy", "key recall", 0.3, 0.2, 0.1, False, "", ""),
    ("memorisation/exposure", "exposure, given 64 times", 2.0, 1.0, 1.4, True, "", ""),
]  # fmt: skip
TUNED = {"model": "finetune/instruct", "measured_by": "finetune@instruct", "headline": True}


def answers(scores: list[Score]) -> Any:
    """A model with these scores; nothing else of it is looked at."""

    class Quality:
        pass

    quality, model = Quality(), Quality()
    quality.scores, model.quality = scores, quality  # type: ignore[attr-defined]
    return {"pretrain/causal": model}


@pytest.fixture
def scores() -> list[Score]:
    rows = [
        Score(name=name, title=title, model="pretrain/causal", measured_by="evaluate", value=value, low=low,
              high=value + 0.1, baseline=baseline, baseline_name="rule", headline=headline, counterpart=other,
              counterpart_title=words, kind="memorisation" if name.startswith("memorisation") else "ability",
              unit="bits" if name.startswith("memorisation") else "share")
        for name, title, value, low, baseline, headline, other, words in ROWS
    ]  # fmt: skip
    own = [Score(name=f"instruct/{name.replace(' ', '_')}", title=name, value=0.4, **TUNED)
           for name in ("choice accuracy", "answer bits per byte")]  # fmt: skip
    return [*rows, *own]


def estimate(value: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, 100, 20, "works")


def test_each_score_stands_beside_its_counterpart(scores: list[Score]) -> None:
    rows = score_rows(answers(scores))
    assert {row.name: row.counterpart for row in rows} == {
        "label mapping, 8 examples": "0 examples 0.500",
        "sums, with steps": "at once 0.100",
        "open book (record)": "closed book 0.250",
        "instruct: choice accuracy": "",
        "exposure, given 64 times": "",
    }
    assert {row.mark for row in rows} == {" "}, "nothing was held against a rule"


def test_a_score_that_should_be_even_stands_beside_a_half() -> None:
    even = Score(name="pairs/share", title="pairs", model="pretrain/causal", measured_by="evaluate", value=0.4,
                 better="half", headline=True)  # fmt: skip
    [row] = score_rows(answers([even]))
    assert (row.counterpart, row.mark) == ("even 0.500", " ")


def test_signs_are_those_of_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {f"finetune/instruct instruct/{name}": (0.01, 10) for name in ("better", "worse", "not_shown")}
    monkeypatch.setattr(verdicts, "shipped_spread", lambda: spread)
    rows = []
    for name, value in (("better", 0.2), ("worse", -0.2), ("not_shown", 0.01)):
        gain = Estimate(value, value - 0.05, value + 0.05, 100, 20, "works", 0.02, 9.0)
        rule = Baseline("before tuning", 0.3, gain, needs_model=True, rules=4)
        rows.append(Score.of(f"instruct/{name}", name, estimate(0.4, 0.32, 0.5), rule, **TUNED))
    marks = {row.score.title: row.mark for row in score_rows(answers(rows))}
    assert marks == {"better": "+", "worse": "-", "not_shown": "~"}
    learned = rows[0].model_copy(update={"ceiling": 1.0, "ceiling_name": "copy rule", "against": ()})
    [row] = score_rows(answers([learned]))
    assert (row.mark, row.verdict_words, reference_text(row.score)) == ("=", "has learned", "copy rule 1.000")
    [row] = score_rows(answers([learned.model_copy(update={"gain_low": -0.1})]))
    assert (row.mark, row.verdict_words) == ("~", "not shown"), "no better than a rule that is blind to what is asked"


@pytest.mark.parametrize("most", [0, 2])
def test_what_tuning_gained_has_a_row_though_a_rule_is_better(scores: list[Score], most: int) -> None:
    """The first score of the tuned model stands beside a rule that no tuning made; what tuning did was nowhere."""
    before = Baseline("before tuning", 1.2, replace(estimate(0.8, 0.6, 1.0), freedom=9.0), needs_model=True)
    gained = Score.of("instruct/answer_bits_per_byte", "answer bits per byte", estimate(0.4, None, None), before,
                      better="lower", **TUNED)  # fmt: skip
    told = [gained if one.name == gained.name else one for one in scores]
    rows = {row.name: row for row in score_rows(answers(told), most)}
    row = rows["instruct: answer bits per byte"]
    assert (row.score.baseline, row.score.baseline_name) == (1.2, "before tuning")
    assert row.counterpart == "+0.800 [0.600, 1.000]"
    assert most or "instruct: choice accuracy" in rows


def test_with_little_room_a_row_of_memorisation_stays(scores: list[Score]) -> None:
    rows = score_rows(answers(scores), most=2)
    assert len(rows) == 2
    assert "exposure, given 64 times" in [row.name for row in score_rows(answers(scores), most=4)]


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_which_rows_are_shown_does_not_depend_on_how_they_came_out(scores: list[Score], most: int) -> None:
    """Those that beat a rule stood before the others: a table with little room showed a better model than it was."""
    shown_names = []
    for value in (0.0, 1.0):
        told = [score.model_copy(update={"value": value, "low": value, "high": value}) for score in scores]
        shown_names.append([row.name for row in score_rows(answers(told), most)])
    assert shown_names[0] == shown_names[1]


def test_the_forest_plot_draws_every_score_and_baseline(
    scores: list[Score], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def keep(drawing: Any, path: Path, caption: str) -> None:
        drawn.append(drawing)
        figures.save(drawing, path, caption)

    monkeypatch.setattr(plots, "save", keep)
    rows = [ScoreRow(score) for score in scores]
    for narrow in (False, True):
        plot_scores(rows, tmp_path / "scores.png", narrow)
    share, bits = drawn[0].axes
    points = [float(group.lines[0].get_xdata()[0]) for axes in (share, bits) for group in axes.containers]
    assert sorted(points) == sorted(score.value for score in scores)
    shown = picture(tmp_path / "scores.png")
    assert all(f"{score.title} {score.value:.3f}" in shown.caption for score in scores)
    plot_scores([], tmp_path / "scores.png")
    assert not (tmp_path / "scores.png").exists()
