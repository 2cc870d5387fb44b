"""The report of the tokenize stage: compression and fertility per source and language, unused tokens, overlap left."""

from collections import Counter
from pathlib import Path

import numpy as np

from components.core.report import Report
from components.reporting.figures import figure, save
from components.reporting.tables import markdown_table, write_table
from components.similarity.ngram_overlap import NGRAM
from components.stages.tokenize.spelling_overlap import OverlapCounts
from components.stages.tokenize.types import Encoded
from components.text.language import SURE
from components.tokens.tokenizer import SMALLEST_VOCABULARY, SPECIAL_TOKENS, Encoder

LANGUAGE_COLUMNS = ("split", "language", "documents", "bytes", "tokens", "words", "bytes_per_token", "tokens_per_word")
COLUMNS = ("split", "source", "documents", "bytes", "tokens", "words", "bytes_per_token", "tokens_per_word", "overlap")


def build(encoder: Encoder, trained: Encoded, held: Encoded, overlaps: OverlapCounts, reports: Path) -> Report:
    """Write tables and plots under `reports` and return the report."""
    total, repeated, folded = overlaps.total, overlaps.repeated, overlaps.folded
    shares = _overlap_per_source(held, total, repeated)
    rows = _rows("train", trained, {}) + _rows("heldout", held, shares)
    write_table(reports / "details" / "sources.csv", COLUMNS, rows)
    write_table(
        reports / "details" / "vocabulary.csv", ("id", "bytes", "train", "heldout"), _vocabulary(encoder, trained, held)
    )
    languages = _language_rows("train", trained) + _language_rows("heldout", held)
    write_table(reports / "details" / "languages.csv", LANGUAGE_COLUMNS, languages)
    documents = _most_repeated(held, total, repeated, folded)
    header = ("document", "ngrams", "repeated", "folded", "share")
    write_table(reports / "details" / "overlap.csv", header, documents)
    _plot(rows, trained, reports / "plots" / "tokenizer.png")
    metrics = _metrics(encoder, trained, held, overlaps)
    text = "\n".join(
        [
            _markdown(metrics, rows, languages, encoder, held),
            _overlap_text(metrics, documents),
            *_spelling_text(overlaps, held),
        ]
    )
    return Report(metrics, text, {"overlap_ngram": NGRAM, "overlap": shares})


def _overlap_per_source(held: Encoded, total: np.ndarray, repeated: np.ndarray) -> dict[str, float]:
    """Share of each held-out source's n-grams that training repeats; sources too short for one n-gram are left out."""
    of = np.array(held.document_sources, np.int64)
    sums = [(name, total[of == index].sum(), repeated[of == index].sum()) for index, name in enumerate(held.sources)]
    return {name: float(part / whole) for name, whole, part in sums if whole}


def _rows(split: str, encoded: Encoded, overlap: dict[str, float]) -> list[tuple]:
    rows = []
    for name, (documents, num_bytes, tokens, num_words) in zip(encoded.sources, encoded.counts.tolist(), strict=True):
        compression, fertility = num_bytes / max(1, tokens), tokens / max(1, num_words)
        share = f"{overlap[name]:.4f}" if name in overlap else ""
        rows.append(
            (split, name, documents, num_bytes, tokens, num_words, f"{compression:.3f}", f"{fertility:.3f}", share)
        )
    return rows


def _language_rows(split: str, encoded: Encoded) -> list[tuple]:
    return [
        (split, name, documents, num_bytes, tokens, words, f"{num_bytes / tokens:.3f}", f"{tokens / max(1, words):.3f}")
        for name, documents, num_bytes, tokens, words in encoded.languages.rows()
    ]


def _vocabulary(encoder: Encoder, trained: Encoded, held: Encoded) -> list[tuple]:
    """Every token as Python shows its bytes, with its counts."""
    return [
        (id, repr(encoder.token_bytes(id))[2:-1], int(trained.token_counts[id]), int(held.token_counts[id]))
        for id in range(encoder.vocab_size)
    ]


def _most_repeated(
    held: Encoded, total: np.ndarray, repeated: np.ndarray, folded: np.ndarray, most: int = 50
) -> list[tuple]:
    """The held-out documents with the largest share of n-grams in training, of those with any in any spelling."""
    share = repeated / np.maximum(1, total)
    order = np.lexsort((np.arange(len(share)), -folded, -repeated, -share))
    return [
        (held.document_names[i], int(total[i]), int(repeated[i]), int(folded[i]), f"{share[i]:.4f}")
        for i in order[:most]
        if folded[i]
    ]


def _metrics(encoder: Encoder, trained: Encoded, held: Encoded, overlaps: OverlapCounts) -> dict[str, float]:
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
    total = overlaps.total.sum()
    if total:
        metrics[f"heldout/overlap_{NGRAM}gram"] = float(overlaps.repeated.sum() / total)
        metrics[f"heldout/overlap_{NGRAM}gram_folded"] = float(overlaps.folded.sum() / total)
    return metrics


def _markdown(
    metrics: dict[str, float], rows: list[tuple], languages: list[tuple], encoder: Encoder, held: Encoded
) -> str:
    pieces = [encoder.decode([id]) for id in encoder.encode(held.example)[:60]]
    shown = "|".join(piece.replace("\n", "\\n").replace("`", "'") for piece in pieces)
    lines = [
        "# Tokenizer",
        "",
        f"{metrics['vocab_size']} tokens, {metrics['unused_tokens']} of them learned and never used in the training "
        f"text. Held-out text takes {metrics['heldout/bytes_per_token']:.2f} bytes a token.",
        "",
        markdown_table(COLUMNS, rows),
        "",
        f"By language, of {sum(row[2] for row in languages)} documents chosen by hash (py3langid; `unsure` below "
        f"{SURE:.0%}; languages of one document or more per hundred, all in details/languages.csv):",
        "",
        markdown_table(LANGUAGE_COLUMNS, _common(languages)),
        "",
        f"A piece of held-out text, cut into tokens: `{shown}`",
        "",
    ]
    return "\n".join(lines)


def _common(languages: list[tuple]) -> list[tuple]:
    """Those with 1 % of their split's documents."""
    documents = Counter[str]()
    for row in languages:
        documents[row[0]] += row[2]
    return [row for row in languages if row[2] >= 0.01 * documents[row[0]]]


def _overlap_text(metrics: dict[str, float], documents: list[tuple]) -> str:
    share = metrics.get(f"heldout/overlap_{NGRAM}gram")
    if share is None:
        return (
            f"No held-out document is {NGRAM} words long, so what it shares with the training text cannot be measured."
        )
    most = f" Most: {documents[0][0]} ({float(documents[0][4]):.0%})." if documents and documents[0][2] else ""
    return (
        f"{share:.2%} of the held-out {NGRAM}-grams (words) also occur in the training text: quotations, boilerplate, "
        "other versions of a text that are no near-duplicates as a whole. Held-out scores are that much flattered."
        f"{most}"
    )


def _spelling_text(overlaps: OverlapCounts, held: Encoded) -> list[str]:
    total, repeated, folded = (int(each.sum()) for each in (overlaps.total, overlaps.repeated, overlaps.folded))
    if not total:
        return []
    lines = [
        "",
        f"With spellings folded (u/v, i/j/y, doubled letters, final e) it is {folded / total:.2%}: {folded} of "
        f"{total}, against {repeated} word for word.",
    ]
    if overlaps.example:
        where = held.document_names[overlaps.example_document]
        lines.append(f"In the training text in another spelling only: `{overlaps.example}` ({where}).")
    return lines


def _plot(rows: list[tuple], trained: Encoded, path: Path) -> None:
    """Left: bytes per token of each source. Right: how often the tokens occur, by rank."""
    drawing, [left, right] = figure(10, 4, columns=2)
    names = sorted({row[1] for row in rows})[:20]
    for offset, split in ((-0.2, "train"), (0.2, "heldout")):
        value = {row[1]: float(row[6]) for row in rows if row[0] == split}
        left.barh(np.arange(len(names)) + offset, [value.get(name, 0.0) for name in names], 0.38, label=split)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set(title="Compression: more is better", xlabel="bytes per token")
    left.legend()
    counts = np.sort(trained.token_counts)[::-1]
    counts = counts[counts > 0]
    right.loglog(np.arange(1, len(counts) + 1), counts)
    right.set(title="Use of the vocabulary", xlabel="rank of the token", ylabel="occurrences in training")
    right.grid(alpha=0.3)
    save(drawing, path)
