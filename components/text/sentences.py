"""Sentences of a text, by one rule for all stages that count people in them."""

import re

SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*\s+|\n\s*\n|[。！？]+")
LONGEST_SENTENCE = 600
"""Characters; lists and verse without stops are cut here, so that one text is not one sentence."""
PIECE = re.compile(rf".{{1,{LONGEST_SENTENCE}}}(?:\s|\Z)|.{{{LONGEST_SENTENCE}}}", re.DOTALL)


def sentences_of(text: str) -> list[str]:
    """Sentences: up to a stop and white space, or an empty line; long ones in pieces. Not linguistics, but stable."""
    sentences: list[str] = []
    for part in SENTENCE_END.split(text):
        sentence = part.strip()
        if len(sentence) > LONGEST_SENTENCE:
            sentences += PIECE.findall(sentence)
        elif sentence:
            sentences.append(sentence)
    return sentences
