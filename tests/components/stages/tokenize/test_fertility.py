"""Counts per language: of all documents of a small corpus, of a fair and fixed sample of a large one."""

import numpy as np
import pytest

from components.stages.tokenize.fertility import SAMPLE, UNSURE, Languages

TEXTS = {
    "en": "The committee met on Tuesday to discuss the budget, and its members agreed that more time was needed.",
    "de": "Der Ausschuss trat am Dienstag zusammen, um über den Haushalt zu beraten, und vertagte alles andere.",
    "ja": "委員会は火曜日に予算について話し合うために集まり、さらに時間が必要だという点で一致した。",
}


def counts(texts: list[str]) -> np.ndarray:
    return np.array([(1, len(text.encode()), 7, len(text.split())) for text in texts], np.int64)


def test_every_document_of_a_small_corpus_is_counted_under_its_language() -> None:
    texts = [*TEXTS.values(), TEXTS["de"], "1 2 3"]
    found = Languages(len(texts))
    found.add([str(number) for number in range(2)], texts[:2], counts(texts[:2]))
    found.add([str(number) for number in range(2, 5)], texts[2:], counts(texts[2:]))
    rows = {row[0]: row[1:] for row in found.rows()}
    assert rows["de"] == (2, 2 * len(TEXTS["de"].encode()), 14, 2 * len(TEXTS["de"].split()))
    assert rows["en"] == (1, len(TEXTS["en"]), 7, len(TEXTS["en"].split()))
    assert rows["ja"][0] == 1
    assert sum(row[0] for row in rows.values()) == 5
    assert set(rows) - {UNSURE} >= {"en", "de", "ja"}
    sizes = [row[2] for row in found.rows()]
    assert sizes == sorted(sizes, reverse=True)


def test_the_sample_of_a_large_corpus_is_small_fair_and_independent_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.stages.tokenize.fertility.identify", lambda text: (text, 1.0, 1.0))
    ids = [f"{number:016x}" for number in range(10 * SAMPLE)]
    texts = ["en" if number % 4 else "de" for number in range(len(ids))]
    both = []
    for order in (1, -1):
        found = Languages(len(ids))
        found.add(ids[::order], texts[::order], counts(texts[::order]))
        both.append(found.rows())
    assert both[0] == both[1]
    documents = {row[0]: row[1] for row in both[0]}
    assert abs(sum(documents.values()) - SAMPLE) < 5 * SAMPLE**0.5
    assert abs(documents["de"] - SAMPLE / 4) < 5 * (SAMPLE / 4) ** 0.5
