"""Language of a text, by py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2012).

The model is in the package's wheel; its automaton is walked here, in all texts at once: the
package's own loop over bytes took half of the filter's CPU seconds. A thousand characters are read,
from the beginning and the middle of the text. Probabilities are rounded to 3 digits, far coarser
than what float arithmetic of other machines changes.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

EXCERPT_CHARS = 500
NO_LANGUAGE = "zxx"
"""ISO 639-2 code for "no linguistic content", which the model knows too."""
UNSURE = "unsure"
"""In the place of a language whose probability is below `SURE`."""
SURE = 0.5
"""Probability from which a text counts as being in a language."""
MEMBERS = {"ary": "ar", "arz": "ar", "wuu": "zh", "yue": "zh", "nn": "no"}
"""Varieties that the model tells apart, by the language that ISO 639-3 counts them to: people name that."""
BLOCK_TEXTS, WIDTH, DEPTH, NO_BYTE = 256, 64, 6, b"\xff"
"""Texts that are looked at together; bytes that one row of the walk has; bytes before a row that
lead to the state it starts in, as many as the longest n-gram has; a byte that no text has, which
leads to the first state."""


class Identifier:
    """The package's model as arrays.

    Attributes:
        rows: where each state's row of `moves` starts, (num_states,).
        moves: the next state by row and byte, (num_rows * 256,).
        features: the n-gram that each state ends, (num_states,); -1 for none.
        weights, prior: log probabilities, (num_features, num_classes) and (num_classes,), float32.
        labels: the languages in order, (num_languages,).
        first: the first class of each, (num_languages,).
        of: the language of each class, (num_classes,); varieties and scripts are classes of their
            own.
    """

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        known = LanguageIdentifier.from_model_file(MODEL_FILE)
        self.rows, self.moves = np.asarray(known.tk_row).astype(np.int64) << 8, np.asarray(known.tk_nextmove)
        self.features = np.array(known.tk_output, np.int32)
        self.weights, self.prior = known.nb_ptc.astype(np.float32), known.nb_pc
        names = [MEMBERS.get(name, name) for name in known.nb_classes]
        self.labels, self.first, self.of = np.unique(names, return_index=True, return_inverse=True)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each language, (num_texts, num_languages) float64."""
        upper = (text.lower() if text.isupper() else text for text in map(excerpt, texts))
        data = [unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass") for text in upper]
        lengths = np.array([len(one) for one in data])
        counts = self._counts(data, lengths)
        scores = counts @ self.weights + self.prior
        scores[np.diff(counts.indptr) == 0] = 0  # nothing known is in the text: all are as likely
        scores *= (1 / np.sqrt(np.maximum(lengths, 1)))[:, None].astype(np.float32)
        likely = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
        likely /= likely.sum(axis=1, keepdims=True)
        by_language = likely[:, self.first]
        for number in np.setdiff1d(np.arange(len(self.of)), self.first):
            by_language[:, self.of[number]] += likely[:, number]
        return by_language

    def _counts(self, data: Sequence[bytes], lengths: np.ndarray) -> Any:
        """Logarithms of the n-grams' counts, (num_texts, num_features), sparse by rows."""
        from scipy.sparse import csr_array

        ends = np.cumsum(lengths + 1)
        features = self._walk(NO_BYTE.join([*data, b""]))
        index = np.flatnonzero(features >= 0)
        width = len(self.weights)
        keys, counts = np.unique(np.searchsorted(ends, index, "right") * width + features[index], return_counts=True)
        starts = np.searchsorted(keys, np.arange(len(data) + 1) * width)
        return csr_array((np.log1p(counts.astype(np.float32)), keys % width, starts), shape=(len(data), width))

    def _walk(self, joined: bytes) -> np.ndarray:
        """The n-gram that ends at each byte, or -1: rows of `WIDTH` bytes are walked side by side,
        since a state follows from the `DEPTH` bytes before it."""
        padded = NO_BYTE * DEPTH + joined + NO_BYTE * (-len(joined) % WIDTH)
        columns = sliding_window_view(np.frombuffer(padded, np.uint8), WIDTH + DEPTH)[::WIDTH].T
        states = np.zeros((WIDTH + DEPTH + 1, columns.shape[1]), np.int64)
        for number, column in enumerate(np.ascontiguousarray(columns)):
            states[number + 1] = self.moves[self.rows[states[number]] + column]
        return self.features[states[DEPTH + 1 :].T.ravel()[: len(joined)]]


_identifier = cache(Identifier)


def excerpt(text: str) -> str:
    """Part of a text that is read: the beginning, and the middle of a longer one."""
    if len(text) <= 2 * EXCERPT_CHARS:
        return text
    middle = len(text) // 2
    return text[:EXCERPT_CHARS] + "\n" + text[middle : middle + EXCERPT_CHARS]


def identify_all(texts: Sequence[str], wanted: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Most likely language of each text (ISO 639-1), its probability, and that it is one of `wanted` (1 if none)."""
    parts = [_identifier().probabilities(texts[cut : cut + BLOCK_TEXTS]) for cut in range(0, len(texts), BLOCK_TEXTS)]
    likely = np.concatenate(parts or [np.zeros((0, len(_identifier().labels)))])
    kept = likely[:, np.isin(_identifier().labels, wanted)].sum(axis=1) if wanted else np.ones(len(texts))
    best = likely.argmax(axis=1)
    return _identifier().labels[best], likely.max(axis=1).round(3), kept.round(3)


def identify(text: str) -> tuple[str, float]:
    """The same of one text: its most likely language, and its probability."""
    languages, probabilities, _ = identify_all([text])
    return str(languages[0]), float(probabilities[0])


def surely_not_english(text: str) -> bool:
    """Whether a text is surely in another language: what holds for English alone says nothing of it."""
    language, probability = identify(text)
    return language not in ("en", NO_LANGUAGE) and probability >= SURE


def known_languages() -> list[str]:
    """Codes that `identify` gives."""
    return _identifier().labels.tolist()
