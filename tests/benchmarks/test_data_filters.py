"""Agreement with datatrove: what is compared, and our word split in spaCy's form."""

import numpy as np
import pytest

from benchmarks.data_filters import compared, kappa
from benchmarks.data_split import with_white_space, word_bounds
from benchmarks.data_table import agreement

SPACY = {
    "Don't stop.  Now": (["Do", "n't", "stop", ".", " ", "Now"], [False, True, False, True, False, False]),
    "  two before\n": (["  ", "two", "before", "\n"], [False, True, False, False]),
    "a \n b": (["a", "\n ", "b"], [True, False, False]),
    "": ([], []),
}
"""Text -> tokens, and whether a space belongs to each: made with spaCy 3.8 (`spacy.blank("en")`)."""


@pytest.mark.parametrize("text", SPACY)
def test_white_space_becomes_tokens_as_spacy_makes_it(text: str) -> None:
    tokens, spaced = with_white_space(text, word_bounds(text))
    assert (tokens, spaced) == SPACY[text]
    assert "".join(token + " " * space for token, space in zip(tokens, spaced, strict=True)) == text


def test_words_are_those_of_our_rules_in_scripts_without_spaces_too() -> None:
    text = "can't 猫が"
    assert [text[start:end] for start, end in word_bounds(text)] == ["ca", "n't", "猫", "が"]


def test_kappa_of_chance_is_none_and_of_the_same_is_one() -> None:
    one = np.array([True, True, False, False])
    assert kappa(one, np.array([True, False, True, False])) == 0
    assert kappa(one, one) == 1
    assert kappa(np.ones(4, bool), np.ones(4, bool)) == 1


def test_both_figures_are_in_the_table() -> None:
    ours, theirs = np.array([True, True, False, False]), np.array([True, False, False, False])
    row = compared(ours, theirs, same_split=ours)
    assert (row["agreement"], row["agreement_same_split"]) == (0.75, 1.0)
    table = agreement({"results": {"agreement_50_mb": {"C4": row}}})
    assert table.splitlines()[-1] == "| C4 | 4 | 75.0% | 0.7500 | 0.5000 | 1.0000 | 1.0000 |"
