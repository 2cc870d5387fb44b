"""The report of the tokenize stage: compression and fertility per source and language, unused tokens, overlap left."""

from collections import Counter
from pathlib import Path

import numpy as np

from components.core.report import Report
from components.reporting.figures import bars, chart
from components.reporting.tables import Page
from components.similarity.ngram_overlap import NGRAM
from components.stages.tokenize.fertility import UNSURE
from components.stages.tokenize.types import Encoded, OverlapCounts
from components.text.language import NO_LANGUAGE, SURE
from components.tokens.tokenizer import SMALLEST_VOCABULARY, SPECIAL_TOKENS, Encoder

LEAST_BYTES, MOST_TIMES = 2.0, 2.0
"""Bytes a token below which a language is spelt in bytes; how many times the tokens a word of the one served best."""
MOST_WORKS = 10
COUNTED = "documents bytes tokens words bytes_per_token tokens_per_word"


def build(encoder: Encoder, trained: Encoded, held: Encoded, overlap: OverlapCounts, reports: Path) -> Report:
    """Write tables and plots under `reports` and return the report."""
    metrics, page = _metrics(encoder, trained, held, overlap), Page("Tokenizer", reports)
    shares = _overlap_per_source(held, overlap.total, overlap.repeated)
    splits = {"train": trained, "heldout": held}
    page.add(
        f"{metrics['vocab_size']:,} tokens, {metrics['unused_tokens']:,} of them learned and never used in training "
        f"text. Held-out text takes {metrics['heldout/bytes_per_token']:.2f} bytes a token.",
    )
    rows = [
        (split, name, *_counted(counts), shares.get(name, "") if split == "heldout" else "")
        for split, encoded in splits.items()
        for name, counts in zip(encoded.sources, encoded.counts.tolist(), strict=True)
    ]
    caption = f"Both splits by source; the last column is the share of {NGRAM}-grams that the training text has too."
    page.table("sources", f"split source {COUNTED} overlap_share", rows, caption)
    languages = [
        (split, name, *_counted(counts))
        for split, encoded in splits.items()
        for name, *counts in encoded.languages.rows()
    ]
    page.table("languages", f"split language {COUNTED}", languages)
    warnings = ill_served(_common([row for row in languages if row[0] == "train"]))
    page.parts[1:1] = [f"**Warning.** {warning}." for warning in warnings]
    page.show(
        f"split language {COUNTED}", _common(languages),
        f"Languages of a sample of {sum(row[2] for row in languages)} documents that people wrote, those of one in a "
        f"hundred or more (py3langid; `unsure` below {SURE:.0%}).",
    )  # fmt: skip
    pieces = [encoder.decode([id]) for id in encoder.encode(held.example)[:60]]
    shown = "|".join(piece.replace("\n", "\\n").replace("`", "'") for piece in pieces)
    page.add(f"A piece of held-out text, cut into tokens: `{shown}`")
    page.table("vocabulary", "id bytes train heldout", _vocabulary(encoder, trained, held))
    _overlap(page, metrics, overlap, held)
    _draw(rows, trained, reports / "plots")
    return Report(metrics, page.markdown, {"overlap_ngram": NGRAM, "overlap": shares, "warnings": warnings})


def ill_served(languages: list[tuple]) -> list[str]:
    """A sentence for each language of the training text that the vocabulary spells in small pieces.

    Args:
        languages: (split, language, *COUNTED) of those with a share of the text.
    """
    words = {NO_LANGUAGE: "without language (code, numbers)"}
    rows = {words.get(name, f"in {name}"): numbers[-2:] for _, name, *numbers in languages if name != UNSURE}
    fewest = min((per_word for _, per_word in rows.values()), default=0.0)
    return [
        f"tokenize: text {name} has {per_token:.2f} bytes a token and {per_word:.1f} tokens a word ({fewest:.1f} in "
        "the one served best): a larger tokenize.vocab_size, or more text of it, would serve it better"
        for name, (per_token, per_word) in rows.items()
        if per_token < LEAST_BYTES or per_word > MOST_TIMES * fewest
    ]


def _counted(counts: list[int]) -> tuple:
    """Documents, bytes, tokens, words, and what follows from them: the columns `COUNTED`."""
    _, num_bytes, tokens, words = counts
    return (*counts, num_bytes / max(1, tokens), tokens / max(1, words))


def _overlap_per_source(held: Encoded, total: np.ndarray, repeated: np.ndarray) -> dict[str, float]:
    """Share of each held-out source's n-grams that training repeats; sources too short for one n-gram are left out."""
    of = np.array(held.document_sources, np.int64)
    sums = [(name, total[of == index].sum(), repeated[of == index].sum()) for index, name in enumerate(held.sources)]
    return {name: float(part / whole) for name, whole, part in sums if whole}


def _vocabulary(encoder: Encoder, trained: Encoded, held: Encoded) -> list[tuple]:
    """Every token as Python shows its bytes, with its counts."""
    return [
        (id, repr(encoder.token_bytes(id))[2:-1], int(trained.token_counts[id]), int(held.token_counts[id]))
        for id in range(encoder.vocab_size)
    ]


def _repeated_by_work(held: Encoded, overlap: OverlapCounts) -> list[tuple]:
    """(work, n-grams, those in training, share) of the held-out works with any, the largest share first."""
    works, of = np.unique(np.array(held.document_works, dtype=str), return_inverse=True)
    total, repeated = (np.bincount(of, counts, len(works)).astype(int) for counts in (overlap.total, overlap.repeated))
    rows = [(str(work), n, m, m / n) for work, n, m in zip(works, total.tolist(), repeated.tolist(), strict=True) if m]
    return sorted(rows, key=lambda row: (-row[3], -row[2], row[0]))


def _metrics(encoder: Encoder, trained: Encoded, held: Encoded, overlap: OverlapCounts) -> dict[str, float]:
    merges = slice(SMALLEST_VOCABULARY, None)
    metrics: dict[str, float] = {"vocab_size": encoder.vocab_size}
    for split, encoded in (("train", trained), ("heldout", held)):
        documents, num_bytes, tokens, num_words = encoded.counts.sum(axis=0).tolist()
        single = int(encoded.token_counts[len(SPECIAL_TOKENS) : SMALLEST_VOCABULARY].sum())
        metrics |= {
            f"{split}/documents": documents,
            f"{split}/megabytes": num_bytes / 1e6,
            f"{split}/tokens": tokens,
            f"{split}/bytes_per_token": num_bytes / tokens,
            f"{split}/tokens_per_word": tokens / max(1, num_words),
            f"{split}/single_byte_share": single / tokens,
        }
    metrics["unused_tokens"] = int((trained.token_counts[merges] == 0).sum())
    total = overlap.total.sum()
    if total:
        metrics[f"heldout/overlap_{NGRAM}gram"] = float(overlap.repeated.sum() / total)
    return metrics


def _common(languages: list[tuple]) -> list[tuple]:
    """Those with 1 % of their split's documents."""
    documents = Counter[str]()
    for row in languages:
        documents[row[0]] += row[2]
    return [row for row in languages if row[2] >= 0.01 * documents[row[0]]]


def _overlap(page: Page, metrics: dict[str, float], overlap: OverlapCounts, held: Encoded) -> None:
    """How much held-out text the training text repeats, in all and by work."""
    works = _repeated_by_work(held, overlap)
    page.table("overlap", "work ngrams repeated share", works)
    share = metrics.get(f"heldout/overlap_{NGRAM}gram")
    if share is None:
        return page.add(f"No held-out document has {NGRAM} words, so its overlap with training cannot be measured.")
    page.add(
        f"{share:.2%} of the held-out {NGRAM}-grams of words also occur in the training text: quotations, boilerplate, "
        "other versions of a text that as a whole are no near-duplicates. Held-out scores profit by it.",
    )
    page.show("work ngrams repeated share", works[:MOST_WORKS], "The works of which most stays in training.")


def _draw(rows: list[tuple], trained: Encoded, plots: Path) -> None:
    """Bytes per token of each source, and how often the tokens occur, by rank."""
    names = sorted({row[1] for row in rows})[:20]
    value = {row[:2]: row[6] for row in rows}
    series = {split: [value.get((split, name), 0.0) for name in names] for split in ("train", "heldout")}
    caption = "Bytes per token of each source: the more, the fewer tokens its text takes."
    with chart(plots / "tokenizer.png", caption, 1.2 + 0.3 * len(names), xlabel="bytes per token") as axes:
        bars(axes, names, series, stacked=False)
    counts = np.sort(trained.token_counts)[::-1]
    caption = "How often each token occurs in the training text, the most frequent first."
    labels = {"xlabel": "rank of the token", "ylabel": "occurrences", "xscale": "log", "yscale": "log"}
    with chart(plots / "vocabulary.png", caption, 2.6, **labels) as axes:
        axes.plot(np.arange(1, (counts > 0).sum() + 1), counts[counts > 0])
