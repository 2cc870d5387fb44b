"""Words, lines and hashes from arrays, against plain Python."""

import re
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_dedup import plain_jaccard, plain_words

from components.data.scan import Hasher, hash_word, lines, mixed, scan, words
from components.data.shingles import jaccard, shingle_sets, signatures

TEXTS = st.lists(st.text(st.sampled_from("ab_é9 .\n漢字の’Ñ́ไทย😀-"), max_size=40), min_size=1, max_size=6)


@given(TEXTS)
def test_words_and_lines(texts: list[str]) -> None:
    scanned = scan([text.lower() for text in texts])
    starts, ends = words(scanned)
    joined = "\n".join(text.lower() for text in texts) + "\n"
    assert [joined[a:b] for a, b in zip(starts, ends, strict=True)] == [w for text in texts for w in plain_words(text)]
    starts, ends = lines(scanned)
    assert [joined[a:b] for a, b in zip(starts, ends, strict=True)] == joined.split("\n")[:-1]
    assert scanned.count(ends).tolist() == [text.count("\n") + 1 for text in texts]


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_words_are_those_of_re(text: str) -> None:
    scanned = scan([text])
    starts, ends = words(scanned)
    assert [text[a:b] for a, b in zip(starts, ends, strict=True)] == re.findall(r"\w+", text)


@given(TEXTS)
def test_equal_words_have_equal_hashes_whatever_is_around(texts: list[str]) -> None:
    scanned = scan(texts)
    starts, ends = words(scanned)
    joined = "\n".join(texts) + "\n"
    for start, end, found in zip(starts, ends, Hasher(scanned.codes)(starts, ends), strict=True):
        assert found == hash_word(joined[start:end])


@given(TEXTS)
def test_shingle_sets_give_the_jaccard_similarity(texts: list[str]) -> None:
    scanned = scan([text.lower() for text in texts])
    shingles, offsets = shingle_sets(scanned, Hasher(scanned.codes), 3)
    sets = [shingles[a:b] for a, b in pairwise(offsets)]
    for first, text in zip(sets, texts, strict=True):
        for second, other in zip(sets, texts, strict=True):
            assert jaccard(first, second) == plain_jaccard(text, other, 3)


def test_signatures_estimate_the_similarity() -> None:
    numbers = mixed(np.arange(1, 3001, dtype=np.uint64))
    first, second = np.sort(numbers[:2000]), np.sort(numbers[1000:])  # 1000 shared of 3000
    together = np.concatenate([first, second, first[:0]])
    signed = signatures(together, np.array([0, 2000, 4000, 4000]), seed=1, count=2048)
    assert abs((signed[0] == signed[1]).mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 2048)
    assert (signed[2] == 0xFFFFFFFF).all()


def test_signatures_do_not_depend_on_blocks_or_neighbours() -> None:
    sets = [
        np.unique(np.random.default_rng(k).integers(1, 1 << 60, size, dtype=np.uint64))
        for k, size in enumerate((3, 70_000, 9))
    ]
    offsets = np.cumsum([0, *map(len, sets)])
    signed = signatures(np.concatenate(sets), offsets, seed=5, count=16)
    for each, row in zip(sets, signed, strict=True):
        assert (signatures(each, np.array([0, len(each)]), seed=5, count=16)[0] == row).all()
