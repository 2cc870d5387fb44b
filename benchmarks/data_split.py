"""Our word split put into datatrove, to separate differences of the split from those of the rules.

datatrove takes words, and C4's sentences, from a spaCy pipeline. Its tokenizer is exchanged for ours; white space is
made into tokens as spaCy makes it (each run, less the one space that belongs to the word before it), because spaCy's
`sentencizer`, which stays, looks at those too.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.results import ROOT
from components.core.files import sha256_bytes
from components.stages.filter.word_tokens import tokenise
from components.text.codepoints import Hasher, scan

SPLIT_FILES = (
    "components/stages/filter/spacy_rules.py",
    "components/stages/filter/word_tokens.py",
    "components/text/codepoints.py",
)
"""The files that the split depends on."""


def version() -> str:
    """Hash of our split: decisions made with another one are not reused."""
    return sha256_bytes(b"".join((ROOT / name).read_bytes() for name in SPLIT_FILES))[:8]


def word_bounds(text: str) -> list[tuple[int, int]]:
    """(start, end) of each of our words."""
    scanned = scan([text])
    tokens = tokenise(scanned, Hasher(scanned.codes))
    return list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))


def with_white_space(text: str, words: Sequence[tuple[int, int]]) -> tuple[list[str], list[bool]]:
    """spaCy's form of a split text: its tokens, white space among them, and whether a space belongs to each."""
    tokens: list[str] = []
    spaced: list[bool] = []
    done = 0
    for start, end in [*words, (len(text), len(text))]:
        gap = text[done:start]
        if gap.startswith(" ") and tokens:
            spaced[-1], gap = True, gap[1:]
        for token in (gap, text[start:end]):
            if token:
                tokens.append(token)
                spaced.append(False)
        done = end
    return tokens, spaced


def put_into_datatrove() -> None:
    """Make datatrove split English as we do, from now on in this process."""
    from datatrove.utils.typeshelper import Languages
    from datatrove.utils.word_tokenizers import load_word_tokenizer
    from spacy.tokens import Doc

    pipeline: Any = load_word_tokenizer(Languages.english)  # datatrove keeps it for all its filters

    def tokenizer(text: str) -> Doc:
        tokens, spaced = with_white_space(text, word_bounds(text))
        return Doc(pipeline.tokenizer.vocab, tokens, spaced)

    pipeline.tokenizer.tokenizer = tokenizer
