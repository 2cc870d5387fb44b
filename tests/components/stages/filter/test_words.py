"""Words of texts: by examples, and against their definition character by character."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.stages.filter.words import find_words
from components.text.codepoints import Hasher, hash_word, scan
from tests.components.plain_words import plain_words


def words(*texts: str) -> list[list[str]]:
    """The words of each text."""
    scanned = scan(texts)
    found = find_words(scanned, Hasher(scanned.codes))
    spans = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    shown = [scanned.text[start:end] for start, end in spans]
    assert found.hashes.tolist() == [int(hash_word(word)) for word in shown]
    assert found.counts.sum() == len(shown)
    return [shown[first:last] for first, last in zip(found.bounds[:-1], found.bounds[1:], strict=True)]


@settings(max_examples=300)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aB1_ .\n'é漢"), max_size=40)))
def test_words_of_any_texts(texts: list[str]) -> None:
    assert words(*texts) == [plain_words(text) for text in texts]


def test_sums_numbers_and_scripts() -> None:
    scanned = scan(["one 2", "", "3 four 漢five"])
    found = find_words(scanned, Hasher(scanned.codes))
    assert found.sums(found.ends - found.starts).tolist() == [3, 0, 9]
    assert found.spaced.tolist() == [True, True, False, True]
    assert found.sums(np.ones(4, dtype=np.int64)).tolist() == found.counts.tolist() == [1, 0, 3]
    assert found.numbers.tolist() == [1, 0, 1]
