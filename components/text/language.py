"""Language of a text, by py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2012).

The model is in the package's wheel. It reads a thousand characters, from the beginning and the middle of the text: that
is what makes it affordable (8 MB/s otherwise). Probabilities are rounded to 3 digits, far coarser than what float
arithmetic of other machines changes.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

EXCERPT_CHARS = 500
NO_LANGUAGE = "zxx"
"""ISO 639-2 code for "no linguistic content", which the model knows too."""
UNSURE = "unsure"
"""In the place of a language whose probability is below `SURE`."""
SURE = 0.5
"""Probability from which a text counts as being in a language."""
MEMBERS = {"ary": "ar", "arz": "ar", "wuu": "zh", "yue": "zh", "nn": "no"}
"""Varieties that the model tells apart, by the language that ISO 639-3 counts them to: people name that."""


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def excerpt(text: str) -> str:
    """What is looked at: the beginning, and the middle of a longer text."""
    if len(text) <= 2 * EXCERPT_CHARS:
        return text
    middle = len(text) // 2
    return text[:EXCERPT_CHARS] + "\n" + text[middle : middle + EXCERPT_CHARS]


def identify(text: str, wanted: Sequence[str] = ()) -> tuple[str, float, float]:
    """Most likely language (ISO 639-1), its probability, and the probability that it is one of `wanted` (1 if none)."""
    ranked = dict(_identifier().rank(excerpt(text)))
    for name, of in MEMBERS.items():
        ranked[of] += ranked.pop(name)
    language = max(ranked, key=ranked.__getitem__)
    kept = sum(ranked.get(name, 0.0) for name in wanted) if wanted else 1.0
    return language, round(ranked[language], 3), round(kept, 3)


def surely_not_english(text: str) -> bool:
    """Whether a text is surely in another language: what holds for English alone says nothing of it."""
    language, probability, _ = identify(text)
    return language not in ("en", NO_LANGUAGE) and probability >= SURE


def known_languages() -> list[str]:
    """Codes that `identify` gives."""
    return sorted(set(_identifier().labels) - set(MEMBERS))
