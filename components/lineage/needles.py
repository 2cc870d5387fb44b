"""Search terms for a text that is to be forgotten: its runs of words, as salted hashes, which hold no text.

A run is six words in a row, in scripts without spaces twelve characters. Those that no document
which stays has are the text's own: what holds one is a copy. Those that a few others have too are
quotations, which stay with these documents. Those that more have, such as a licence's, say nothing
of this text: they are counted, and not looked for.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from components.similarity import ngram_overlap
from components.text.codepoints import mixed
from components.text.passage_match import UNSPACED

RUN, RUN_UNSPACED = 6, 12
"""Words of a run, and characters of one in a script without spaces."""
MOST_OTHERS = 5
"""Documents that stay and have a run too, up to which it is looked for."""
MOST_RUNS = 1_000_000
"""Runs that git is to keep; of a query that names more, as a whole source may, so many are drawn by their hash."""

INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
"""Soft hyphens, joiners, marks of direction and spaces of no width, which a reader does not see."""
_UNSPACED = re.compile(f"[{UNSPACED}]")
NONE = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Needles:
    """Runs to look for, as sorted hashes: uint64 (num_runs,).

    Attributes:
        salt: mixed into each hash, so that lists of two projects do not compare.
        own: runs that no document which stays has. shared: those that a few have too.
        num_common: runs that more have. num_left: runs that are not looked for because there are
            too many.
    """

    salt: int = 0
    own: np.ndarray = field(default_factory=lambda: NONE)
    shared: np.ndarray = field(default_factory=lambda: NONE)
    num_common: int = 0
    num_left: int = 0

    @classmethod
    def of(
        cls, texts: Iterable[str], others: Iterable[Sequence[str]], salt: int, most_others: int = MOST_OTHERS
    ) -> "Needles":
        """The runs of these texts.

        Args:
            others: texts of the documents that stay, some at a time.
        """
        hashes = [salted for text in texts for _, salted, _ in _runs([text], salt)]
        every = np.unique(np.concatenate([NONE, *hashes]))
        wanted = every[:MOST_RUNS]
        have = _num_documents(wanted, others, salt)
        shared = (have > 0) & (have <= most_others)
        common, left = int((have > most_others).sum()), len(every) - len(wanted)
        return cls(salt, wanted[have == 0], wanted[shared], common, left)

    def joined(self, other: "Needles") -> "Needles":
        """These and others of the same salt, as where a removal that was interrupted goes on."""
        unique, shared = np.union1d(self.own, other.own), np.union1d(self.shared, other.shared)
        counts = max(self.num_common, other.num_common), max(self.num_left, other.num_left)
        return Needles(self.salt, unique, np.setdiff1d(shared, unique), *counts)

    def after_removal(self, others: Iterable[Sequence[str]]) -> "Needles":
        """These after the removal: runs that documents in their place have are shared."""
        have = _num_documents(self.own, others, self.salt) > 0
        return replace(self, own=self.own[~have], shared=np.union1d(self.shared, self.own[have]))

    def within(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Words of each text in runs, and in the text's own runs: int64 (num_texts,) each."""
        hits = np.zeros((2, len(texts)), np.int64)
        for size, salted, documents in _runs(texts, self.salt):
            unique, shared = (_locate(runs, salted)[1] for runs in (self.own, self.shared))
            for row, hit in enumerate((unique | shared, unique)):
                hits[row] += _words(size, np.flatnonzero(hit), documents, len(texts))
        return hits[0], hits[1]

    def as_json(self) -> dict[str, Any]:
        """For a file that git keeps."""
        unique, shared = (base64.b64encode(runs.astype("<u8").tobytes()).decode() for runs in (self.own, self.shared))
        return {"own": unique, "shared": shared, "common": self.num_common, "left": self.num_left}

    @classmethod
    def from_json(cls, row: dict[str, Any], salt: int) -> "Needles":
        """Needles of what `as_json` wrote, with this salt."""
        unique, shared = (np.frombuffer(base64.b64decode(row[name]), "<u8") for name in ("own", "shared"))
        return cls(salt, unique.astype(np.uint64), shared.astype(np.uint64), row["common"], row["left"])


def _runs(texts: Sequence[str], salt: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Length of a run, then hashes and texts of all in the order in which they stand: of words, and of characters."""
    folded = [text if text.isascii() else _folded(text) for text in texts]
    unspaced = ["" if text.isascii() else " ".join(_UNSPACED.findall(text)) for text in folded]
    spaced = [_UNSPACED.sub(" ", text) if other else text for text, other in zip(folded, unspaced, strict=True)]
    for size, some in ((RUN, spaced), (RUN_UNSPACED, unspaced)):
        if any(some):
            hashes, documents = ngram_overlap.ngrams(ngram_overlap.words(some), size)
            yield size, mixed(hashes ^ np.uint64(salt)), documents


def _num_documents(wanted: np.ndarray, others: Iterable[Sequence[str]], salt: int) -> np.ndarray:
    """The number of documents that have each of some sorted runs: int64 (num_runs,)."""
    have = np.zeros(len(wanted), np.int64)
    for some in others if len(wanted) else ():
        for _, salted, documents in _runs(some, salt):
            index, hit = _locate(wanted, salted)
            pairs = np.unique(np.stack([index[hit], documents[hit]]), axis=1)
            have += np.bincount(pairs[0], minlength=len(wanted))
    return have


def _folded(text: str) -> str:
    return (
        unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold().encode("utf-8", "replace").decode()
    )  # halves of pairs


def _locate(sorted_runs: np.ndarray, salted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each hash stands among the runs, and whether it does."""
    if not len(sorted_runs):
        return np.zeros(len(salted), np.int64), np.zeros(len(salted), bool)
    index = np.minimum(np.searchsorted(sorted_runs, salted), len(sorted_runs) - 1)
    return index, sorted_runs[index] == salted


def _words(size: int, hits: np.ndarray, documents: np.ndarray, num_texts: int) -> np.ndarray:
    """Words that runs cover which begin at these places, by text: runs overlap."""
    text = documents[hits]
    covered = np.full(len(hits), size)
    covered[:-1] = np.where(text[1:] == text[:-1], np.minimum(np.diff(hits), size), size)
    return np.bincount(text, weights=covered, minlength=num_texts).astype(np.int64)
