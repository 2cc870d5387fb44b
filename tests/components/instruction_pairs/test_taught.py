"""Questions that the curriculum answers: their forms, and what of a test never stands in training."""

import re

import pytest

from components.instruction_pairs.taught import KINDS, mixed, questions
from components.synthetic.curriculum import is_test


def test_each_kind_by_its_form() -> None:
    (total,), (colour,), (same,) = (questions(kind, 1, 1) for kind in KINDS)
    a, b = map(int, re.findall(r"\d+", total.prompt))
    assert total.prompt == f"What is {a}+{b}?"
    assert total.answer.endswith(f"= {a + b}")
    assert colour.prompt.endswith(f"What goes with {colour.answer.split()[0]}?")
    assert colour.answer in colour.prompt
    assert same.prompt == f"Repeat: {same.answer}"


def test_half_of_a_mixture_are_sums_and_the_same_seed_gives_the_same() -> None:
    pairs = mixed(1, 400)
    assert len(pairs) == 400
    assert sum(pair.cluster == "sum" for pair in pairs) == 200
    assert pairs == mixed(1, 400) != mixed(2, 400)


@pytest.mark.parametrize("kind", KINDS)
def test_no_question_of_a_test_is_in_training(kind: str) -> None:
    """Of a sum in neither order, of a passage by no name."""
    train, test = questions(kind, 1, 1500), questions(kind, 2, 60, "test")
    assert not {pair.prompt for pair in train} & {pair.prompt for pair in test}
    if kind == "sum":
        numbers = [sorted(map(int, re.findall(r"\d+", pair.prompt))) for pair in test]
        assert all(is_test("arithmetic", f"{low}+{high}") for low, high in numbers)
        assert not {tuple(sorted(re.findall(r"\d+", pair.prompt))) for pair in train} & {
            tuple(sorted(re.findall(r"\d+", pair.prompt))) for pair in test
        }
    if kind == "recall":
        names = [set(re.findall(r"[A-Z][a-z]+", pair.prompt)) - {"What"} for pair in (*train, *test)]
        assert not set().union(*names[: len(train)]) & set().union(*names[len(train) :])
