"""Lines, words and hashes from arrays, against plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.text.codepoints import Hasher, hash_word, lines, scan

TEXTS = st.lists(st.text(st.sampled_from("ab_é9 .\n漢字の’Ñ́ไทย😀-"), max_size=40), min_size=1, max_size=6)


@given(TEXTS)
def test_lines(texts: list[str]) -> None:
    scanned = scan(texts)
    starts, ends = lines(scanned)
    joined = "\n".join(texts) + "\n"
    assert [joined[a:b] for a, b in zip(starts, ends, strict=True)] == joined.split("\n")[:-1]
    assert scanned.count(ends).tolist() == [text.count("\n") + 1 for text in texts]


@given(TEXTS)
def test_equal_stretches_have_equal_hashes_whatever_is_around(texts: list[str]) -> None:
    scanned = scan(texts)
    starts, ends = lines(scanned)
    full = ends > starts
    starts, ends = starts[full], ends[full]
    joined = "\n".join(texts) + "\n"
    for start, end, found in zip(starts, ends, Hasher(scanned.codes)(starts, ends), strict=True):
        assert found == hash_word(joined[start:end])


def test_hashes_of_many_lengths_differ() -> None:
    codes = np.full(500, ord("a"), dtype=np.uint8)
    starts = np.zeros(400, dtype=np.int64)
    assert len(set(Hasher(codes)(starts, np.arange(1, 401)).tolist())) == 400
