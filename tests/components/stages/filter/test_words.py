"""Words of texts: by examples, and against their definition character by character."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.stages.filter.words import find_words
from components.text.codepoints import UNSPACED_RANGES, Hasher, hash_word, scan

EXAMPLES = {
    "Don't stop, e.g. at 3.14!": "Don t stop e g at",
    "state-of-the-art (or so)": "state of the art or so",
    "snake_case_ __init__ _ __": "snake_case_ __init__",
    "... -- *** ((( ### $ % = + ~ «» “” — …": "",
    "a\N{COMBINING ACUTE ACCENT}b \N{COMBINING ACUTE ACCENT} ❤\N{VARIATION SELECTOR-16}": "a\u0301b",
    "numpy.linalg https://example.org/a?b=c": "numpy linalg https example org a b c",
    "naïve Größe समिति की x² ½": "naïve Größe समिति की x²",
    "大規模 model2です。": "大 規 模 model2 で す",
    "": "",
    "one\n\n\ttwo": "one two",
}


def words(*texts: str) -> list[list[str]]:
    """The words of each text."""
    scanned = scan(texts)
    found = find_words(scanned, Hasher(scanned.codes))
    spans = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    shown = [scanned.text[start:end] for start, end in spans]
    assert found.hashes.tolist() == [int(hash_word(word)) for word in shown]
    assert found.counts.sum() == len(shown)
    return [shown[first:last] for first, last in zip(found.bounds[:-1], found.bounds[1:], strict=True)]


@pytest.mark.parametrize("text", EXAMPLES)
def test_words_are_runs_of_word_characters_and_punctuation_is_none(text: str) -> None:
    assert words(text) == [EXAMPLES[text].split()]


def plain(text: str) -> list[str]:
    """The same, character by character."""
    spread = ""
    for each in text:
        inside = each.isalnum() or each == "_" or unicodedata.category(each)[0] == "M"
        alone = any(first <= ord(each) <= last for first, last in UNSPACED_RANGES)
        spread += (f" {each} " if alone else each) if inside else " "
    return [word for word in spread.split(" ") if any(map(str.isalpha, word))]


@settings(max_examples=300)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aB1_ .\n'é漢"), max_size=40)))
def test_words_of_any_texts(texts: list[str]) -> None:
    assert words(*texts) == [plain(text) for text in texts]


def test_sums_numbers_and_scripts() -> None:
    scanned = scan(["one 2", "", "3 four 漢five"])
    found = find_words(scanned, Hasher(scanned.codes))
    assert found.sums(found.ends - found.starts).tolist() == [3, 0, 9]
    assert found.spaced.tolist() == [True, True, False, True]
    assert found.sums(np.ones(4, dtype=np.int64)).tolist() == found.counts.tolist() == [1, 0, 3]
    assert found.numbers.tolist() == [1, 0, 1]
