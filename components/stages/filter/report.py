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
from components.reporting.figures import COLOURS, WIDTH, figure, legend, save
from components.reporting.tables import Page, quoted
from components.similarity.decontaminate import BOILERPLATE
from components.stages.filter.losses import losses_of
from components.stages.filter.rule_counts import RuleCounts
from components.stages.filter.rules import RULES, Columns, limits, limits_for
from components.stages.filter.types import FilterCounts

EXAMPLES, SHOWN = 3, 5
PLOTTED = (
    "num_words", "mean_word_length", "alpha_words", "stop_words", "duplicate_lines", "top_2gram", "duplicate_10gram",
    "symbols_per_word", "bullet_lines",
)  # fmt: skip
"""Scores whose distribution is drawn."""


def build(
    given: Manifest, kept: Manifest, dropped: Manifest, total: FilterCounts, out: Path, params: Filter, reports: Path
) -> Report:
    """Write tables, examples and a plot under `reports`; return the report."""
    counts = RuleCounts()
    for sources, columns in read_tags(out / "tags"):
        counts.add(sources, columns, params)
    metrics, page = _metrics(given, kept, dropped, total), Page("Filter", reports)
    page.add(
        f"{metrics['documents/dropped']:,} of {metrics['documents/in']:,} documents were dropped "
        f"({metrics['megabytes/dropped']:.2f} of {metrics['megabytes/in']:.2f} MB). "
        f"{metrics['personal/found']:,} pieces of personal data in "
        f"{metrics['personal/documents']:,} documents were replaced by the name of their kind.",
    )
    by_rule = _by_rule(out / "dropped")
    documents = {name: source["num_documents"] for name, source in given.sources.items()}
    warnings = [
        f"filter: {losses.summary('went')}; read details/examples.md"
        for losses in losses_of(documents, by_rule)
        if losses.much
    ]
    page.parts[1:1] = [f"**Much was removed.** {warning}." for warning in warnings]
    page.table("dropped", "source rule documents bytes", by_rule, "Documents dropped, by the first rule they broke.")
    rules = counts.rule_table(params)
    page.table("rules", "rule source limit broken only_this documents", rules)
    broken = [row for row in rules if row[3]]
    page.show("rule source limit broken only_this documents", broken, "Documents that break each rule, and no other.")
    sets = [(*row, row[2] / row[3]) for row in counts.set_table()]
    caption = "Documents that sets of rules would drop; the published ones are tuned for web pages."
    page.table("sets", "rules source dropped documents share", sets, caption)
    personal = [(*key.rsplit(" ", 1), count) for key, count in sorted(total.personal.items())]
    page.table("personal", "source kind found", personal, "Personal data that was replaced.")
    languages = counts.language_table()
    page.table("languages", "source language documents", languages)
    common = [row for row in languages if row[2] >= 0.01 * given.sources[row[0]]["num_documents"]]
    page.show("source language documents", common, "Languages of at least 1% of a source's documents.")
    page.table("contamination", "evaluation_set source location shared_runs runs dropped", map(tuple, total.contact))
    page.show(
        "evaluation_set documents dropped",
        [(name, count, total.contact_dropped[name]) for name, count in sorted(total.contact_sets.items())],
        f"Documents that share a run of {params.decontaminate.ngram} words with an evaluation set, or hold a shorter "
        "item of it, and how many of them were dropped.",
    )
    page.table("boilerplate", "passage training_documents heldout_documents runs", total.boilerplate)
    page.add(
        f"{total.boilerplate_runs:,} held-out runs are in {BOILERPLATE} training documents or more: boilerplate, "
        "no evidence that a document is held-out text. What stays in training is in tokenize's report, by work.",
    )
    most = [(quoted(row[0]), *row[1:3]) for row in total.boilerplate[:SHOWN]]
    page.show("passage training_documents heldout_documents", most, "The most frequent of these passages.")
    write_text(reports / "details/examples.md", _examples(out / "dropped"))
    _plot_scores(out / "tags", counts, params, reports / "plots" / "scores.png")
    personal_kinds = dict(sorted(total.personal.items()))
    facts = {"rules": dropped.facts["rules"], "personal": personal_kinds, "warnings": warnings}
    return Report(metrics, page.markdown, facts)


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
        "contact/boilerplate_runs": total.boilerplate_runs,
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


def _plot_scores(tags: Path, counts: RuleCounts, params: Filter, path: Path) -> None:
    """Distribution of the main scores per source, with the limits."""
    drawing, grid = figure(WIDTH, 5.4, rows=3, columns=3)
    edges = {name: np.linspace(0, max(_scaled(name, counts.largest[name]), 0.05), 41) for name in PLOTTED}
    seen = histograms(tags, edges)
    for axes, name in zip(grid, PLOTTED, strict=True):
        for source, documents in sorted(counts.documents.items()):
            density = seen[name, source] / (documents * np.diff(edges[name]))
            axes.stairs(density, edges[name], label=source)
        for rule in (rule for rule in RULES if rule.score == name):
            for limit in limits(rule, limits_for(params, "")) or ():
                if np.isfinite(limit) and limit <= 10 * edges[name][-1]:
                    axes.axvline(_scaled(name, limit), color=COLOURS[3], lw=1)
        title = name.replace("_", " ")
        axes.set_title(f"log10 {title}" if name == "num_words" else title, fontsize=8.5)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=4)
    legend(grid[0])
    save(drawing, path, "How the documents of each source score on nine of the rules; red lines are the limits.")


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
