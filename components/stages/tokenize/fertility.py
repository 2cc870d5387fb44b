"""Compression and fertility per language: a tokenizer may serve the largest language and split all others finely.

Languages are those of language.py, of a sample of documents that the hash of their ids chooses, so that it stays cheap.
Documents that mix generates are none of it: exercises in invented words are no language that a vocabulary could serve.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.corpus.corpus import is_generated
from components.corpus.shuffle import key
from components.text.language import SURE, UNSURE, identify

SAMPLE = 4000
"""Documents of a corpus that are looked at, about; all of a smaller one."""


class Languages:
    """Documents, bytes, tokens and words of the sample, by language."""

    def __init__(self, sources: Mapping[str, Mapping[str, int]]) -> None:
        num_documents = sum(one["num_documents"] for name, one in sources.items() if not is_generated(name))
        self._below = (SAMPLE << 64) // max(SAMPLE, num_documents)
        self._counts: dict[str, np.ndarray] = {}

    def add(self, ids: Sequence[str], names: Sequence[str], texts: Sequence[str], counts: np.ndarray) -> None:
        """Count those of some documents that are in the sample.

        Args:
            names: of their sources.
            counts: int64 (num_documents, 4): 1, bytes, tokens, words.
        """
        for id, source, text, row in zip(ids, names, texts, counts, strict=True):
            if not is_generated(source) and key(0, id, "language") < self._below:
                language, probability = identify(text)
                name = language if probability >= SURE else UNSURE
                self._counts[name] = self._counts.get(name, 0) + row

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """(language, documents, bytes, tokens, words), the most bytes first."""
        rows = [(name, *counts.tolist()) for name, counts in self._counts.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0]))
