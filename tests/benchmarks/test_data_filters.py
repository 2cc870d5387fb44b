"""Agreement with datatrove: what is compared, and our words."""

import numpy as np

from benchmarks.data_filters import compared, kappa
from benchmarks.data_split import words_of


def test_words_are_those_of_our_rules_in_scripts_without_spaces_too() -> None:
    assert words_of("can't (stop)... 猫が") == ["can", "t", "stop", "猫", "が"]


def test_kappa_of_chance_is_none_and_of_the_same_is_one() -> None:
    one = np.array([True, True, False, False])
    assert kappa(one, np.array([True, False, True, False])) == 0
    assert kappa(one, one) == 1
    assert kappa(np.ones(4, bool), np.ones(4, bool)) == 1


def test_both_figures_are_counted() -> None:
    ours, theirs = np.array([True, True, False, False]), np.array([True, False, False, False])
    row = compared(ours, theirs, same_split=ours)
    assert (row["agreement"], row["agreement_same_split"]) == (0.75, 1.0)
    assert (row["dropped_by_ours"], row["dropped_by_datatrove"]) == (0.5, 0.75)
