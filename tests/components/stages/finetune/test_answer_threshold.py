"""From which probability on to answer: by hand, and whether the promise is kept."""

import numpy as np
import pytest

from benchmarks.evidence.thresholds import MOST, WORLDS, false_promises
from components.stages.finetune.answer_threshold import ERRORS, answer_thresholds


def test_the_lowest_threshold_with_few_enough_errors() -> None:
    probability = np.repeat([0.95, 0.55], 100)
    right = np.arange(200) % 2 == 0
    right[:100] = True
    found = answer_thresholds(probability, right, [str(number) for number in range(200)])
    # None wrong of 100: with 13 thresholds the bound is 1 - (.05 / 13)^(1 / 100) = .054.
    assert [one.threshold for one in found] == [0.6, 0.6, None, None, None]
    assert [(one.answered, one.wrong) for one in found[:2]] == [(0.5, 0.0)] * 2
    sure = answer_thresholds(np.full(9000, 0.99), np.ones(9000, bool), [str(number) for number in range(9000)])
    assert [one.threshold for one in sure] == [0.0] * len(ERRORS)


def test_few_works_promise_nothing() -> None:
    found = answer_thresholds(np.full(400, 0.9), np.ones(400, bool), ["a", "b", "c", "d"] * 100)
    assert [one.threshold for one in found] == [None] * len(ERRORS)


@pytest.mark.parametrize("world", WORLDS)
def test_a_classifier_just_too_bad_is_seldom_let_pass(world: str) -> None:
    """`MOST` of its answers are wrong, however sure it is: any threshold for less is a false promise."""
    assert false_promises(WORLDS[world], 200) <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5
    assert MOST in ERRORS
