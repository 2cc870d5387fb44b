"""Similarity from the texts by plain Python sets: code of its own, that checks what dedup does.

Words are those that docs/data.md names: runs of letters, digits, `_` and combining marks, lower-cased; each character
of a script without spaces.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

NGRAM = 5
UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf\u2e80-\u312f\u31a0-\u9fff\ua980-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\uff66-\uff9d\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    text = text.lower()
    if text.isascii():
        return re.findall(r"\w+", text)
    return ["".join(run) for run in _runs(text)]


def _runs(text: str) -> Iterable[list[str]]:
    run: list[str] = []
    for character in text:
        inside = character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
        alone = inside and bool(UNSPACED.match(character))
        if run and (alone or not inside):
            yield run
            run = []
        if alone:
            yield [character]
        elif inside:
            run.append(character)
    if run:
        yield run


def gram_set(text: str) -> frozenset[tuple[str, ...]]:
    """The set of word 5-grams; of a text of fewer words the one tuple of all of them."""
    found = words(text)
    if len(found) < NGRAM:
        return frozenset([tuple(found)]) if found else frozenset()
    return frozenset(zip(*(found[place:] for place in range(NGRAM)), strict=False))


grams = lru_cache(maxsize=256)(gram_set)


def jaccard(first: str, second: str) -> float:
    """Jaccard similarity of the word 5-grams of two texts; 1 for two without words."""
    one, other = grams(first), grams(second)
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 1.0


def brute_force(
    sample: dict[str, str], documents: Iterable[tuple[str, str]], least: float = 0.5
) -> dict[tuple[str, str], float]:
    """All pairs of a sampled document and any other with similarity >= `least`: (smaller id, larger id) -> Jaccard.

    Args:
        sample: id -> text.
        documents: (id, text) of all documents, the sampled ones too.
    """
    holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    sizes = {}
    for name, text in sample.items():
        own = gram_set(text)
        sizes[name] = len(own)
        for gram in own:
            holders[gram].append(name)
    pairs = {}
    for name, text in documents:
        own = gram_set(text)
        shared = Counter(holder for gram in own for holder in holders.get(gram, ()))
        for other, count in shared.items():
            similarity = count / (len(own) + sizes[other] - count)
            if other != name and similarity >= least:
                pairs[min(name, other), max(name, other)] = similarity
    return pairs
