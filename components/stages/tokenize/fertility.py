"""Compression and fertility per language: a tokenizer may serve the largest language and split all others finely.

Languages are those of language.py, of a sample of documents that the hash of their ids chooses, so that it stays cheap.
"""

from collections.abc import Sequence

import numpy as np

from components.corpus.shuffle import key
from components.text.language import SURE, UNSURE, identify

SAMPLE = 4000
"""Documents of a corpus that are looked at, about; all of a smaller one."""


class Languages:
    """Documents, bytes, tokens and words of the sample, by language."""

    def __init__(self, num_documents: int) -> None:
        self._below = (SAMPLE << 64) // max(SAMPLE, num_documents)
        self._counts: dict[str, np.ndarray] = {}

    def add(self, ids: Sequence[str], texts: Sequence[str], counts: np.ndarray) -> None:
        """Count those of some documents that are in the sample.

        Args:
            counts: int64 (num_documents, 4): 1, bytes, tokens, words.
        """
        for id, text, row in zip(ids, texts, counts, strict=True):
            if key(0, id, "language") < self._below:
                language, probability = identify(text)
                name = language if probability >= SURE else UNSURE
                self._counts[name] = self._counts.get(name, 0) + row

    def rows(self) -> list[tuple[str, int, int, int, int]]:
        """(language, documents, bytes, tokens, words), the most bytes first."""
        rows = [(name, *counts.tolist()) for name, counts in self._counts.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0]))
