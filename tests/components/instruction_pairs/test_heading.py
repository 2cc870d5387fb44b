"""Headings and first sentences: only pairs that somebody could answer."""

import pytest

from components.instruction_pairs.heading import answers, pairs
from tests.components.task_corpora import document

PAGE = """# CHAPTER 21

It was late in the evening when the party came home at last.

## Sparse arrays

An array is called sparse if most of its entries are zero.

## Overview

Everything below was written by hand over many years.
"""


def test_a_heading_that_asks_nothing_is_no_prompt() -> None:
    found = list(pairs(document(PAGE, "page.md", "page")))
    assert [pair.answer for pair in found] == ["An array is called sparse if most of its entries are zero."]


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
