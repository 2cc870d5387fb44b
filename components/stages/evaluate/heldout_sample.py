"""Sample of the held-out text on which the models are evaluated.

A sample per source, the same for every model: as much of every work, since the interval is over works. Works and
documents come in an order drawn by hash (so that it depends on no neighbour), long documents are cut, until the agreed
size is reached. The cut is made in text, before any tokenizer, so that models with different tokenizers are scored on
the same bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document, read_corpus
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.tokens.tokenizer import bytes_of_tokens
from components.training.likelihood import Scores

MIN_PIECE_BYTES = 8_000
"""Least bytes of a work's share, so that long-range tasks find long texts."""

_COMMON_WORDS = "the of and to that with for is be this it are not by which from as"
ENGLISH = frozenset(_COMMON_WORDS.split())
MIN_ENGLISH_SHARE = 0.10
"""Share of words in `ENGLISH` above which text counts as English: prose has about 0.3, terse documentation 0.2,
other languages written in Latin letters under 0.05 (measured on Genesis in six languages)."""


def sample(heldout: Path, kilobytes: float, seed: int) -> list[Document]:
    """Held-out documents, about `kilobytes` (10^3 bytes) of text per source, sorted by source.

    Memory is bounded by one shard and the sample: a first pass over ids picks, a second keeps the text.
    """
    chosen = _choose(heldout, int(kilobytes * 1000), seed)
    kept = [_cut(document, chosen[document.id][1]) for document in read_corpus(heldout) if document.id in chosen]
    return sorted(kept, key=lambda document: (document.source, chosen[document.id]))


def _choose(heldout: Path, budget: int, seed: int) -> dict[str, tuple[str, int]]:
    """Ids of the sample, each with its place in the drawn order and its bytes."""
    drawn: dict[str, dict[str, list[tuple[str, str, int]]]] = {}
    for document in read_corpus(heldout):
        work = _key(seed, document.group)
        row = f"{work} {_key(seed, document.id)}", document.id, len(document.text.encode())
        drawn.setdefault(document.source, {}).setdefault(work, []).append(row)
    chosen: dict[str, tuple[str, int]] = {}
    for source in sorted(drawn):
        share, left = max(MIN_PIECE_BYTES, budget // len(drawn[source])), budget
        for _, rows in sorted(drawn[source].items()):
            of_work = share
            for key, name, size in sorted(rows):
                if min(left, of_work) <= 0:
                    break
                piece = min(size, of_work)
                chosen[name] = key, piece
                left, of_work = left - piece, of_work - piece
    return chosen


def _key(seed: int, name: str) -> str:
    return sha256_bytes(f"{seed} {name}".encode())


def _cut(document: Document, num_bytes: int) -> Document:
    """The document with at most its first `num_bytes` bytes of text, cut at a character."""
    text = document.text.encode()[:num_bytes].decode(errors="ignore")
    return replace(document, text=text)


def english_share(documents: Sequence[Document], max_words: int = 20_000) -> float:
    """Share of the words that are in `ENGLISH`, over the beginnings of the documents; every source has its turn."""
    words: list[str] = []
    for document in sorted(documents, key=lambda document: document.id):
        words += re.findall(r"[^\W\d_]+", document.text[:4000].lower())
        if len(words) >= max_words:
            break
    return sum(word in ENGLISH for word in words) / max(1, len(words))


@dataclass(frozen=True)
class DocumentScores:
    """A causal model's scores of one held-out document; arrays have one entry per token after the leading separator.

    Attributes:
        document: the text and its provenance.
        scores: log-probabilities, see `Scores`.
        position: how many tokens the model had seen in this window when it made the prediction (1 .. context).
        num_bytes: UTF-8 bytes each token stands for.
    """

    document: Document
    scores: Scores
    position: np.ndarray
    num_bytes: np.ndarray


def score_documents(model: LanguageModel, documents: Sequence[Document]) -> list[DocumentScores]:
    """Score documents in windows of the model's context, each beginning afresh.

    Every token is predicted once; the first of a window from one token of context. Documents without text are left out.
    """
    context = model.context
    ids = [model.encode(document.text) for document in documents]
    windows = [row[start : start + context + 1] for row in ids for start in range(0, len(row) - 1, context)]
    scored = iter(model.score(windows))
    token_bytes = bytes_of_tokens(model.tokenizer)
    document_scores = []
    for document, row in zip(documents, ids, strict=True):
        windows_scores = [next(scored) for _ in range(0, len(row) - 1, context)]
        if windows_scores:
            position = np.arange(len(row) - 1) % context + 1
            document_scores.append(DocumentScores(document, joined(windows_scores), position, token_bytes[row[1:]]))
    return document_scores


def joined(windows: Sequence[Scores]) -> Scores:
    """Scores of consecutive windows as one."""
    return Scores(*(np.concatenate([getattr(window, name) for window in windows]) for name in ("logp", "top", "hit")))
