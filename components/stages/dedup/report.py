"""The report of the dedup stage: what was removed and why, repeated lines, examples."""

import difflib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.core.files import write_text
from components.core.report import Report
from components.params import Dedup
from components.reporting.figures import chart
from components.reporting.tables import Page
from components.similarity.duplicates import BINS
from components.similarity.sketch import Sketches
from components.stages.dedup.repeated_lines import Repeats, repeats
from components.stages.dedup.types import DedupResult, DocumentIndex

RULES = ("heldout_duplicate", "heldout_near_duplicate", "duplicate", "near_duplicate")
"""Rules that remove a document: equal or similar to a held-out one, equal or similar to one that stays."""
NUM_EXAMPLES = 12
DIFF_LINES = 24


def build(index: DocumentIndex, sketches: Sketches, result: DedupResult, params: Dedup, reports: Path) -> Report:
    """Write tables, examples and a plot under `reports`; return the report."""
    lines = {kind: repeats(kind, sketches.targets, index.shards) for kind in ("lines", "paragraphs")}
    metrics = _metrics(index, sketches, result, lines)
    page = Page("Dedup", reports)
    page.add(
        f"{metrics['documents/dropped']:,} of {metrics['documents/in']:,} documents were removed "
        f"({metrics['megabytes/dropped']:.2f} of {metrics['megabytes/in']:.2f} MB), "
        f"{metrics['megabytes/like_heldout']:.2f} MB of it because it is like held-out text. Limit: Jaccard similarity "
        f"{params.threshold} of {params.ngram}-grams of words.",
    )
    page.table("rules", "source rule documents bytes", _counts(index, sketches, result), "Documents by rule.")
    page.table("removed", "removed removed_location kept kept_location heldout jaccard", _pairs(index, result))
    page.table("boilerplate", "kind count bytes text", [
        (kind, row["count"], row["bytes"], row["text"][:300]) for kind in lines for row in lines[kind].top
    ])  # fmt: skip
    page.add(
        f"{metrics['repeated/lines']:.1%} of the bytes in lines of 40 bytes or more, and "
        f"{metrics['repeated/paragraphs']:.1%} of those in paragraphs of 100 or more, repeat an earlier one. They are "
        "counted, not removed.",
    )
    write_text(reports / "details" / "examples.md", examples(index, result))
    if params.near:
        _plot_similarity(result.histogram, params.threshold, reports / "plots" / "similarity.png")
    return Report(metrics, page.markdown, {"threshold": params.threshold})


def _counts(index: DocumentIndex, sketches: Sketches, result: DedupResult) -> list[tuple]:
    """(source, rule or "kept", documents, bytes) of the training documents, sorted."""
    documents, num_bytes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    removed = result.removed
    for number, source in enumerate(chain.from_iterable(index.columns("source"))):
        if number >= index.num_heldout:
            key = (source, result.rule(number) if removed[number] else "kept")
            documents[key] += 1
            num_bytes[key] += int(sketches.num_bytes[number])
    return [(*key, documents[key], num_bytes[key]) for key in sorted(documents)]


def _pairs(index: DocumentIndex, result: DedupResult) -> Iterator[tuple]:
    """One row per removed document with the one that stays for it, in the order of the latter."""
    removed = np.flatnonzero(result.removed)
    for number in map(int, removed[np.argsort(result.canonical[removed], kind="stable")]):
        stays = int(result.canonical[number])
        names = (name for one in (number, stays) for name in (index.name("id", one), index.name("location", one)))
        yield *names, str(stays < result.num_heldout).lower(), f"{result.similarity[number]:.4f}"


def _metrics(
    index: DocumentIndex, sketches: Sketches, result: DedupResult, lines: dict[str, Repeats]
) -> dict[str, float]:
    removed, exact = result.removed, result.exact
    total = sketches.num_bytes[index.num_heldout :]
    from_heldout = removed & (result.canonical < index.num_heldout)
    rules = [some & kind for some in (from_heldout, removed & ~from_heldout) for kind in (exact, ~exact)]
    metrics: dict[str, float] = {
        "documents/in": len(total),
        "documents/kept": int(len(total) - removed.sum()),
        "documents/dropped": int(removed.sum()),
        "megabytes/in": float(total.sum() / 1e6),
        "megabytes/dropped": float(sketches.num_bytes[removed].sum() / 1e6),
        "megabytes/like_heldout": float(sketches.num_bytes[from_heldout].sum() / 1e6),
        "repeated/lines": lines["lines"].share,
        "repeated/paragraphs": lines["paragraphs"].share,
    }
    metrics |= {f"dropped/{rule}": int(mask.sum()) for rule, mask in zip(RULES, rules, strict=True)}
    if removed.any():
        metrics["dropped/smallest_jaccard"] = float(result.similarity[removed].min())
    return metrics


def examples(index: DocumentIndex, result: DedupResult) -> str:
    """Removed documents beside the ones that stay for them: the largest clusters, then the least similar pairs."""
    removed = np.flatnonzero(result.removed & ~result.exact)
    stay, first, cluster = np.unique(result.canonical[removed], return_index=True, return_inverse=True)
    size = np.bincount(cluster, minlength=len(stay))
    last = np.zeros_like(first)
    last[cluster] = np.arange(len(removed))
    largest = removed[first[np.lexsort((last, -size))]]
    closest = removed[np.argsort(result.similarity[removed], kind="stable")]
    chosen = list(dict.fromkeys([*largest[: NUM_EXAMPLES // 2].tolist(), *closest[: NUM_EXAMPLES // 2].tolist()]))
    sections = ["# Near-duplicates, side by side\n\n`-` stays, `+` went; lines both have are left out."]
    for number in chosen:
        stays = int(result.canonical[number])
        size_here = int((result.canonical[removed] == stays).sum())
        head = f"## Jaccard {result.similarity[number]:.3f}, {size_here} removed for this document"
        names = [f"- {role}: `{index.name('location', one)}` ({index.name('id', one)})"
                 for role, one in (("stays", stays), ("removed", number))]  # fmt: skip
        sections.append("\n".join([f"{head}\n", *names, f"\n```diff\n{_difference(index, stays, number)}\n```"]))
    return "\n\n".join(sections) + "\n"


def _difference(index: DocumentIndex, first: int, second: int) -> str:
    """The first lines in which two documents differ."""
    stays, went = (_text(index, number)[:20_000].splitlines() for number in (first, second))
    changes = [line for line in difflib.unified_diff(stays, went, n=0, lineterm="") if line[:3] not in ("---", "+++")]
    shown = [line[:160].replace("```", "'''") for line in changes if not line.startswith("@@")]
    more = f"\n({len(shown) - DIFF_LINES} more)" if len(shown) > DIFF_LINES else ""
    return "\n".join(shown[:DIFF_LINES]) + more


def _text(index: DocumentIndex, number: int) -> str:
    for shard in index.shards:
        count = pq.read_metadata(shard).num_rows
        if number < count:
            with pq.ParquetFile(shard) as file:
                return str(file.read(columns=["text"])["text"][number])
        number -= count
    raise AssertionError("no such document")


def _plot_similarity(histogram: np.ndarray, threshold: float, path: Path) -> None:
    """Histogram of the exact similarity of all pairs that were verified."""
    caption = f"Exact similarity of the {histogram.sum():,} proposed pairs; those right of the line are duplicates."
    labels = {"xlabel": "Jaccard similarity of word n-grams", "ylabel": "pairs"}
    with chart(path, caption, 2.6, **labels) as axes:
        axes.stairs(histogram, BINS, fill=True)
        axes.axvline(threshold, color="#b5452c", label=f"threshold {threshold}")
