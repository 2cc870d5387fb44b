"""Shares of a text that nobody wrote to be read: banners, offers and menus of web pages, placeholder text, mojibake.

Phrases are data by language (boilerplate.json). One alone is no evidence, since people write about cookies and prices:
sentences count from `LEAST_PHRASES` different ones of a kind; a banner is short, and names cookies or accepts all.
A menu is nothing but short items without punctuation, of which several are words of menus: verse, a table of contents
and a list of names have its form, too.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from components.text.passage_match import UNSPACED

PHRASES: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Kind -> language (ISO 639-1; "" for all) -> phrases in lower case, of banners stems. A banner has a "cookie", too."""
LEAST_PHRASES = {"placeholder": 2, "banner": 3, "spam": 3}
LONGEST_BANNER, LONGEST_MENU = 1500, 4000
"""Characters."""
LEAST_ITEMS, LONGEST_ITEM, MOSTLY_ITEMS = 5, 30, 0.9
"""Different items of a menu at least, characters of one (those without spaces count as three), share of such lines."""
MENU_WORDS = frozenset(word for words in PHRASES["menu"].values() for word in words)
"""Of all languages: a few words tell the identifier little."""
LEAST_WORDS, WORDS_SHARE = 3, 1 / 3
"""Different items that are words of menus, at least, and their share of the different items."""
LEAST_SIGNS, MOSTLY_WRONG = 3, 0.5
"""Signs of a wrong encoding from which they are no chance, and their share of what is beyond ASCII: a text with other
letters shows some of another encoding, and is not in it."""

_SENTENCE = re.compile(r"[^.!?。！？।\n]+[.!?。！？।\n]*")
_ITEM = re.compile(r"[^\n|·•»›\t]+")
_BARE = re.compile(r"[ \r*-]*[^\W\d_][\w'’ &\u0300-\u036f\u0900-\u0dff-]*")
_UNSPACED = re.compile(f"[{UNSPACED}]")
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
    return {
        kind: sorted({one for key in ("", "en", language) for one in of.get(key, ())}) for kind, of in PHRASES.items()
    }


def _share_of_boilerplate(text: str, language: str) -> float:
    lowered = text.lower()
    phrases, least = _phrases(language), dict(LEAST_PHRASES)
    if len(text) > LONGEST_BANNER or not any(word in lowered for word in phrases["cookie"]):
        del least["banner"]
    shares = [_share_of_sentences(lowered, phrases[kind], count) for kind, count in least.items()]
    return max(*shares, _share_of_menu(lowered)) / max(1, len(lowered))


def _share_of_sentences(lowered: str, phrases: Sequence[str], least: int) -> int:
    """Characters in sentences with one of the phrases; 0 if the text has too few different ones."""
    hits = [phrase for phrase in phrases if phrase in lowered]
    if len(hits) < least:
        return 0
    sentences = (match[0] for match in _SENTENCE.finditer(lowered))
    return sum(len(sentence) for sentence in sentences if any(phrase in sentence for phrase in hits))


def _share_of_menu(lowered: str) -> int:
    """Characters of a text that is a menu; else 0."""
    found = _ITEM.findall(lowered) if len(lowered) <= LONGEST_MENU else []
    items = [item.strip(" \r*-") for item in found if item.strip()]
    bare = {item for item in items if _width(item) <= LONGEST_ITEM and _BARE.fullmatch(item)}
    has_form = len(bare) >= max(LEAST_ITEMS, MOSTLY_ITEMS * len(items))
    return len(lowered) if has_form and len(bare & MENU_WORDS) >= max(LEAST_WORDS, WORDS_SHARE * len(bare)) else 0


def _width(item: str) -> int:
    """Characters of an item, those of a script without spaces counted as three."""
    return len(item) + 2 * len(_UNSPACED.findall(item))


def _share_of_wrong(text: str) -> float:
    if text.isascii():
        return 0.0
    wrong = [len(match[0]) for match in _MOJIBAKE.finditer(text)]
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    mostly = len(wrong) >= LEAST_SIGNS and sum(wrong) >= MOSTLY_WRONG * beyond_ascii
    return sum(wrong) / len(text) if mostly else 0.0
