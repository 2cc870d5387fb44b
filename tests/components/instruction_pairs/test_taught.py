"""Questions that the curriculum answers: their forms, and what of a test never stands in training."""

import re
from collections import Counter

import pytest

from components.instruction_pairs.taught import KINDS, beside, questions
from components.synthetic.curriculum import is_test


def test_each_kind_by_its_form() -> None:
    (total,), (more,), (same,) = (questions(kind, 1, 1) for kind in KINDS)
    a, b = map(int, re.findall(r"\d+", total.prompt))
    assert total.prompt == f"What is {a}+{b}?"
    assert total.answer.startswith(f"{a}+{b}; ")
    assert total.answer.endswith(f"= {a + b}")
    a, b = map(int, re.findall(r"\d+", more.prompt))
    assert (more.prompt, more.answer) == (f"Which is larger, {a} or {b}?", str(max(a, b)))
    assert same.prompt == f"Repeat: {same.answer}"


def test_most_are_sums_and_the_same_seed_gives_the_same() -> None:
    pairs = beside(200, 1)
    assert Counter(pair.cluster for pair in pairs) == {"sum": 240, "larger": 80, "copy": 80}
    assert pairs == beside(200, 1) != beside(200, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_question_of_a_test_is_in_training(kind: str) -> None:
    """Of two numbers in neither order."""
    train, test = questions(kind, 1, 1500), questions(kind, 2, 60, "test")
    assert not {pair.prompt for pair in train} & {pair.prompt for pair in test}
    if kind != "copy":
        train_numbers, numbers = (
            {tuple(sorted(map(int, re.findall(r"\d+", pair.prompt)))) for pair in pairs} for pairs in (train, test)
        )
        assert not train_numbers & numbers
        assert all(is_test("arithmetic", f"{low}+{high}") for low, high in numbers)
