"""Shares of a text that nobody wrote to be read: cookie banners, placeholder text, text decoded in a wrong encoding."""

import re
from collections.abc import Sequence

import numpy as np

_BANNER = re.compile(
    r"(?:we|this (?:web)?site|our partners)\b[^.\n]{0,40}\buses? cookies"
    r"|(?:accept|reject|allow|manage) (?:all )?(?:the )?cookies?|cookie (?:settings|preferences|consent|policy|notice)"
    r"|use of cookies|cookies? (?:are|to) (?:used|improve|enhance)"
    r"|verwende[nt] cookies|cookies? (?:akzeptieren|zulassen|ablehnen)|utilis\w+ (?:des|les) cookies"
    r"|accepter les cookies|utiliza\w* cookies|aceptar (?:las )?cookies|gebruik\w* cookies|cookies accepteren"
    r"|utilizza\w* (?:i )?cookie"
)
_PLACEHOLDER = re.compile(
    r"lorem ipsum|dolor sit amet|consectetur adipiscing|sed do eiusmod|incididunt ut labore|dolore magna aliqua"
    r"|ut enim ad minim|quis nostrud|ullamco laboris|duis aute irure|in voluptate velit|cillum dolore|excepteur sint"
    r"|sunt in culpa|deserunt mollit|your (?:text|content|description) (?:goes )?here|placeholder text"
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
_SIGN = "[€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\x80-\xbf]"
_MOJIBAKE = re.compile(f"[ÂÃÄÅÎÏÐÑ×Øâãåæçèéêëìíîï]{_SIGN}{{1,2}}|ï¿½|\ufffd")
"""UTF-8 read as Windows-1252 or Latin-1: a letter with a sign where a letter should be; or the mark of lost bytes."""


def boilerplate(texts: Sequence[str]) -> np.ndarray:
    """Share of each text's characters in sentences of cookie banners or placeholders, float64 (num_documents,)."""
    return np.array([_share_of_sentences(text) for text in texts], dtype=np.float64)


def _share_of_sentences(text: str) -> float:
    lowered = text.lower()
    marks = (("cookie", _BANNER), ("do", _PLACEHOLDER), ("here", _PLACEHOLDER), ("placeholder", _PLACEHOLDER))
    patterns = {pattern for mark, pattern in marks if mark in lowered and pattern.search(lowered)}
    if not patterns:
        return 0.0
    sentences = (match[0] for match in _SENTENCE.finditer(lowered))
    return sum(len(one) for one in sentences if any(pattern.search(one) for pattern in patterns)) / len(lowered)


def mojibake(texts: Sequence[str]) -> np.ndarray:
    """Share of each text's characters that a wrong encoding made, float64 (num_documents,)."""
    return np.array([_share_of_wrong(text) for text in texts], dtype=np.float64)


def _share_of_wrong(text: str) -> float:
    if text.isascii():
        return 0.0
    return sum(len(match[0]) for match in _MOJIBAKE.finditer(text)) / len(text)
