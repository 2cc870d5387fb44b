"""Scores of a shard's documents for the rules of Gopher, C4 and FineWeb, all in one pass over arrays.

Sources: Rae et al. 2021 (Gopher, arXiv:2112.11446, table A1), Raffel et al. 2020 (C4, JMLR 21/140), Penedo et al. 2024
(FineWeb, arXiv:2406.17557). Each score is per document; limits are applied elsewhere (`rules`), so that one pass serves
any limits.

A *token* is a word (see `scan`) or a run of one other character (`==`, `...`, `,`). N-grams are of tokens, joined by
one space when their characters are counted. All shares are 0 for a document without the thing counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.data.counting import repeats, share
from components.data.line_quality import line_scores
from components.data.scan import ALPHA, SPACE, UNSPACED, WORD, Hasher, Scan, hash_word, mixed, scan

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's list. Found in any case."""
TOP_NGRAMS, DUPLICATE_NGRAMS = (2, 3, 4), (5, 6, 7, 8, 9, 10)

Scores = dict[str, np.ndarray]
"""Name of a score -> (num_documents,) int64 or float64."""


@dataclass
class Tokens:
    """The tokens of a scan.

    Attributes:
        starts, ends: (num_tokens,) int64 positions.
        is_word: (num_tokens,) bool.
        hashes: (num_tokens,) uint64.
        bounds: (num_texts + 1,) int64, the first token of each text.
    """

    starts: np.ndarray
    ends: np.ndarray
    is_word: np.ndarray
    hashes: np.ndarray
    bounds: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, one per token, within each text; int64."""
        total = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=total[1:])
        return total[self.bounds[1:]] - total[self.bounds[:-1]]


def scores(texts: Sequence[str]) -> Scores:
    """All scores of `texts` but the language's."""
    scanned = scan(texts)
    hasher = Hasher(scanned.codes)
    tokens = tokenise(scanned, hasher)
    num_chars = np.diff(scanned.bounds) - 1
    return (
        {"num_chars": num_chars}
        | word_scores(scanned, tokens)
        | line_scores(scanned, hasher, np.diff(tokens.bounds), num_chars)
        | ngram_scores(tokens, num_chars)
    )


def tokenise(scanned: Scan, hasher: Hasher) -> Tokens:
    """Words and runs of one other character."""
    kinds, codes = scanned.kinds, scanned.codes
    word, space, alone = ((kinds & bit) != 0 for bit in (WORD, SPACE, UNSPACED))
    begins = ~space
    same = begins[1:] & begins[:-1] & (word[1:] == word[:-1]) & ~alone[1:] & ~alone[:-1]
    begins[1:] &= ~(same & (word[1:] | (codes[1:] == codes[:-1])))
    starts = np.flatnonzero(begins)
    # A token ends where the next one begins or at white space. Every text is followed by a newline, so one comes.
    ends = np.flatnonzero((begins | space)[1:] & ~space[:-1]) + 1
    return Tokens(starts, ends, word[starts], hasher(starts, ends), np.searchsorted(starts, scanned.bounds))


def word_scores(scanned: Scan, tokens: Tokens) -> Scores:
    """Counts and ratios of words: Gopher's quality rules."""
    num_tokens, num_words = np.diff(tokens.bounds), tokens.sums(tokens.is_word)
    letters = np.flatnonzero(scanned.kinds & ALPHA)
    num_letters = scanned.count(letters)
    unspaced = scanned.count(letters[(scanned.kinds[letters] & UNSPACED) != 0])
    has_letter = np.diff(np.searchsorted(letters, np.append(tokens.starts, len(scanned.codes)))) > 0
    hashes = scanned.count(np.flatnonzero(scanned.codes == ord("#")))
    return {
        "num_words": num_words,
        "num_tokens": num_tokens,
        "mean_word_length": share(tokens.sums((tokens.ends - tokens.starts) * tokens.is_word), num_words),
        "alpha_words": share(tokens.sums(has_letter), num_tokens),
        "symbols_per_word": share(np.maximum(hashes, _ellipses(scanned)), num_tokens),
        "stop_words": _stop_words(tokens),
        "unspaced_letters": share(unspaced, num_letters),
    }


def _ellipses(scanned: Scan) -> np.ndarray:
    """How often `...` or the one-character ellipsis occurs in each text."""
    codes = scanned.codes
    dots = codes == ord(".")
    begins = dots & ~np.concatenate([[False], dots[:-1]])
    first = np.flatnonzero(begins)
    after = np.flatnonzero(~dots)
    length = after[np.searchsorted(after, first)] - first
    threes = np.bincount(scanned.document_of(first), weights=length // 3, minlength=len(scanned.bounds) - 1)
    return threes.astype(np.int64) + scanned.count(np.flatnonzero(codes == ord("…")))


def _stop_words(tokens: Tokens) -> np.ndarray:
    """How many different stop words each text has."""
    total = np.zeros(len(tokens.bounds) - 1, dtype=np.int64)
    for word in STOP_WORDS:
        found = np.zeros(len(tokens.hashes), dtype=bool)
        for form in (word, word.capitalize(), word.upper()):
            found |= tokens.hashes == hash_word(form)
        total += np.diff(np.searchsorted(np.flatnonzero(found), tokens.bounds)) > 0
    return total


def ngram_scores(tokens: Tokens, num_chars: np.ndarray) -> Scores:
    """Shares of characters in the most frequent n-gram (n = 2 to 4) and in repeated n-grams (n = 5 to 10), by Gopher.

    A gram can only be repeated where the one word shorter is, so each n looks only where the last one found repeats.
    """
    document = np.repeat(np.arange(len(num_chars)), np.diff(tokens.bounds))
    room = tokens.bounds[1:][document] - np.arange(len(document))  # tokens from here to the end of the text
    lengths = np.zeros(len(document) + 1, dtype=np.int64)
    np.cumsum(tokens.ends - tokens.starts, out=lengths[1:])
    keys = mixed(tokens.hashes ^ mixed(document.astype(np.uint64)))  # equal only within a text
    at, result = np.arange(len(document)), {}
    for n in range(2, max(DUPLICATE_NGRAMS) + 1):
        at = at[room[at] >= n]
        keys_n = keys[at].copy()
        for place in range(1, n):
            keys_n = mixed(keys_n) + tokens.hashes[at + place]
        chars = lengths[at + n] - lengths[at] + n - 1
        repeated, is_first, count = repeats(keys_n)
        at, chars, is_first, count = at[repeated], chars[repeated], is_first[repeated], count[repeated]
        if n in TOP_NGRAMS:
            result[f"top_{n}gram"] = share(_top(document[at], chars, is_first, count, len(num_chars)), num_chars)
        elif n in DUPLICATE_NGRAMS:
            later = ~is_first
            covered = _non_overlapping(at[later], chars[later], document[at[later]], n, len(num_chars))
            result[f"duplicate_{n}gram"] = share(covered, num_chars)
    return result


def _top(
    document: np.ndarray, chars: np.ndarray, is_first: np.ndarray, count: np.ndarray, num_documents: int
) -> np.ndarray:
    """Characters in the most frequent gram of each text; of equally frequent ones the first. 0 if none repeats."""
    document, chars, count = document[is_first], chars[is_first], count[is_first]
    order = np.lexsort((np.arange(len(document)), -count, document))
    leads = order[np.concatenate([[True], document[order][1:] != document[order][:-1]])] if len(order) else order
    result = np.zeros(num_documents, dtype=np.int64)
    result[document[leads]] = (chars * count)[leads]
    return result


def _non_overlapping(at: np.ndarray, chars: np.ndarray, document: np.ndarray, n: int, num_documents: int) -> np.ndarray:
    """Characters of repeated grams, taken from left to right so that none overlaps the one before.

    `at` are the places where a gram begins that occurred earlier in the text; runs of neighbours go in steps of n.
    """
    result = np.zeros(num_documents, dtype=np.int64)
    if not len(at):
        return result
    cuts = np.flatnonzero((np.diff(at) > 1) | (np.diff(document) > 0)) + 1
    begins, ends = np.append(0, cuts), np.append(cuts, len(at))
    first_place = at[begins]
    free, picks = 0, []
    for begin, end, place in zip(begins.tolist(), ends.tolist(), first_place.tolist(), strict=True):
        start = begin + max(free - place, 0)
        if start < end:
            taken = -(-(end - start) // n)
            free = place + (start - begin) + taken * n
            picks.append((start, end))
    if picks:
        chosen = np.concatenate([np.arange(start, end, n) for start, end in picks])
        np.add.at(result, document[chosen], chars[chosen])
    return result
