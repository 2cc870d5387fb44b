"""Instruction: given the beginning of a passage, go on. Any text feeds it, in any language."""

from collections.abc import Iterable

from components.corpus.corpus import Document
from components.instruction_pairs.examples import Draw, Examples, PromptPair, draw_pairs
from components.instruction_pairs.sentences import cut_near

LEAST = 8
PER_DOCUMENT = 32
PROMPT_CHARS = 200
ANSWER_CHARS = 100
STRIDE_CHARS = 600
"""Passages begin this far apart, so that no two share text."""


def draw(draw: Draw) -> Examples[PromptPair]:
    """Pairs from all documents.

    Raises:
        NotEnoughText: there is hardly any text.
    """
    return draw_pairs(draw, pairs, PER_DOCUMENT, LEAST, "passages of 300 characters")


def pairs(document: Document) -> Iterable[PromptPair]:
    """One pair in every stretch of text, cut where sentences end if any do."""
    text = document.text
    for start in range(0, len(text) - PROMPT_CHARS - ANSWER_CHARS + 1, STRIDE_CHARS):
        begin = cut_near(text, start, start, start + PROMPT_CHARS // 2) if start else 0
        middle = cut_near(text, begin + PROMPT_CHARS, begin + PROMPT_CHARS // 2, begin + PROMPT_CHARS * 5 // 4)
        end = cut_near(text, middle + ANSWER_CHARS, middle + ANSWER_CHARS // 4, middle + ANSWER_CHARS * 3 // 2)
        prompt, answer = text[begin:middle].strip(), text[middle:end].strip()
        if len(prompt) >= 20 and len(answer) >= 8:
            yield PromptPair(f"Continue.\n{prompt}", answer, document.group, stratum=document.source)
