"""Types of the tokenize stage."""

from dataclasses import dataclass, field

import numpy as np

from components.stages.tokenize.fertility import Languages


@dataclass
class Encoded:
    """Counts of one encoded corpus; the report is made of them.

    Attributes:
        sources: names; the rows of the arrays below.
        counts: int64 (num_sources, 4): documents, bytes, tokens, words.
        token_counts: int64 (vocab_size,), how often each token occurs.
        languages: the same counts per language, of a sample.
        document_sources: of every held-out document, index into `sources`.
        document_works: of every held-out document, `source: work`.
        example: a sentence or so of the corpus.
    """

    sources: list[str]
    counts: np.ndarray
    token_counts: np.ndarray
    languages: Languages
    document_sources: list[int] = field(default_factory=list)
    document_works: list[str] = field(default_factory=list)
    example: str = ""


@dataclass(frozen=True)
class OverlapCounts:
    """N-grams of each held-out document, int64 (num_documents,) each: all, and those that training repeats."""

    total: np.ndarray
    repeated: np.ndarray
