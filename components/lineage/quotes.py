"""Texts that name a document or quote it: reports, with their examples, show passages without saying from where.

A quotation is a run of words of the document that no other document has: a licence, or a line that many pages begin
with, says nothing of this one.
"""

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from components.similarity import ngram_overlap

RUN = 8
"""Words in a row that are a quotation."""
HEAD = 60
"""Characters of the beginning of a text that are looked for as they are."""
BLOCK, OVERLAP = 1 << 20, 1 << 10
"""Characters whose words are hashed at once, and how far a block reaches into the next."""
MOST_BYTES = 20_000_000
"""Larger files are not searched."""


class Quotes:
    """What is looked for: ids, beginnings, and runs of words of texts."""

    def __init__(self, ids: Iterable[str], texts: Iterable[str], others: Iterable[Sequence[str]] = ()) -> None:
        """`others`: texts of the other documents, some at a time."""
        texts = list(texts)
        heads = {text[:HEAD] for text in texts if len(text) > HEAD // 2}
        self._runs = np.unique(np.concatenate([np.zeros(0, np.uint64), *map(_runs, texts)]))
        for some in others if texts else ():
            heads -= {text[:HEAD] for text in some}
            self._runs = self._runs[~np.isin(self._runs, _runs("\n".join(some)))]
        self._needles = sorted({*ids, *heads})

    def inside(self, path: Path) -> bool:
        """Whether a file names or quotes one; no picture and no file that is too large does."""
        return path.stat().st_size <= MOST_BYTES and self.within(path.read_bytes())

    def within(self, data: bytes) -> bool:
        """Whether the content of a file names or quotes one."""
        import polars as pl

        text = data.decode("utf-8", "replace")
        if self._needles and pl.Series([text]).str.contains_any(self._needles).item():  # all of them in one pass
            return True
        if b"\0" in data or not len(self._runs):
            return False
        text = html.unescape(re.sub(r"\\[nrt]", " ", text))
        found = _runs(text)
        place = np.minimum(np.searchsorted(self._runs, found), len(self._runs) - 1)  # `isin` would sort all runs anew
        return bool((self._runs[place] == found).any())


def _runs(text: str) -> np.ndarray:
    blocks = (text[start : start + BLOCK + OVERLAP] for start in range(0, len(text), BLOCK))
    hashes = [ngram_overlap.ngrams(ngram_overlap.words([block]), RUN)[0] for block in blocks]
    return np.concatenate([np.zeros(0, np.uint64), *hashes])
