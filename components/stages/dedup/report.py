"""The report of the dedup stage: what went and why, how good the search was, repeated lines, examples."""

import difflib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.core.files import write_text
from components.core.report import Report
from components.params import Dedup
from components.reporting.figures import figure, save
from components.reporting.tables import markdown_table, write_table
from components.similarity.duplicates import BINS
from components.similarity.sketch import Sketches
from components.stages.dedup.recall_check import share_proposed
from components.stages.dedup.repeated_lines import Repeats, repeats
from components.stages.dedup.types import DedupResult, DocumentIndex

RULES = ("heldout_duplicate", "heldout_near_duplicate", "duplicate", "near_duplicate")
"""Rules that remove a document: equal or similar to a held-out one, equal or similar to one that stays."""
NUM_EXAMPLES = 12
DIFF_LINES = 24


def build(
    index: DocumentIndex, sketches: Sketches, result: DedupResult, check: list[dict], params: Dedup, reports: Path
) -> Report:
    """Write tables, examples and plots under `reports`; return the report."""
    counts = _counts(index, sketches, result)
    lines = {kind: repeats(kind, sketches.targets, index.shards) for kind in ("lines", "paragraphs")}
    details = reports / "details"
    write_table(details / "rules.csv", ("source", "rule", "documents", "bytes"), counts)
    write_table(details / "clusters.csv", CLUSTER_COLUMNS, _clusters(index, result))
    write_table(details / "check.csv", tuple(check[0]) if check else ("pairs",), [tuple(row.values()) for row in check])
    write_table(details / "boilerplate.csv", ("kind", "count", "bytes", "text"), _boilerplate(lines))
    write_text(details / "examples.md", examples(index, result))
    _plot_rules(counts, reports / "plots" / "rules.png")
    if params.near:
        _plot_similarity(result.histogram, params.threshold, reports / "plots" / "similarity.png")
        _plot_check(check, params, reports / "plots" / "recall.png")
    metrics = _metrics(index, sketches, result, check, lines, params)
    return Report(metrics, _markdown(metrics, counts, check, params), {"threshold": params.threshold, "check": check})


def _counts(index: DocumentIndex, sketches: Sketches, result: DedupResult) -> list[tuple]:
    """(source, rule or "kept", documents, bytes) of the training documents, sorted."""
    documents, num_bytes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    removed = result.removed
    for number in range(index.num_heldout, len(index.ids)):
        key = (index.sources[number], result.rule(number) if removed[number] else "kept")
        documents[key] += 1
        num_bytes[key] += int(sketches.num_bytes[number])
    return [(*key, documents[key], num_bytes[key]) for key in sorted(documents)]


CLUSTER_COLUMNS = (
    "kept",
    "kept_location",
    "heldout",
    "removed",
    "smallest_jaccard",
    "removed_ids",
    "removed_locations",
)


def _clusters(index: DocumentIndex, result: DedupResult) -> list[tuple]:
    """One row per document that stays for others, the largest first."""
    members: dict[int, list[int]] = {}
    for number in np.flatnonzero(result.removed).tolist():
        members.setdefault(int(result.canonical[number]), []).append(number)
    rows = []
    for stays, gone in sorted(members.items(), key=lambda item: (-len(item[1]), index.ids[item[0]])):
        smallest = f"{min(result.similarity[number] for number in gone):.4f}"
        ids, places = (" ".join(column[number] for number in gone[:50]) for column in (index.ids, index.locations))
        held = str(stays < result.num_heldout).lower()
        rows.append((index.ids[stays], index.locations[stays], held, len(gone), smallest, ids, places))
    return rows


def _boilerplate(lines: dict[str, Repeats]) -> list[tuple]:
    return [(kind, row["count"], row["bytes"], row["text"][:300]) for kind in lines for row in lines[kind].top]


def _metrics(
    index: DocumentIndex,
    sketches: Sketches,
    result: DedupResult,
    check: list[dict],
    lines: dict[str, Repeats],
    params: Dedup,
) -> dict[str, float]:
    removed = result.removed
    total = sketches.num_bytes[index.num_heldout :]
    rules = Counter(result.rule(number) for number in np.flatnonzero(removed).tolist())
    from_heldout = removed & (result.canonical < index.num_heldout)
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
    metrics |= {f"dropped/{rule}": rules[rule] for rule in RULES}
    above = [row for row in check if row["jaccard_from"] >= params.threshold]
    pairs = sum(row["pairs"] for row in above)
    if pairs:
        metrics["check/pairs"] = pairs
        metrics["check/recall"] = sum(row["resolved"] for row in above) / pairs
    removals = sum(row["removals"] for row in check)
    if removals:
        metrics["check/removals"] = removals
        metrics["check/precision"] = sum(row["confirmed"] for row in check) / removals
    if removed.any():
        metrics["check/smallest_jaccard"] = float(result.similarity[removed].min())
    return metrics


def examples(index: DocumentIndex, result: DedupResult) -> str:
    """Removed documents beside the ones that stay for them: the largest clusters, then the least similar pairs."""
    gone = np.flatnonzero(result.removed & ~result.exact)
    size = Counter(result.canonical[gone].tolist())
    largest = sorted(gone.tolist(), key=lambda number: (-size[int(result.canonical[number])], number))
    one_each = list({int(result.canonical[number]): number for number in reversed(largest)}.values())[::-1]
    closest = sorted(gone.tolist(), key=lambda number: (result.similarity[number], number))
    chosen = list(dict.fromkeys([*one_each[: NUM_EXAMPLES // 2], *closest[: NUM_EXAMPLES // 2]]))
    sections = ["# Near-duplicates, side by side\n\n`-` stays, `+` went; lines both have are left out."]
    for number in chosen:
        stays = int(result.canonical[number])
        head = f"## Jaccard {result.similarity[number]:.3f}, {size[stays]} removed for this document"
        names = f"- stays: `{index.locations[stays]}` ({index.ids[stays]})\n- went: `{index.locations[number]}`"
        sections.append(f"{head}\n\n{names} ({index.ids[number]})\n\n```diff\n{_difference(index, stays, number)}\n```")
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


def _markdown(metrics: dict[str, float], counts: list[tuple], check: list[dict], params: Dedup) -> str:
    total, gone = int(metrics["documents/in"]), int(metrics["documents/dropped"])
    parts = [
        f"# Dedup\n\n{gone} of {total} documents went ({metrics['megabytes/dropped']:.2f} of "
        f"{metrics['megabytes/in']:.2f} MB), {metrics['megabytes/like_heldout']:.2f} MB of it because held-out text is "
        f"like it. Limit: Jaccard {params.threshold} of word {params.ngram}-grams.",
        markdown_table(
            ("source", "rule", "documents", "MB"), [(*row[:3], f"{row[3] / 1e6:.2f}") for row in counts], "llrr"
        ),
        f"Lines of 40 bytes or more: {metrics['repeated/lines']:.1%} of their bytes repeat an earlier line; "
        f"paragraphs of 100 or more: {metrics['repeated/paragraphs']:.1%}. They are counted, not removed.",
    ]
    if check:
        parts.append(
            "Brute-force comparison of a sample with all documents (pairs of training documents, or training and "
            "held-out), and a sample of the documents that went: is the reason right?"
        )
        header = ("Jaccard", "pairs", "proposed", "at most one remains", "recall", "went", "rightly", "precision")
        parts.append(markdown_table(header, map(_check_row, check), "lrrrrrrr"))
    return "\n\n".join(parts)


def _check_row(row: dict) -> list:
    def share(part: str, whole: str) -> str:
        return f"{row[part] / row[whole]:.3f}" if row[whole] else ""

    cells = [f"{row['jaccard_from']} up", *(row[name] for name in ("pairs", "proposed", "resolved"))]
    return [*cells, share("resolved", "pairs"), row["removals"], row["confirmed"], share("confirmed", "removals")]


def _plot_rules(counts: list[tuple], path: Path) -> None:
    """Stacked bars: share of each source's bytes that went, by rule."""
    sources = sorted({row[0] for row in counts})
    total = {source: sum(row[3] for row in counts if row[0] == source) for source in sources}
    drawing, [axes] = figure(7.0, 1.2 + 0.5 * len(sources), frame=False)
    axes.set_title("Text removed by dedup", loc="left")
    left = np.zeros(len(sources))
    for rule in RULES:
        size = {row[0]: row[3] for row in counts if row[1] == rule}
        share = np.array([100 * size.get(source, 0) / total[source] for source in sources])
        axes.barh(sources, share, left=left, label=rule.replace("_", " "))
        left += share
    axes.set_xlabel("% of the source's bytes")
    axes.legend(fontsize=8)
    save(drawing, path)


def _plot_similarity(histogram: np.ndarray, threshold: float, path: Path) -> None:
    """Histogram of the exact similarity of all pairs that were verified."""
    drawing, [axes] = figure(7.0, 3.6, frame=False)
    axes.set_title(f"Exact similarity of {histogram.sum()} proposed pairs", loc="left")
    axes.stairs(histogram, BINS, fill=True, color="tab:blue")
    axes.axvline(threshold, color="tab:red", label=f"threshold {threshold}")
    axes.set(xlabel="Jaccard similarity of word n-grams", ylabel="pairs")
    axes.legend()
    save(drawing, path)


def _plot_check(check: list[dict], params: Dedup, path: Path) -> None:
    """What the bands should propose, and what they did in the brute-force sample."""
    drawing, [axes] = figure(7.0, 3.6, frame=False)
    axes.set_title("Pairs the bands propose", loc="left")
    curve = np.linspace(0, 1, 201)
    expected = share_proposed(params.bands, params.rows, curve)
    axes.plot(curve, expected, label=f"expected, {params.bands} x {params.rows}")
    for row in check:
        if row["pairs"]:
            middle = (row["jaccard_from"] + (row["jaccard_below"] or 1.0)) / 2
            axes.plot(middle, row["proposed"] / row["pairs"], "o", color="tab:orange")
            axes.annotate(f"n={row['pairs']}", (middle, row["proposed"] / row["pairs"] - 0.08), ha="center", fontsize=8)
    axes.axvline(params.threshold, color="tab:red", label=f"threshold {params.threshold}")
    axes.set(xlabel="Jaccard similarity of word n-grams", ylabel="share proposed")
    axes.legend(fontsize=8)
    save(drawing, path)
