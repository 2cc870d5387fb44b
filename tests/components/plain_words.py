"""Words of texts by their documented definition, character by character: of the implementation only its ranges."""

import unicodedata

from components.text.codepoints import UNSPACED_RANGES


def in_word(character: str) -> bool:
    """Letters, digits, `_` and combining marks."""
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def is_alone(character: str) -> bool:
    """Those of scripts without spaces: each is a word."""
    return in_word(character) and any(first <= ord(character) <= last for first, last in UNSPACED_RANGES)


def runs(text: str) -> list[str]:
    """Runs of characters in words, and each of those that stand alone."""
    return "".join(f" {each} " if is_alone(each) else each if in_word(each) else " " for each in text).split()


def plain_words(text: str) -> list[str]:
    """Those that have a letter."""
    return [word for word in runs(text) if any(map(str.isalpha, word))]
