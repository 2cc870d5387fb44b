"""Words, lines, hashes, shingles and signatures from packed bytes, against plain Python."""

import re
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.similarity.shingles import jaccard, shingle_sets, signatures
from components.similarity.sketch import exact_hash, exact_hashes
from components.text.codepoints import mixed
from components.text.packed_bytes import lines_and_paragraphs, pack
from tests.components.stages.dedup.test_stage import plain_jaccard

TEXTS = st.lists(st.text(st.sampled_from("ab_é9 .\n漢字の’Ñ́ไทย😀-İ\u2003\x1c\t"), max_size=60), min_size=1, max_size=6)


def encoded(texts: list[str]) -> list[bytes]:
    """As UTF-8."""
    return [text.encode() for text in texts]


@given(TEXTS)
def test_lines_and_paragraphs(texts: list[str]) -> None:
    block = pack(encoded(texts))
    data = block.data.tobytes()
    lines, paragraphs = lines_and_paragraphs(block)
    found = [[data[a:b].decode() for a, b in zip(each.starts, each.ends, strict=True)] for each in (lines, paragraphs)]
    lowered = [text.lower() for text in texts]
    assert found[0] == [line for text in lowered for line in text.split("\n") if line]
    assert found[1] == [part.strip("\n") for text in lowered for part in re.split(r"\n{2,}", text.strip("\n")) if part]
    for each, names in zip((lines, paragraphs), found, strict=True):
        for first, one in zip(each.hashes, names, strict=True):
            for second, other in zip(each.hashes, names, strict=True):
                assert (first == second) == (one == other)


@given(TEXTS)
def test_equal_but_for_white_space(texts: list[str]) -> None:
    assert exact_hashes(encoded(texts)) == [exact_hash(text) for text in texts]


@given(TEXTS)
def test_shingle_sets_give_the_jaccard_similarity(texts: list[str]) -> None:
    shingles, counts = shingle_sets(pack(encoded(texts)), 3, seed=1)
    sets = [shingles[a:b] for a, b in pairwise(np.cumsum([0, *counts]))]
    for first, text in zip(sets, texts, strict=True):
        for second, other in zip(sets, texts, strict=True):
            assert jaccard(first, second) == plain_jaccard(text, other, 3)


def test_signatures_estimate_the_similarity() -> None:
    for size, shared, bins in ((2000, 1000, 2048), (100_000, 60_000, 128), (90, 60, 128)):
        estimates = []
        for seed in range(40):
            numbers = mixed(np.arange(1, 2 * size - shared + 1, dtype=np.uint64) + np.uint64(seed << 32))
            sets = np.sort(numbers[:size]), np.sort(numbers[size - shared :])
            signed = signatures(np.concatenate(sets), np.array([0, size, 2 * size, 2 * size]), bins)
            estimates.append(float((signed[0] == signed[1]).mean()))
            assert (signed[2] == 0xFFFFFFFF).all()
        true = shared / (2 * size - shared)
        filled = bins * (1 - np.exp(-size / bins))
        error = np.sqrt(true * (1 - true) / filled)
        assert abs(np.mean(estimates) - true) < 4 * error / np.sqrt(40)
        assert np.std(estimates) < 1.5 * error
