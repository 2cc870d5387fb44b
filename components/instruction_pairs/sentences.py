"""Sentence ends in any script, precise enough to cut passages at them."""

import re

ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|etc|approx|resp|Mr|Mrs|Dr|St|No|Fig|Eq|al)|\b[A-Z])\.$")
ENDS = re.compile(r"(?<=[.!?…])[\"')\]”’»]*(?=\s|$)|(?<=[。！？])[」』”’）]*")
BREAKS = re.compile(r"\n+")
SPACES = re.compile(r"\s+")


def first_sentence(paragraph: str) -> str:
    """The first sentence of a paragraph on one line; all of it if no sentence ends."""
    text = " ".join(paragraph.split())
    for match in ENDS.finditer(text):
        if not ABBREVIATION.search(text[: match.start()]):
            return text[: match.end()].strip()
    return text


def is_sentence(text: str, shortest: int = 15, longest: int = 240) -> bool:
    """Whether this looks like a sentence of prose: of some length, mostly letters, more than two words if spaced."""
    if not shortest <= len(text.encode()) <= longest:
        return False
    letters = sum(letter.isalpha() or letter.isspace() for letter in text)
    spaced = all(ord(letter) < 0x3000 for letter in text)
    return letters >= 0.75 * len(text) and (not spaced or text.count(" ") >= 2)


def cut_near(text: str, target: int, low: int, high: int) -> int:
    """Cut position in [low, high]: the end of the sentence nearest `target`, of a line, of a word, else `target`."""
    for pattern in (ENDS, BREAKS, SPACES):
        cuts = [match.end() for match in pattern.finditer(text, max(0, low - 1), min(len(text), high + 1))]
        cuts = [cut for cut in cuts if low <= cut <= high]
        if cuts:
            return min(cuts, key=lambda cut: (abs(cut - target), cut))
    return target
