"""Counts per language: of all documents of a small corpus, of a fair and fixed sample of a large one."""

import numpy as np
import pytest

from components.stages.tokenize.fertility import SAMPLE, Languages


def counts(texts: list[str]) -> np.ndarray:
    return np.array([(1, len(text.encode()), 7, len(text.split())) for text in texts], np.int64)


def test_the_sample_of_a_large_corpus_is_small_fair_and_independent_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.stages.tokenize.fertility.identify", lambda text: (text, 1.0))
    ids = [f"{number:016x}" for number in range(10 * SAMPLE)]
    texts = ["en" if number % 4 else "de" for number in range(len(ids))]
    both = []
    for order in (1, -1):
        found = Languages({"mine": {"num_documents": len(ids)}})
        found.add(ids[::order], ["mine"] * len(ids), texts[::order], counts(texts[::order]))
        both.append(found.rows())
    assert both[0] == both[1]
    documents = {row[0]: row[1] for row in both[0]}
    assert abs(sum(documents.values()) - SAMPLE) < 5 * SAMPLE**0.5
    assert abs(documents["de"] - SAMPLE / 4) < 5 * (SAMPLE / 4) ** 0.5
