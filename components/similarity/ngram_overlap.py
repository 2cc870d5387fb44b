"""Share of the held-out text that the training text repeats word for word: shared 13-grams.

Deduplication removes copies of whole documents. Quotations, other spellings of a play, a licence pasted into many pages
stay, and a held-out score is that much flattered. So the share of held-out 13-grams that also occur in training is
measured and reported; 13 words is the length GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C) used.

A word here is a run of ASCII letters and digits and of bytes above 127, ASCII lower-cased; punctuation separates; each
Chinese or Japanese character (U+3000 to U+9FFF) is a word. All is done on arrays of bytes: 30 MB take about a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.text.codepoints import Hasher, mixed

NGRAM = 13

_NGRAM_BASE = np.uint64(0xD6E8FEB86659FD93)
_SPACE = 0x20
_ASCII = bytes(ord(chr(byte).lower()) if chr(byte).isalnum() else _SPACE for byte in range(0x80))
_TABLE = _ASCII + bytes(range(0x80, 0x100))


@dataclass
class Words:
    """The words of some documents, in order.

    Attributes:
        hashes: uint64 (num_words,), equal words have equal hashes.
        document: int64 (num_words,), which document each word is in.
    """

    hashes: np.ndarray
    document: np.ndarray


def words(texts: Sequence[str]) -> Words:
    """Hash the words of `texts`. Memory is about 40 times their bytes: give it a shard at a time."""
    pieces = [text.encode() for text in texts]
    data = _separated(pieces)
    first_byte = np.cumsum([0] + [len(piece) + 1 for piece in pieces])
    starts, ends = _word_bounds(data)
    return Words(Hasher(data)(starts, ends), np.searchsorted(first_byte, starts, side="right") - 1)


def _separated(pieces: list[bytes]) -> np.ndarray:
    """The bytes of all texts, ASCII lower-cased, with a space after each and for whatever separates words."""
    data = np.frombuffer((b" ".join(pieces) + b" ").translate(_TABLE), dtype=np.uint8).copy()
    # U+2000 to U+203F (quotes, dashes) and U+3000 to U+303F (ideographic punctuation) are three bytes each in UTF-8,
    # of which the first two are E2 80 and E3 80.
    for lead in (0xE2, 0xE3):
        first = np.flatnonzero((data[:-1] == lead) & (data[1:] == 0x80))
        for offset in range(3):
            data[first + offset] = _SPACE
    return data


def _word_bounds(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Byte offsets where words start and end. `data` ends with a space."""
    inside = data != _SPACE
    ideograph = (data >= 0xE3) & (data <= 0xE9)  # lead bytes of U+3000 to U+9FFF, three bytes each
    start = inside.copy()
    start[1:] &= ~inside[:-1] | ideograph[1:]  # a word starts after a space, and at each ideograph
    start[3:] |= inside[3:] & ideograph[:-3]  # and right after an ideograph's three bytes
    end = inside[:-1] & (~inside[1:] | start[1:])
    return np.flatnonzero(start), np.flatnonzero(end) + 1


def ngrams(tokens: Words, n: int = NGRAM) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all runs of `n` words within a document, and the document of each: uint64 and int64 (num_ngrams,)."""
    count = len(tokens.hashes) - n + 1
    if count <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(n):
        total = total * _NGRAM_BASE + tokens.hashes[offset : offset + count]
    whole = tokens.document[:count] == tokens.document[n - 1 :]  # no run crosses from one document to the next
    return mixed(total)[whole], tokens.document[:count][whole]


def passages(text: str, wanted: np.ndarray, n: int = NGRAM) -> list[tuple[str, np.ndarray]]:
    """Stretches of a text made of runs whose hash is wanted, runs that overlap joined, each with its runs' hashes.

    Args:
        wanted: sorted uint64 hashes of `ngrams`.
    """
    data = _separated([text.encode()])
    starts, ends = _word_bounds(data)
    runs, _ = ngrams(words([text]), n)
    nearest = np.minimum(np.searchsorted(wanted, runs), len(wanted) - 1)
    hits = np.flatnonzero(wanted[nearest] == runs) if len(wanted) else np.zeros(0, np.int64)
    if not len(hits):
        return []
    content = text.encode()
    return [
        (" ".join(content[starts[part[0]] : ends[part[-1] + n - 1]].decode().split()), runs[part])
        for part in np.split(hits, np.flatnonzero(np.diff(hits) > 1) + 1)
    ]


class Overlap:
    """The held-out n-grams, and which of them training text has repeated so far.

    Memory grows with the held-out text (25 bytes a word), not with the training text.
    """

    def __init__(self) -> None:
        self._hashes, self._distinct = np.zeros((2, 0), np.uint64)
        self._documents = np.zeros(0, np.int64)  # of each of `_hashes`
        self._num_documents = 0
        self._seen = np.zeros(0, bool)  # of each of `_distinct`

    def hold_out(self, tokens: Words, num_documents: int) -> None:
        """Add a shard of held-out documents; all of them before the first `see`."""
        hashes, documents = ngrams(tokens)
        self._hashes = np.concatenate([self._hashes, hashes])
        self._documents = np.concatenate([self._documents, documents + self._num_documents])
        self._num_documents += num_documents
        self._distinct = np.zeros(0, np.uint64)

    def see(self, tokens: Words) -> None:
        """Mark the n-grams that a shard of training documents repeats."""
        if not len(self._distinct):
            self._distinct = np.unique(self._hashes)
            self._seen = np.zeros(len(self._distinct), bool)
        if len(self._distinct):
            hashes = ngrams(tokens)[0]
            nearest = np.minimum(np.searchsorted(self._distinct, hashes), len(self._distinct) - 1)
            self._seen[nearest[self._distinct[nearest] == hashes]] = True

    def per_document(self) -> tuple[np.ndarray, np.ndarray]:
        """N-grams of each held-out document, and how many of them training repeats: int64 (num_documents,) each."""
        repeated = np.zeros(len(self._hashes), bool)
        if len(self._distinct):
            repeated = self._seen[np.searchsorted(self._distinct, self._hashes)]
        count = self._num_documents
        total = np.bincount(self._documents, minlength=count)
        return total, np.bincount(self._documents[repeated], minlength=count)
