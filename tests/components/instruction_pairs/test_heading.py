"""Headings and first sentences: only pairs that somebody could answer."""

import pytest

from components.instruction_pairs.heading import answers


@pytest.mark.parametrize(
    ("title", "sentence", "expected"),
    [
        ("CHAPTER 21", "In this chapter nothing is said.", False),
        ("Section IV", "A section of the wall fell down.", False),
        ("Die Töchter", "Der König hatte zwölf Töchter.", True),
        ("検索エンジン", "この文書では検索の方法を説明する。", True),
        ("検索エンジン", "吾輩は猫である。", False),
        ("API", "It has three letters.", False),
    ],
)
def test_a_sentence_answers_if_it_takes_up_the_heading(title: str, sentence: str, expected: bool) -> None:
    assert answers(title, sentence) is expected
