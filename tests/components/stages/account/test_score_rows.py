"""Scores of the end table and the forest plot: paired with counterparts, marked, and drawn with their baselines."""

from pathlib import Path
from typing import Any

import pytest

from components.reporting import figures
from components.stages.account import score_plot
from components.stages.account.answers import Score
from components.stages.account.html_report import picture
from components.stages.account.model_answers import _best_rule
from components.stages.account.score_plot import plot_scores
from components.stages.account.score_rows import ScoreRow, above, score_rows

ROWS = [
    ("few_shot", "label mapping, 8 examples", 0.7, 0.6, 0.5, True),
    ("few_shot", "label mapping, 0 examples", 0.5, 0.4, 0.5, True),
    ("chain_of_thought", "sums, at once", 0.1, 0.0, 0.0, True),
    ("chain_of_thought", "sums, with steps", 0.2, 0.1, 0.05, True),
    ("open_book", "closed book (record)", 0.25, 0.2, 0.25, True),
    ("open_book", "open book (record)", 0.3, 0.2, 0.25, True),
    ("recall", "key recall", 0.3, 0.2, 0.1, False),
    ("memorisation", "exposure, given 64 times", 2.0, 1.0, 1.4, True),
]


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
        Score(task=task, name=name, of="pretrain/causal", measured_by="evaluate", value=value, low=low,
              high=value + 0.1, baseline=baseline, baseline_name="rule", headline=headline,
              kind="memorisation" if task == "memorisation" else "ability")
        for task, name, value, low, baseline, headline in ROWS
    ]  # fmt: skip
    tuned = {"task": "finetune@instruct", "of": "finetune/instruct", "measured_by": "finetune@instruct"}
    own = [Score(name=name, value=0.4, headline=True, **tuned) for name in ("choice accuracy", "answer bits per byte")]
    return [*rows, *own]


def test_each_score_stands_beside_its_counterpart(scores: list[Score]) -> None:
    rows = score_rows(answers(scores))
    pairs = {row.name: (row.counterpart, row.counterpart_value) for row in rows}
    assert pairs == {
        "label mapping, 8 examples": ("0 examples", 0.5),
        "sums, with steps": ("at once", 0.1),
        "open book (record)": ("closed book", 0.25),
        "instruct: choice accuracy": ("", None),
        "exposure, given 64 times": ("", None),
    }
    assert [row.name for row in rows if row.below] == ["open book (record)", "exposure, given 64 times"]


def test_a_tuned_model_stands_beside_itself_before_tuning_with_the_gain(scores: list[Score]) -> None:
    def shown(chance: float, low: float) -> ScoreRow:
        known = {
            "choice_accuracy/before": 0.3,
            "choice_gain/value": 0.1,
            "choice_gain/low": low,
            "choice_gain/high": 0.21,
        }
        best = _best_rule("choice_accuracy", {"value": 0.4, "chance": chance}, known)
        own = next(score for score in scores if score.name == "choice accuracy").model_copy(update=best | {"low": 0.32})
        return next(row for row in score_rows(answers([own])) if "instruct" in row.name)

    row = shown(0.25, -0.02)
    assert (row.score.baseline, row.score.baseline_name, row.below) == (0.3, "before tuning", True)
    assert (row.counterpart, row.counterpart_value) == ("+0.10 [-0.02, 0.21]", None)
    assert not shown(0.25, 0.01).below
    guessed = shown(0.35, 0.01)  # better than before tuning, and by its own interval not than guessing
    assert (guessed.score.baseline_name, guessed.counterpart, guessed.below) == ("guessing", "", True)


@pytest.mark.parametrize("most", [0, 2])
def test_what_tuning_gained_has_a_row_though_a_rule_is_better(scores: list[Score], most: int) -> None:
    """The first score of the tuned model stands beside a rule that no tuning made; what tuning did was nowhere."""
    gain = {"gain_bits_per_byte/value": 0.8, "gain_bits_per_byte/low": 0.6, "gain_bits_per_byte/high": 1.0}
    best = _best_rule("answer_bits_per_byte", {"value": 0.4}, gain | {"answer_bits_per_byte/before": 1.2})
    told = [one.model_copy(update=best) if one.name == "answer bits per byte" else one for one in scores]
    rows = {row.name: row for row in score_rows(answers(told), most)}
    row = rows["instruct: answer bits per byte"]
    assert (row.score.baseline, row.score.baseline_name) == (1.2, "before tuning")
    assert (row.counterpart, row.below) == ("+0.80 [0.60, 1.00]", False)
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"low": 0.6}, True),
        ({"low": 0.4}, False),
        ({"low": 0.6, "above_baseline": False}, False),
        ({"low": 0.1, "high": 0.4, "better": "lower"}, True),
        ({"low": None}, False),
    ],
)
def test_a_score_is_above_its_baseline_only_beyond_its_interval(given: dict[str, Any], expected: bool) -> None:
    fields = {"task": "t", "name": "n", "of": "m", "measured_by": "evaluate", "value": 0.7, "baseline": 0.5}
    assert above(Score(**fields | given)) is expected


def test_the_forest_plot_draws_every_score_and_baseline(
    scores: list[Score], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def keep(drawing: Any, path: Path, caption: str) -> None:
        drawn.append(drawing)
        figures.save(drawing, path, caption)

    monkeypatch.setattr(score_plot, "save", keep)
    rows = [ScoreRow(score) for score in scores]
    for narrow in (False, True):
        plot_scores(rows, tmp_path / "scores.png", narrow)
    share, bits = drawn[0].axes
    points = [float(group.lines[0].get_xdata()[0]) for axes in (share, bits) for group in axes.containers]
    assert sorted(points) == sorted(score.value for score in scores)
    shown = picture(tmp_path / "scores.png")
    assert shown is not None
    assert all(f"{score.name} {score.value:.3f}" in shown.caption for score in scores)
    plot_scores([], tmp_path / "scores.png")
    assert not (tmp_path / "scores.png").exists()


def test_a_tuned_model_is_above_its_best_baseline_by_the_paired_gain() -> None:
    """Its own interval would leave out that the rule was tried on the same items."""
    row = {"value": 0.84, "low": 0.78, "high": 0.89, "chance": 0.5, "naive_bayes": 0.77}
    for low, expected in ((-0.01, False), (0.02, True)):
        gain = {"gain_over_naive_bayes/value": 0.07, "gain_over_naive_bayes/low": low, "gain_over_majority/low": 0.2}
        found = _best_rule("accuracy", row, gain)
        assert found["baseline_name"] == "naive Bayes"
        assert found["above_baseline"] is expected
    assert "above_baseline" not in _best_rule("macro_f1", row, gain)
    assert _best_rule("accuracy", row, {"gain_over_naive_bayes/value": 0.07})["above_baseline"] is False
