"""The report of the filter stage: what was dropped and why, what other limits would drop, what was redacted."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.core.files import write_text
from components.core.report import Report
from components.corpus.corpus import Manifest, shard_paths
from components.params import Filter
from components.reporting.figures import figure, save
from components.reporting.tables import markdown_table, write_table
from components.stages.filter.rule_counts import RuleCounts
from components.stages.filter.rules import RULES, Columns, limits
from components.stages.filter.types import FilterCounts

EXAMPLES = 3
PLOTTED = (
    "num_words",
    "mean_word_length",
    "alpha_words",
    "stop_words",
    "duplicate_lines",
    "top_2gram",
    "duplicate_10gram",
    "symbols_per_word",
    "bullet_lines",
)
"""Scores whose distribution is drawn."""


def build(
    given: Manifest, kept: Manifest, dropped: Manifest, total: FilterCounts, out: Path, params: Filter, reports: Path
) -> Report:
    """Write tables, examples and plots under `reports`; return the report."""
    counts = RuleCounts()
    for sources, columns in read_tags(out / "tags"):
        counts.add(sources, columns, params)
    rules, published, languages = counts.rule_table(params), counts.set_table(), counts.language_table()
    details = reports / "details"
    by_rule = _by_rule(out / "dropped")
    write_table(details / "dropped.csv", ("source", "rule", "documents", "bytes"), by_rule)
    write_table(details / "rules.csv", ("rule", "source", "limit", "broken", "only_this", "documents"), rules)
    write_table(details / "published.csv", ("rules", "source", "dropped", "documents"), published)
    write_table(details / "languages.csv", ("source", "language", "documents"), languages)
    personal = [(*key.rsplit(" ", 1), count) for key, count in sorted(total.personal.items())]
    write_table(details / "personal.csv", ("source", "kind", "found"), personal)
    write_text(details / "examples.md", _examples(out / "dropped"))
    header = ("evaluation_set", "source", "location", "shared_runs", "runs", "dropped")
    write_table(details / "contamination.csv", header, [tuple(row) for row in total.contact])
    _plot_dropped(by_rule, given, reports / "plots" / "dropped.png")
    _plot_scores(out / "tags", counts, params, reports / "plots" / "scores.png")
    metrics = _metrics(given, kept, dropped, total)
    text = _markdown(metrics, by_rule, published, personal, languages, given) + _contact(total, params)
    return Report(metrics, text, {"rules": dropped.facts["rules"], "personal": dict(sorted(total.personal.items()))})


def _contact(total: FilterCounts, params: Filter) -> str:
    """What training text shares with evaluation sets, as a paragraph and a table."""
    contact = [(name, count, total.contact_dropped[name]) for name, count in sorted(total.contact_sets.items())]
    return "\n\n".join(
        [
            f"\n\nDocuments that share a run of {params.decontaminate.ngram} words with an evaluation set, or hold a "
            "shorter item of it:",
            table(("evaluation set", "documents", "dropped"), contact),
        ]
    )


def read_tags(folder: Path) -> Iterator[tuple[np.ndarray, Columns]]:
    """Source of every document, and all scores, a shard at a time."""
    for path in sorted(folder.glob("*.parquet")):
        tags = pq.read_table(path)
        names = [name for name in tags.column_names if name not in ("id", "source", "location")]
        yield np.array(tags["source"].to_pylist()), {name: np.array(tags[name].to_pylist()) for name in names}


def _by_rule(dropped: Path) -> list[tuple]:
    """(source, rule, documents, bytes) of what was dropped, sorted."""
    documents, size = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for path in shard_paths(dropped):
        for row in pq.read_table(path, columns=["source", "rule", "text"]).to_pylist():
            key = (row["source"], row["rule"])
            documents[key] += 1
            size[key] += len(row["text"].encode())
    return [(*key, documents[key], size[key]) for key in sorted(documents)]


def _metrics(given: Manifest, kept: Manifest, dropped: Manifest, total: FilterCounts) -> dict[str, float]:
    metrics: dict[str, float] = {
        "documents/in": given.num_documents,
        "documents/kept": kept.num_documents,
        "documents/dropped": dropped.num_documents,
        "megabytes/in": given.num_bytes / 1e6,
        "megabytes/dropped": dropped.num_bytes / 1e6,
        "personal/documents": total.redacted,
        "personal/found": total.personal.total(),
        "contact/documents": total.contact_documents,
    }
    return metrics | {f"dropped/{rule}": count for rule, count in dropped.facts["rules"].items()}


def _examples(dropped: Path) -> str:
    """The first documents dropped by each rule: where they are from, why, how they begin."""
    shown: dict[str, list[str]] = {}
    for path in shard_paths(dropped):
        for row in pq.read_table(path, columns=["rule", "reason", "location", "text"]).to_pylist():
            entries = shown.setdefault(row["rule"], [])
            if len(entries) < EXAMPLES:
                beginning = row["text"][:400].replace("```", "'''")
                entries.append(f"`{row['location']}`: {row['reason']}\n\n```text\n{beginning}\n```")
    sections = [f"## {rule}\n\n" + "\n\n".join(entries) for rule, entries in sorted(shown.items())]
    return "\n\n".join(["# Dropped documents", *sections]) + "\n"


def _markdown(
    metrics: dict[str, float],
    by_rule: list[tuple],
    published: list[tuple],
    personal: list[tuple],
    languages: list[tuple],
    given: Manifest,
) -> str:
    head = (
        f"# Filter\n\n{metrics['documents/dropped']} of {metrics['documents/in']} documents were dropped "
        f"({metrics['megabytes/dropped']:.2f} of {metrics['megabytes/in']:.2f} MB). Personal data: "
        f"{metrics['personal/found']} finds in {metrics['personal/documents']} documents, replaced by their kind."
    )
    dropped = [(source, rule, count, f"{size / 1e6:.2f}") for source, rule, count, size in by_rule]
    shares = [(name, source, count, f"{count / total:.1%}") for name, source, count, total in published]
    top = [row for row in languages if row[2] >= 0.01 * given.sources[row[0]]["num_documents"]]
    return "\n\n".join(
        [
            head,
            table(("source", "rule", "documents", "MB"), dropped),
            "What sets of rules would drop (those of the papers are tuned for web pages):",
            table(("rules", "source", "documents", "share"), shares),
            table(("source", "kind", "found"), personal),
            "Languages (from 1 % of a source's documents):",
            table(("source", "language", "documents"), top),
        ]
    )


def table(header: tuple[str, ...], rows: list[tuple]) -> str:
    """Markdown table, or a line that says that it has no rows."""
    return markdown_table(header, rows) if rows else f"({', '.join(header)}: none)"


def _plot_dropped(by_rule: list[tuple], given: Manifest, path: Path) -> None:
    """Share of each source's documents that each rule dropped."""
    rules, sources = sorted({row[1] for row in by_rule}), sorted(given.sources)
    drawing, [axes] = figure(7.0, 1.4 + 0.35 * max(len(rules), 1), frame=False)
    axes.set_title("Documents dropped, by rule and source", loc="left")
    height = 0.8 / len(sources)
    for number, source in enumerate(sources):
        count = {row[1]: row[2] for row in by_rule if row[0] == source}
        share = [100 * count.get(rule, 0) / given.sources[source]["num_documents"] for rule in rules]
        axes.barh(np.arange(len(rules)) + number * height, share, height, label=source)
    axes.set_yticks(np.arange(len(rules)) + 0.4 - height / 2, rules)
    axes.set_xlabel("% of the source's documents")
    axes.legend(fontsize=8)
    save(drawing, path)


def _plot_scores(tags: Path, counts: RuleCounts, params: Filter, path: Path) -> None:
    """Distribution of the main scores per source, with the limits."""
    drawing, grid = figure(9.6, 6.3, rows=3, columns=3, frame=False)
    drawing.suptitle("Scores of all documents, limits in red", x=0.01, ha="left")
    edges = {name: np.linspace(0, max(_scaled(name, counts.largest[name]), 0.05), 41) for name in PLOTTED}
    seen = histograms(tags, edges)
    for axes, name in zip(grid, PLOTTED, strict=True):
        for source, documents in sorted(counts.documents.items()):
            density = seen[name, source] / (documents * np.diff(edges[name]))
            axes.stairs(density, edges[name], label=source)
        for rule in (rule for rule in RULES if rule.score == name):
            for limit in limits(rule, params.rules) or ():
                if np.isfinite(limit) and limit <= 10 * edges[name][-1]:
                    axes.axvline(_scaled(name, limit), color="tab:red", lw=1)
        axes.set_title("log10 " * (name == "num_words") + name.replace("_", " "), fontsize=9)
        axes.set_yticks([])
    grid[0].legend(fontsize=7)
    save(drawing, path)


def _scaled(name: str, values: Any) -> Any:
    """Scores as they are drawn: numbers of words as logarithms."""
    return np.log10(np.maximum(values, 1)) if name == "num_words" else values


def histograms(tags: Path, edges: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Documents per bin of each score (with `edges`, as drawn) and source: int64 (num_bins,)."""
    seen: dict[tuple[str, str], np.ndarray] = {}
    for sources, columns in read_tags(tags):
        for source in np.unique(sources).tolist():
            for name in edges:
                count, _ = np.histogram(_scaled(name, columns[name][sources == source]), edges[name])
                seen[name, source] = seen.get((name, source), 0) + count
    return seen
