"""Instruction: given the name and signature of a Python object, say in a sentence what it does.

Real pairs, written by the authors of the packages: the header of a documented object, and the first sentence of its
docstring. The layout is the one ingest writes (docs/data.md).
"""

import re
from collections.abc import Iterable

from components.corpus.corpus import Document
from components.instruction_pairs.examples import Draw, Examples, PromptPair, draw_pairs
from components.instruction_pairs.sentences import first_sentence, is_sentence

LEAST = 64
PER_DOCUMENT = 8
LONGEST_HEADER = 200

MODULE = re.compile(r"[\w.]+\n")
SECTION = re.compile(r"^((?:async def|def|class) [^\n]+)\n((?: {4}\S[^\n]*\n?)+)", re.MULTILINE)


def draw(draw: Draw) -> Examples[PromptPair]:
    """Pairs from the documents that are Python documentation.

    Raises:
        NotEnoughText: there are too few documented objects.
    """
    return draw_pairs(draw, pairs, PER_DOCUMENT, LEAST, "documented Python objects")


def pairs(document: Document) -> Iterable[PromptPair]:
    """The documented objects of a module whose docstring begins with a sentence."""
    module = MODULE.match(document.text)
    if module is None or not document.location.endswith(".py"):
        return
    for match in SECTION.finditer(document.text):
        header, answer = match[1][:LONGEST_HEADER], first_sentence(match[2])
        if is_sentence(answer) and answer[0].isupper():
            prompt = f"What does this do?\n{module[0].strip()}: {header}"
            yield PromptPair(prompt, answer, document.group, stratum=document.source)
