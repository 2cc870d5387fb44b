"""From which probability on to answer: by hand, and whether the promise is kept."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.evidence.thresholds import MOST, WORLDS, false_promises
from components.reporting.tables import Page
from components.stages.finetune import classification_report
from components.stages.finetune.answer_threshold import ERRORS, answer_thresholds, independent, upper_bound


def test_the_lowest_threshold_with_few_enough_errors() -> None:
    probability = np.repeat([0.95, 0.55], 100)
    right = np.arange(200) % 2 == 0
    right[:100] = True
    found = answer_thresholds(probability, right, [str(number) for number in range(200)])
    # None wrong of 100: with 9 thresholds the bound is 1 - (.05 / 9)^(1 / 100) = .051.
    assert [one.threshold for one in found] == [0.6, 0.6, None, None]
    assert [(one.answered, one.wrong) for one in found[:2]] == [(0.5, 0.0)] * 2
    for one in found:  # so many, all right, show it; one fewer does not
        assert upper_bound(0.0, one.needed) <= one.error < upper_bound(0.0, one.needed - 1)
    sure = answer_thresholds(np.full(9000, 0.99), np.ones(9000, bool), [str(number) for number in range(9000)])
    assert [one.threshold for one in sure] == [0.0] * len(ERRORS)


def test_a_work_is_worth_one_text_however_right_and_an_error_never_helps() -> None:
    works = [str(number // 12) for number in range(40 * 12)]
    assert independent(works) == pytest.approx(40)
    assert independent(["a"] * 9 + ["b"]) == pytest.approx(100 / 82)
    held = []
    for num_wrong in range(6):
        right = np.ones(40 * 12, bool)
        right[: 12 * num_wrong : 12] = False  # one in each of some works
        found = answer_thresholds(np.full(40 * 12, 0.9), right, works)
        held.append([one.error for one in found if one.threshold is not None])
    assert held[0] == [0.2]
    assert all(set(after) <= set(before) for before, after in pairwise(held))


@pytest.mark.parametrize("world", WORLDS)
def test_a_classifier_just_too_bad_is_seldom_let_pass(world: str) -> None:
    """`MOST` of its answers are wrong, however sure it is: any threshold for less is a false promise."""
    assert false_promises(WORLDS[world], 200) <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5
    assert MOST in ERRORS


def test_the_report_has_the_largest_class_and_the_worst_one_beside_a_promise() -> None:
    """Of 300 texts 20 are of a class that is never said: few errors over all, and nothing but errors in that class."""
    truth = [0] * 280 + [1] * 20
    passages = [SimpleNamespace(label=label) for label in truth]
    examples = SimpleNamespace(heldout=passages, labels=["ok", "fraud"])
    probability = np.tile([0.9, 0.1], (300, 1))
    found = answer_thresholds(probability.max(axis=1), np.array(truth) == 0, [str(text) for text in range(300)])
    page = Page("", None)
    classification_report._thresholds(found, 300, probability, np.zeros(300, int), examples, page)
    rows = [line for line in page.markdown.splitlines() if line.startswith("| ")]
    assert "| 20% | always | 100% | 6.7% | 6.7% | fraud: 20 of 20 |" in rows
    assert "| 2% | not shown |  |  |  |  |" in rows
