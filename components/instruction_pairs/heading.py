"""Instruction: given the heading of a section, write its first sentence. Feeds on Markdown and reStructuredText."""

import re
from collections.abc import Iterable

from components.corpus.corpus import Document
from components.instruction_pairs.examples import Draw, Examples, PromptPair, draw_pairs
from components.instruction_pairs.sentences import first_sentence, is_sentence

LEAST = 64
PER_DOCUMENT = 8

MARKDOWN = re.compile(r"^#{1,5} +([^\n#][^\n]{2,100}?) *#*\n+((?:[^\s#|>`*\-+!\[<=~][^\n]*\n?)+)", re.MULTILINE)
RST = re.compile(
    r"^([^\s.|+][^\n]{2,100})\n([=\-~^\"'+*#])\2{2,} *\n+((?:[^\s.|:>`*\-+!\[<=~][^\n]*\n?)+)", re.MULTILINE
)


def draw(draw: Draw) -> Examples:
    """Pairs from documents with headings.

    Raises:
        Unfit: there are too few sections that begin with a sentence.
    """
    return draw_pairs(draw, pairs, PER_DOCUMENT, LEAST, "sections that begin with a sentence")


def pairs(document: Document) -> Iterable[PromptPair]:
    """The sections of a document whose text begins with a sentence of prose."""
    found = [(match.start(), match[1], match[2]) for match in MARKDOWN.finditer(document.text)]
    found += [(match.start(), match[1], match[3]) for match in RST.finditer(document.text)]
    for _, title, paragraph in sorted(found):
        answer = first_sentence(paragraph)
        if is_sentence(answer):
            yield PromptPair(f"Write the first sentence of this section.\n{title.strip()}", answer, document.id)
