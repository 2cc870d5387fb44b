"""Questions that the curriculum answers: their forms, and what of a test never stands in training."""

import re
from collections import Counter

import pytest

from components.instruction_pairs.taught import KINDS, mixed_in, questions
from components.synthetic.curriculum import is_test


def numbers(prompt: str) -> tuple[int, ...]:
    return tuple(sorted(map(int, re.findall(r"\d+", prompt))))


def test_each_kind_by_its_form() -> None:
    """As a test asks, and half of the training."""
    total, more, same = ([*questions(kind, 1, 100, "test"), *questions(kind, 1, 100)] for kind in KINDS)
    for pair in total:
        a, b = re.findall(r"\d+", pair.prompt)
        assert re.fullmatch(rf"{a}\+{b}; .*= {int(a) + int(b)}", pair.answer)
    assert all(pair.answer == str(max(numbers(pair.prompt))) for pair in more)
    assert all(pair.prompt.endswith(f" {pair.answer}") for pair in same)
    forms = [Counter(re.sub(r"\d+", "N", pair.prompt) for pair in pairs) for pairs in (total, more)]
    assert [of["What is N+N?"] > 140 or of["Which is larger, N or N?"] > 140 for of in forms] == [True, True]
    assert all(len(of) > 5 for of in forms)


def test_shares_of_kinds_and_the_same_seed_gives_the_same() -> None:
    pairs = mixed_in(200, 1)
    assert Counter(pair.cluster for pair in pairs) == {"sum": 400, "larger": 200, "copy": 200}
    assert pairs == mixed_in(200, 1) != mixed_in(200, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_question_of_a_test_is_in_training(kind: str) -> None:
    """Of two numbers in neither order."""
    train, test = questions(kind, 1, 1500), questions(kind, 2, 60, "test")
    if kind == "copy":
        assert not {pair.answer for pair in train} & {pair.answer for pair in test}
        return
    asked = {numbers(pair.prompt) for pair in test}
    assert not {numbers(pair.prompt) for pair in train} & asked
    assert all(is_test("arithmetic", f"{low}+{high}") for low, high in asked)
    assert len(asked) == len(test)
