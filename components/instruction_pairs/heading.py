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

WORD = re.compile(r"[^\W\d_]+")
LABELS = frozenset(("chapter", "section", "part", "book", "volume", "appendix", "this", "that", "with", "from", "what"))
"""Words that say nothing of a section's subject."""


def draw(draw: Draw) -> Examples[PromptPair]:
    """Pairs from documents with headings.

    Raises:
        NotEnoughText: there are too few sections that begin with a sentence.
    """
    return draw_pairs(draw, pairs, PER_DOCUMENT, LEAST, "sections whose first sentence takes up the heading")


def pairs(document: Document) -> Iterable[PromptPair]:
    """The sections of a document whose text begins with a sentence of prose that takes up its heading."""
    headings = [(match.start(), match[1], match[2]) for match in MARKDOWN.finditer(document.text)]
    headings += [(match.start(), match[1], match[3]) for match in RST.finditer(document.text)]
    for _, title, paragraph in sorted(headings):
        answer = first_sentence(paragraph)
        if is_sentence(answer) and answers(title, answer):
            prompt = f"Write the first sentence of this section.\n{title.strip()}"
            yield PromptPair(prompt, answer, document.group, stratum=document.source)


def answers(title: str, sentence: str) -> bool:
    """Whether a sentence takes up a word of its heading: nobody could write what follows `CHAPTER 21`, or `Overview`.

    Words are compared by their first five letters, a final `s` aside; of scripts without spaces, by two characters.
    """
    return bool(_stems(title) & _stems(sentence))


def _stems(text: str) -> set[str]:
    words = [word for word in WORD.findall(text.casefold()) if word not in LABELS]
    wide = {word[start : start + 2] for word in words for start in range(len(word) - 1) if ord(word[start]) >= 0x3000}
    return wide | {word.rstrip("s")[:5] for word in words if len(word) >= 4 and ord(word[0]) < 0x3000}
