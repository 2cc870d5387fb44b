"""Shares of a text that nobody wrote to be read: banners, offers and menus of web pages, placeholders, mojibake.

Phrases are data by language (boilerplate.json). One alone is no evidence, since people write about
cookies and prices: sentences count from `LEAST_PHRASES` different ones of a kind; a banner is
short, and names cookies or accepts all. Menus are told by their form: words of menus in 13
languages were in 16% of those that nobody had seen before.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import regex

from components.text.codepoints import UNSPACED_RANGES

PHRASES: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Kind -> language (ISO 639-1; "" for all) -> phrases in lower case, of banners stems. A banner has a "cookie", too."""
LEAST_PHRASES = {"placeholder": 2, "banner": 3, "spam": 3}
LONGEST_BANNER = 1500
"""Characters."""
LEAST_SIGNS, MOSTLY_WRONG = 3, 0.5
"""Signs of a wrong encoding from which they are no chance, and their share of what is beyond ASCII:
a text with other letters shows some of another encoding, and is not in it."""

LEAST_ENTRIES, ENTRY_WORDS, MOST_OTHER = 4, 3, 0.3
"""Pieces between line ends and bars from which a text may be a menu, the most words of an entry,
and the largest share of words in pieces that are none."""

_SENTENCE = re.compile(r"[^.!?。！？।\n]+[.!?。！？।\n]*")
_BARS = "\n|·•«»‹›←→"
_NOT_IN_MENUS = regex.compile(rf"\d|[^\w\p{{M}}\s{_BARS}&/'’・-]")
_BLOCKS = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED_RANGES)
_HIRAGANA, _KATAKANA = regex.compile(r"[\u3040-\u309f]"), regex.compile(r"[\u30a0-\u30ff]")
_UNSPACED = regex.compile(rf"[[\w&&[{_BLOCKS}]]--[\u3040-\u30ff]]", regex.V1)
_SPACED = regex.compile(rf"[[\w\p{{M}}]--[{_BLOCKS}]]+", regex.V1)
_SIGN = "[€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\x80-\xbf]"
_MOJIBAKE = re.compile(f"[ÂÃÄÅÎÏÐÑ×Ø]{_SIGN}{{1,2}}|[âãäåæçèéêëìíîïð]{_SIGN}{{2,3}}|ï¿½|\ufffd")
"""UTF-8 read as Windows-1252 or Latin-1: a letter with as many signs as its bytes have; or marks of lost bytes."""


def boilerplate(texts: Sequence[str], languages: Iterable[str]) -> np.ndarray:
    """Largest share of each text's characters in banners, offers or placeholders, float64 (num_texts,).

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
    if is_menu(text):
        return 1.0
    lowered = text.lower()
    phrases, minimums = _phrases(language), dict(LEAST_PHRASES)
    if len(text) > LONGEST_BANNER or not any(word in lowered for word in phrases["cookie"]):
        del minimums["banner"]
    shares = [_share_of_sentences(lowered, phrases[kind], count) for kind, count in minimums.items()]
    return max(shares) / max(1, len(lowered))


def is_menu(text: str) -> bool:
    """Whether the text is a list of entries, most of them, of at most three words, that begin with no small letter.

    It has no digit and no mark that entries do not have. One entry at least is a single word, or
    two characters of a script without spaces. Verse has lines of five characters or more there, or
    such as begin small; names of people have two words.
    """
    if not text.strip() or _NOT_IN_MENUS.search(text):
        return False
    pieces = [piece.strip() for piece in re.split(f"[{_BARS}]", text) if piece.strip()]
    sizes = [_size(piece) for piece in pieces]
    total, shortest = sum(words for words, _ in sizes), min(characters for _, characters in sizes)
    is_entry = [
        words <= ENTRY_WORDS and not piece[0].islower() for piece, (words, _) in zip(pieces, sizes, strict=True)
    ]
    others = sum(words for (words, _), entry in zip(sizes, is_entry, strict=True) if not entry)
    return len(pieces) >= LEAST_ENTRIES and shortest <= 2 and others <= MOST_OTHER * total


def _size(piece: str) -> tuple[float, int]:
    """Its words: a katakana is a quarter, a hiragana half, another character of a script without
    spaces three quarters of one; and such characters, with two for each word of other scripts."""
    kinds = (_KATAKANA, _HIRAGANA, _UNSPACED, _SPACED)
    katakana, hiragana, unspaced, spaced = (len(kind.findall(piece)) for kind in kinds)
    words = katakana / 4 + hiragana / 2 + unspaced * 3 / 4 + spaced
    return words, katakana + hiragana + unspaced + 2 * spaced


def _share_of_sentences(lowered: str, phrases: Sequence[str], minimum: int) -> int:
    """Characters in sentences with one of the phrases; 0 if the text has too few different ones."""
    hits = [phrase for phrase in phrases if phrase in lowered]
    if len(hits) < minimum:
        return 0
    sentences = (match[0] for match in _SENTENCE.finditer(lowered))
    return sum(len(sentence) for sentence in sentences if any(phrase in sentence for phrase in hits))


def _share_of_wrong(text: str) -> float:
    if text.isascii():
        return 0.0
    wrong = [len(match[0]) for match in _MOJIBAKE.finditer(text)]
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    mostly = len(wrong) >= LEAST_SIGNS and sum(wrong) >= MOSTLY_WRONG * beyond_ascii
    return sum(wrong) / len(text) if mostly else 0.0
