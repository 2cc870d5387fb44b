"""Shares of a text that nobody wrote to be read: banners, offers and menus of web pages, placeholder text, mojibake.

Phrases are data by language (boilerplate.json). One alone is no evidence, since people write about cookies and prices:
sentences count from `LEAST_PHRASES` different phrases of a kind, and lines that are nothing but a label of a menu from
`LEAST_LABELS`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

PHRASES: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Kind ("banner", "spam", "menu") -> language (ISO 639-1) -> phrases in lower case."""
LEAST_PHRASES = {"placeholder": 2, "banner": 2, "spam": 3}
LEAST_LABELS = 4
LEAST_SIGNS = 3
"""Signs of a wrong encoding from which they are no chance."""
LONGEST_MENU = 4000
"""Characters; a longer text with labels of a menu among its lines has more than a menu."""

PLACEHOLDERS = (
    "lorem ipsum", "dolor sit amet", "consectetur adipiscing", "sed do eiusmod", "incididunt ut labore",
    "dolore magna aliqua", "ut enim ad minim", "quis nostrud", "ullamco laboris", "duis aute irure",
    "in voluptate velit", "cillum dolore", "excepteur sint", "sunt in culpa", "deserunt mollit", "your text here",
    "your text goes here", "your content here", "your content goes here", "your description here", "placeholder text",
)  # fmt: skip
_LABELS = 4
LEAST_SIGNS = 3
"""Signs of a wrong encoding from which they are no chance."""
LONGEST_MENU = 4000
"""Characters; a longer text with labels of a menu among its lines has more than a menu."""

_COOKIES = (
    r"(?:we|this (?:web)?site|our partners)\b[^.\n]{0,40}\buses? cookies",
    r"(?:accept|reject|allow|manage) (?:all )?(?:the )?cookies?",
    r"cookie (?:settings|preferences|consent|policy|notice)",
    r"use of cookies|cookies? (?:are|to) (?:used|improve|enhance)|may use cookies",
)
_PLACEHOLDER = (
    r"lorem ipsum|dolor sit amet|consectetur adipiscing|sed do eiusmod|incididunt ut labore|dolore magna aliqua"
    r"|ut enim ad minim|quis nostrud|ullamco laboris|duis aute irure|in voluptate velit|cillum dolore|excepteur sint"
    r"|sunt in culpa|deserunt mollit|your (?:text|content|description) (?:goes )?here|placeholder text"
)


def _any_of(kind: str, *more: str) -> re.Pattern[str]:
    """All phrases of a kind; where two begin at one place, the longer."""
    phrases = sorted(set(chain.from_iterable(PHRASES[kind].values())), key=lambda phrase: (-len(phrase), phrase))
    return re.compile("|".join([*more, *map(re.escape, phrases)]))


_PATTERNS = {"placeholder": re.compile(_PLACEHOLDER), "banner": _any_of("banner", *_COOKIES), "spam": _any_of("spam")}
_LABELS = frozenset(chain.from_iterable(PHRASES["menu"].values()))
_SENTENCE = re.compile(r"[^.!?。！？।\n]+[.!?。！？।\n]*")
_ITEM = re.compile(r"[^\n|·•»›>/\t]+")
_EDGES = " \r*-–—:»«[]()+0123456789."
_SIGN = "[€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\x80-\xbf]"
_MOJIBAKE = re.compile(f"[ÂÃÄÅÎÏÐÑ×Ø]{_SIGN}{{1,2}}|[âãäåæçèéêëìíîïð]{_SIGN}{{2,3}}|ï¿½|\ufffd")
"""UTF-8 read as Windows-1252 or Latin-1: a letter with as many signs as its bytes have; or marks of lost bytes."""


def boilerplate(texts: Sequence[str], languages: Iterable[str]) -> np.ndarray:
    """Largest share of each text's characters in banners, offers, placeholders or menus, float64 (num_texts,).

    Args:
        languages: of each text (ISO 639-1); phrases of this one are looked for, and English ones.
    """
    return np.array([_share_of_boilerplate(*pair) for pair in zip(texts, languages, strict=True)], dtype=np.float64)


def mojibake(texts: Sequence[str]) -> np.ndarray:
    """Share of each text's characters that a wrong encoding made, float64 (num_documents,)."""
    return np.array([_share_of_wrong(text) for text in texts], dtype=np.float64)


@cache
def _phrases(language: str) -> dict[str, list[str]]:
    """Kind -> phrases that are looked for in a text of this language."""
    kinds = {kind: sorted({*PHRASES[kind]["en"], *PHRASES[kind].get(language, ())}) for kind in ("banner", "spam")}
    return kinds | {"placeholder": list(PLACEHOLDERS)}


def _share_of_boilerplate(text: str, language: str) -> float:
    lowered = text.lower()
    shares = [_share_of_sentences(lowered, some, LEAST_PHRASES[kind]) for kind, some in _phrases(language).items()]
    return max(*shares, _share_of_menu(lowered)) / max(1, len(lowered))


def _share_of_sentences(lowered: str, phrases: Sequence[str], least: int) -> int:
    """Characters in sentences with one of the phrases; 0 if the text has too few different ones."""
    found = [phrase for phrase in phrases if phrase in lowered]
    if len(found) < least:
        return 0
    sentences = (match[0] for match in _SENTENCE.finditer(lowered))
    return sum(len(sentence) for sentence in sentences if any(phrase in sentence for phrase in found))


def _share_of_menu(lowered: str) -> int:
    """Characters in items of lines that are a label of a menu; 0 if there are too few."""
    if len(lowered) > LONGEST_MENU:
        return 0
    labels = [item for item in _ITEM.findall(lowered) if item.strip(_EDGES) in _LABELS]
    return sum(len(item) + 1 for item in labels) if len(set(labels)) >= LEAST_LABELS else 0


def _share_of_wrong(text: str) -> float:
    if text.isascii():
        return 0.0
    wrong = [len(match[0]) for match in _MOJIBAKE.finditer(text)]
    return sum(wrong) / len(text) if len(wrong) >= LEAST_SIGNS else 0.0
