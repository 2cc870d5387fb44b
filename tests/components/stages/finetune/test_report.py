"""What the reports of all branches share."""

from pathlib import Path

import pytest

from components.instruction_pairs.examples import Examples
from components.scores import Baseline
from components.stages.finetune.classification_report import untested_text
from components.stages.finetune.report import beside, of_training, page_of, score_of
from components.stages.finetune.task_selection import Choice, FinetuneTask
from components.statistics import Estimate
from components.training.train_config import TrainResult


def test_batches_that_were_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    choice = Choice(FinetuneTask("rows", "a title"), Examples([], []), [])
    for skipped, says in ([41, 55], "so not learned from: batches 41, 55."), ([], ""):
        result = TrainResult(losses=[1.0] * 10, skipped=skipped)
        assert of_training(result) == {"train_loss": 1.0, "skipped_batches": len(skipped)}
        page = page_of("Title", choice, result, tmp_path).markdown
        assert ("Passed over" in page) == bool(skipped)
        assert says in page


def test_a_score_stands_beside_the_best_of_its_rules_and_its_metrics_beside_all() -> None:
    """Which rule was best, and the gain over it, was found again from the names of metrics."""
    own, gain = Estimate(0.84, 0.78, 0.89, 100, 20, "works"), Estimate(0.07, -0.01, 0.15, 100, 20, "works")
    rules = {
        "chance": Baseline("guessing", 0.5),
        "naive_bayes": Baseline("naive Bayes", 0.77, gain),
        "before": Baseline("before tuning", 0.6, gain, needs_model=True),
    }
    metrics = beside("accuracy", own, rules, {"before": "own_gain"})
    assert {name: metrics[f"accuracy/{name}"] for name in rules} == {"chance": 0.5, "naive_bayes": 0.77, "before": 0.6}
    assert (metrics["accuracy/low"], metrics["gain_over_naive_bayes/low"], metrics["own_gain/low"]) == (
        0.78,
        -0.01,
        -0.01,
    )
    assert "gain_over_chance/value" not in metrics
    choice = Choice(FinetuneTask("rows", "a title"), Examples([], []), [], branch="classify")
    score = score_of(choice, "accuracy", own, rules)
    assert (score.name, score.title, score.model) == ("classify/accuracy", "accuracy", "finetune/classify")
    assert (score.baseline_name, score.gain_low) == ("naive Bayes", -0.01)
    assert score_of(choice, "macro_f1", own, {}).baseline is None


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([], ""),
        (["1"], "no held-out row is of the class '1'"),
        (["a", "a rather long name", "b"], "no held-out row is of the classes 'a', 'a rather lo…', ..."),
    ],
)
def test_what_no_held_out_row_is_of_is_said_in_a_line_of_a_terminal(classes: list[str], says: str) -> None:
    assert untested_text(classes) == says
