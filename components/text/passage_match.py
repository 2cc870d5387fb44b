"""Search for passages in a text, word for word, for the opt-out list and for traces.

Case, punctuation, white space, line breaks and Unicode spelling (NFKC: ligatures, full-width letters) do not count;
every word does, in order. So a passage quoted from a web page is found in a text that wraps its lines elsewhere, and a
paraphrase is not. In scripts without spaces each character is a word.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from components.text.codepoints import UNSPACED_RANGES

HEAD = 5
"""Words by which passages are looked up, and the fewest a passage may have: fewer would be found by chance."""

UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED_RANGES)
"""Characters of scripts without spaces, as a regular expression's set names them."""
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_ASCII_WORD = re.compile(r"[a-z0-9_]+")


def words(text: str) -> list[str]:
    """The words of a text, in the form in which they are compared."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word.isalnum() or len(word) > 1 or word == "_"]


class Passages:
    """Passages to look for, many at once: the time is that of splitting the text, however many there are.

    Args:
        passages: their words, `HEAD` or more each.
    """

    def __init__(self, passages: Iterable[Sequence[str]]) -> None:
        self._by_head: dict[tuple[str, ...], list[tuple[int, tuple[str, ...]]]] = {}
        for number, passage in enumerate(passages):
            assert len(passage) >= HEAD, f"passage {number} has {len(passage)} words"
            self._by_head.setdefault(tuple(passage[:HEAD]), []).append((number, tuple(passage)))

    def first_in(self, text: str) -> int | None:
        """The number of the passage that begins earliest in `text`; None if it contains none."""
        if not self._by_head:
            return None
        all_words = words(text)
        for start, head in enumerate(zip(*(all_words[offset:] for offset in range(HEAD)), strict=False)):
            for number, passage in self._by_head.get(head, ()):
                if tuple(all_words[start : start + len(passage)]) == passage:
                    return number
        return None
