"""Shared 13-grams, against a plain implementation with sets of strings."""

import re
from pathlib import Path

import networkx
import pytest

from components.similarity.ngram_overlap import NGRAM, Overlap, words


@pytest.fixture(scope="module")
def docstrings() -> list[str]:
    """Real text: module and function documentation of an installed package."""
    found = []
    for path in sorted(Path(networkx.__file__).parent.glob("algorithms/**/*.py"))[:60]:
        found += [part for part in path.read_text().split('"""')[1::2] if len(part) > 200]
    return found


def plain_words(text: str) -> list[str]:
    """What the module docstring says a word is, by a regular expression."""
    text = re.sub(r"[\u2000-\u203f\u3000-\u303f]", " ", text)
    found = re.findall(r"[\u3040-\u9fff]|[A-Za-z0-9\u0080-\u2fff\ua000-\U0010ffff]+", text)
    return ["".join(letter.lower() if letter < "\x80" else letter for letter in word) for word in found]


def plain_ngrams(text: str) -> list[tuple[str, ...]]:
    found = plain_words(text)
    return [tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)]


def measured(heldout: list[str], *training: list[str]) -> tuple[list[int], list[int]]:
    overlap = Overlap()
    overlap.hold_out(words(heldout), len(heldout))
    for shard in training:
        overlap.see(words(shard))
    total, repeated = overlap.per_document()
    return total.tolist(), repeated.tolist()


def test_real_text_against_sets_of_strings(docstrings: list[str]) -> None:
    heldout, training = docstrings[::3], [text for i, text in enumerate(docstrings) if i % 3]
    training = [
        *training,
        "quoted: " + heldout[0],
        "".join(letter.upper() if letter < "\x80" else letter for letter in heldout[1]),
    ]
    seen = {ngram for text in training for ngram in plain_ngrams(text)}
    total, repeated = measured(heldout, training[:50], training[50:])
    assert total == [len(plain_ngrams(text)) for text in heldout]
    assert repeated == [sum(ngram in seen for ngram in plain_ngrams(text)) for text in heldout]
    assert sum(repeated) > 0
    assert repeated[:2] == total[:2]


def test_japanese_is_counted_by_character() -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたか"
    total, repeated = measured([text], ["そして" + text])
    assert total == repeated == [len(text) - 2 - NGRAM + 1]
