"""Ends of sentences, in several scripts."""

import pytest

from components.instruction_pairs.sentences import cut_near, first_sentence


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("Return the sum. It is exact.", "Return the sum."),
        ("Return values,\n    e.g. sums or means. More.", "Return values, e.g. sums or means."),
        ("Written by J. R. Smith in 1990. More.", "Written by J. R. Smith in 1990."),
        ("Version 1.2.3 of the file. More.", "Version 1.2.3 of the file."),
        ('He said "stop!" Then he left.', 'He said "stop!"'),
        ("No end here", "No end here"),
        ("吾輩は猫である。名前はまだ無い。", "吾輩は猫である。"),
        ("「猫である。」と言った。次。", "「猫である。」"),
    ],
)
def test_first_sentence(paragraph: str, expected: str) -> None:
    assert first_sentence(paragraph) == expected


def test_cuts_fall_at_the_best_border_in_reach() -> None:
    text = "One two three. Four five six seven eight nine ten"
    assert text[: cut_near(text, 20, 5, 40)] == "One two three."
    assert text[: cut_near(text, 30, 20, 40)].endswith((" ", "x", "n"))
    assert cut_near("a" * 100, 50, 20, 80) == 50
    for at in range(len(text)):
        low, high = max(0, at - 5), min(len(text), at + 5)
        assert low <= cut_near(text, at, low, high) <= high
