"""Our words put into datatrove, to separate differences of the words from those of the rules.

datatrove takes words, and C4's sentences, from a spaCy pipeline. Its words are exchanged for ours; sentences stay its
own.
"""

from typing import Any

from benchmarks.results import ROOT
from components.core.files import sha256_bytes
from components.stages.filter.words import find_words
from components.text.codepoints import Hasher, scan

SPLIT_FILES = ("components/stages/filter/words.py", "components/text/codepoints.py")
"""The files that the words depend on."""


def version() -> str:
    """Hash of our split: decisions made with another one are not reused."""
    return sha256_bytes(b"".join((ROOT / name).read_bytes() for name in SPLIT_FILES))[:8]


def words_of(text: str) -> list[str]:
    """Our words of a text."""
    scanned = scan([text])
    found = find_words(scanned, Hasher(scanned.codes))
    return [text[start:end] for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]


def put_into_datatrove() -> None:
    """Make datatrove split English as we do, from now on in this process."""
    from datatrove.utils.typeshelper import Languages
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    pipeline: Any = load_word_tokenizer(Languages.english)  # datatrove keeps it for all its filters
    pipeline.word_tokenize = words_of
