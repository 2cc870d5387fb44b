"""Scores of a shard's documents for the rules of Gopher, C4 and FineWeb, all in one pass over arrays.

Sources: Rae et al. 2021 (Gopher, arXiv:2112.11446, table A1), Raffel et al. 2020 (C4, JMLR 21/140),
Penedo et al. 2024 (FineWeb, arXiv:2406.17557); where they leave room, a score is what datatrove
0.10 computes, whose decisions the field compares with, but for what a word is: `words.Words` says
it, datatrove takes spaCy's tokens, punctuation marks among them; and lines without a word repeat
nothing. Each score is per document; limits are applied elsewhere (`rules`), so that one pass serves
any limits. All shares are 0 for a document without the thing counted.
"""

from collections.abc import Sequence

import numpy as np

from components.stages.filter.array_counts import repeats, share, within
from components.stages.filter.boilerplate import mojibake
from components.stages.filter.line_signals import line_scores
from components.stages.filter.words import WordCounts, find_words
from components.text.codepoints import ALPHA, UNSPACED, Hasher, Scan, hash_word, mixed, scan, text_blocks

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's list; here also with a capital, and in capitals."""
TOP_NGRAMS, DUPLICATE_NGRAMS = (2, 3, 4), (5, 6, 7, 8, 9, 10)

Scores = dict[str, np.ndarray]
"""Name of a score -> (num_documents,) int64 or float64."""


BLOCK_CHARS = 1 << 18
"""Texts are scored so many characters at a time: the arrays then stay in the processor's cache, and memory is small."""


def scores(texts: Sequence[str]) -> Scores:
    """All scores of `texts` but the language's, and those that need it."""
    parts = [_scores(texts[start:end]) for start, end in text_blocks(texts, BLOCK_CHARS)] or [_scores([])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scores(texts: Sequence[str]) -> Scores:
    """The same, of a block."""
    scanned = scan(texts)
    hasher = Hasher(scanned.codes)
    words = find_words(scanned, hasher)
    num_chars = np.diff(scanned.bounds) - 1
    return (
        {"num_chars": num_chars, "mojibake": mojibake(texts)}
        | word_scores(scanned, words)
        | line_scores(scanned, hasher, words, num_chars)
        | ngram_scores(words, num_chars)
    )


def word_scores(scanned: Scan, words: WordCounts) -> Scores:
    """Counts and ratios of words: Gopher's quality rules."""
    num_words, spaced = words.counts, words.sums(words.spaced)
    is_letter = (scanned.kinds & ALPHA) != 0
    letters = np.flatnonzero(is_letter)
    unspaced = scanned.count(letters[(scanned.kinds[letters] & UNSPACED) != 0])
    return {
        "num_words": num_words,
        "spaced_words": spaced,
        "mean_word_length": share(words.sums((words.ends - words.starts) * words.spaced), spaced),
        "num_tokens": num_words + words.numbers,
        "alpha_words": share(num_words, num_words + words.numbers),
        "symbols_per_word": share(np.maximum(*_symbols(scanned)), num_words),
        "stop_words": _stop_words(words),
        "unspaced_letters": share(unspaced, scanned.count(letters)),
    }


def _symbols(scanned: Scan) -> tuple[np.ndarray, np.ndarray]:
    """How often `#`, and how often `...` or its one character, occurs in each text; a ruler of them is one."""
    codes, runs = scanned.codes, dict[str, np.ndarray]()
    for sign in "#.…":
        # The newline behind each text is no sign, so every run has a next character that is none.
        edges = np.flatnonzero(np.diff(np.concatenate([[False], codes == ord(sign)]).astype(np.int8)))
        first, length = edges[0::2], edges[1::2] - edges[0::2]
        runs[sign] = first[length >= 3] if sign == "." else first
    return scanned.count(runs["#"]), scanned.count(runs["."]) + scanned.count(runs["…"])


def _stop_words(words: WordCounts) -> np.ndarray:
    """How many different stop words each text has."""
    total = np.zeros(len(words.bounds) - 1, dtype=np.int64)
    for word in STOP_WORDS:
        forms = [hash_word(form) for form in (word, word.capitalize(), word.upper())]
        positions = np.flatnonzero(np.isin(words.hashes, forms))
        total += np.diff(np.searchsorted(positions, words.bounds)) > 0
    return total


def ngram_scores(words: WordCounts, num_chars: np.ndarray) -> Scores:
    """Shares of characters in the most frequent n-gram (n = 2 to 4) and in repeated n-grams (n = 5 to 10), by Gopher.

    A gram can only be repeated where the one word shorter is, so each n looks only where the last
    one found repeats.
    """
    document = np.repeat(np.arange(len(num_chars)), np.diff(words.bounds))
    remaining = words.bounds[1:][document] - np.arange(len(document))  # words from here to the end of the text
    lengths = np.zeros(len(document) + 1, dtype=np.int64)  # characters of all words before each
    np.cumsum(words.ends - words.starts, out=lengths[1:])
    keys = within(words.hashes, document)
    # `start` has the words at which a gram begins that may be repeated, `keys` the hash of each.
    # For "x a b c y a b d":
    #   n = 2: of the starts 0 to 6 only "a b" is repeated, so start = 1 5
    #   n = 3: "a b c" and "a b d" differ: start is empty, and no longer gram can be repeated either
    start, result = np.arange(len(document)), {}
    for n in range(2, max(DUPLICATE_NGRAMS) + 1):
        fits = remaining[start] >= n
        start = start[fits]
        keys = mixed(keys[fits]) + words.hashes[start + n - 1]  # one word longer
        groups, first, count = repeats(keys)
        repeated = count > 1
        start, keys = start[repeated], keys[repeated]
        groups, first, count = groups[repeated], first[repeated], count[repeated]
        chars = lengths[start + n] - lengths[start]
        if n in TOP_NGRAMS:
            top = _top(document[start], chars + n - 1, first, count, len(num_chars))  # n - 1 spaces between
            result[f"top_{n}gram"] = share(np.where(top, top, _first_gram(words, lengths, n)), num_chars)
        elif n in DUPLICATE_NGRAMS:
            counted = start[_duplicates(start, groups, n)]
            covered = np.bincount(document[counted], lengths[counted + n] - lengths[counted], len(num_chars))
            result[f"duplicate_{n}gram"] = share(covered, num_chars)
    return result


def _top(
    document: np.ndarray, chars: np.ndarray, is_first: np.ndarray, count: np.ndarray, num_documents: int
) -> np.ndarray:
    """Characters in the most frequent gram of each text; of equally frequent ones the first. 0 if none repeats."""
    document, chars, count = document[is_first], chars[is_first], count[is_first]
    # By text, then the most frequent, then the first: each text's first row is its answer.
    order = np.lexsort((np.arange(len(document)), -count, document))
    firsts = order[np.concatenate([[True], document[order][1:] != document[order][:-1]])] if len(order) else order
    result = np.zeros(num_documents, dtype=np.int64)
    result[document[firsts]] = (chars * count)[firsts]
    return result


def _first_gram(words: WordCounts, lengths: np.ndarray, n: int) -> np.ndarray:
    """Characters of each text's first n-gram, the most frequent one where none repeats; 0 if there is none."""
    first = words.bounds[:-1]
    whole = np.diff(words.bounds) >= n
    last = np.where(whole, first + n, first)
    return np.where(whole, lengths[last] - lengths[first] + n - 1, 0)


def _duplicates(start: np.ndarray, groups: np.ndarray, n: int) -> list[int]:
    """Grams that count as duplicates when a text is read from left to right, as indices into `start`.

    A gram that was read before is one, and reading goes on after its end, so grams that begin
    inside it are not read. Example, n = 2, for "a b a b a b" (`groups`: "a b" is 0, "b a" is 1):

        start   0  1  2  3  4
        groups  0  1  0  1  0
                |  |  |  |  +-- "a b", read before: counts (index 4)
                |  |  |  +----- begins inside the gram at 2: not read
                |  |  +-------- "a b", read before: counts (index 2), reading goes on at 4
                |  +----------- "b a" for the first time
                +-------------- "a b" for the first time

    This order makes it a loop: whether a gram is read depends on all before it. It sees repeated
    grams only.

    Args:
        start: (m,) first words of all grams that occur more than once in their text, in order.
        groups: (m,) the same number for equal grams of a text.
    """
    seen = bytearray(int(groups.max()) + 1 if len(groups) else 0)
    counted, free = [], 0
    for index, (first, group) in enumerate(zip(start.tolist(), groups.tolist(), strict=True)):
        if first >= free:
            if seen[group]:
                counted.append(index)
                free = first + n
            else:
                seen[group] = 1
    return counted
