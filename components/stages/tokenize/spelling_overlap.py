"""Overlap of held-out and training text: repeated n-grams, as written and with spellings folded.

A play in the spelling of 1623 and its modern edition share few 13-grams word for word, and say the same. So n-grams are
compared a second time with spellings folded: `v` as `u`, `j` and `y` as `i`, doubled letters as one, a final `e` left
out ("loue", "love" -> "lou"; "sonne", "son" -> "son"). That folds different words together now and then ("be", "bee"),
but hardly thirteen in a row. Paraphrases and translations stay unseen.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from components.similarity.ngram_overlap import NGRAM, Overlap, as_written, words

_SPACE, _E = ord(" "), ord("e")
_FOLDED = np.frombuffer(bytes.maketrans(b"vjy", b"uii"), np.uint8)


def fold(data: np.ndarray, first_byte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fold spellings; every word stays a word. See `overlap.Fold`."""
    data = _FOLDED[data]
    letter = (data >= ord("a")) & (data <= ord("z"))
    doubled = np.zeros(len(data), bool)
    doubled[1:] = letter[1:] & (data[1:] == data[:-1])
    data, first_byte = _without(doubled, data, first_byte)
    final = np.zeros(len(data), bool)
    before, after = data[:-2], data[2:]
    ends = (after == _SPACE) | ((after >= 0xE3) & (after <= 0xE9))  # an ideograph is a word of its own
    final[1:-1] = (data[1:-1] == _E) & (before != _SPACE) & (before < 0x80) & ends
    return _without(final, data, first_byte)


def _without(dropped: np.ndarray, data: np.ndarray, first_byte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept_before = np.concatenate([[0], np.cumsum(~dropped)])
    return data[~dropped], kept_before[first_byte]


@dataclass(frozen=True)
class OverlapCounts:
    """N-grams of each held-out document, int64 (num_documents,) each.

    Attributes:
        total: all. repeated: that training repeats word for word. folded: that it repeats in any spelling.
        example: words of a held-out document that training has in other spelling only; "" if there are none.
        example_document: its number.
    """

    total: np.ndarray
    repeated: np.ndarray
    folded: np.ndarray
    example: str = ""
    example_document: int = 0


class Overlaps:
    """The held-out n-grams that training repeats, word for word and with spellings folded."""

    def __init__(self) -> None:
        self._verbatim, self._folded = Overlap(), Overlap()

    def hold_out(self, texts: Sequence[str]) -> np.ndarray:
        """Add held-out documents, all of them before the first `see`. Returns the words of each."""
        text_words = words(texts)
        self._verbatim.hold_out(text_words, len(texts))
        self._folded.hold_out(words(texts, fold), len(texts))
        return np.bincount(text_words.document, minlength=len(texts))

    def see(self, texts: Sequence[str], threads: int = 1) -> np.ndarray:
        """Mark what training documents repeat. Returns the words of each."""
        with ThreadPoolExecutor(threads) as pool:  # both kinds at once: numpy lets go of the interpreter
            folded = pool.submit(lambda: self._folded.see(words(texts, fold)))
            text_words = pool.submit(words, texts).result()
            self._verbatim.see(text_words)
            folded.result()
        return np.bincount(text_words.document, minlength=len(texts))

    def measured(self, heldout: Iterable[str]) -> OverlapCounts:
        """The counts, and an example from the document that gains most by folding.

        Args:
            heldout: the held-out texts again, in the same order; read no further than the example.
        """
        total, repeated = self._verbatim.per_document()
        folded = self._folded.per_document()[1]
        if not len(total) or (folded <= repeated).all():
            return OverlapCounts(total, repeated, folded)
        best = int(np.argmax(folded - repeated))
        new = self._folded.repeats(best) & ~self._verbatim.repeats(best)
        first = int(np.flatnonzero(new)[0])
        text = next(islice(heldout, best, None))
        shown = " ".join(as_written(text)[first : first + NGRAM])
        return OverlapCounts(total, repeated, folded, shown, best)
