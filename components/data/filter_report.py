"""The report of the filter stage: what was dropped and why, what other limits would drop, what was redacted."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from components.data.corpus import Manifest, shard_paths
from components.data.rules import PUBLISHED, RULES, Columns, limits, verdicts
from components.files import rounded, write_text
from components.params import Filter, FilterRules
from components.report import Report

if TYPE_CHECKING:
    from components.data.filter import Outcome

EXAMPLES = 3
LISTED = 1000
"""Documents in contamination.csv, those that share most."""
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
    given: Manifest, kept: Manifest, dropped: Manifest, total: "Outcome", out: Path, params: Filter, reports: Path
) -> Report:
    """Write tables, examples and plots under `reports`; return the report."""
    sources, columns = read_tags(out / "tags")
    rules = rule_table(sources, columns, params)
    published = published_table(sources, columns, params)
    languages = _languages(sources, columns)
    details = reports / "details"
    by_rule = _by_rule(out / "dropped")
    write_text(details / "dropped.csv", _csv(("source", "rule", "documents", "bytes"), by_rule))
    write_text(details / "rules.csv", _csv(("rule", "source", "limit", "broken", "only_this", "documents"), rules))
    write_text(details / "published.csv", _csv(("rules", "source", "dropped", "documents"), published))
    write_text(details / "languages.csv", _csv(("source", "language", "documents"), languages))
    personal = [(*key.rsplit(" ", 1), count) for key, count in sorted(total.personal.items())]
    write_text(details / "personal.csv", _csv(("source", "kind", "found"), personal))
    write_text(details / "examples.md", _examples(out / "dropped"))
    contact = sorted(total.contact, key=lambda row: (-row[3] / row[4], row[0], row[2]))
    header = ("evaluation_set", "source", "location", "shared_runs", "runs", "dropped")
    write_text(details / "contamination.csv", _csv(header, [tuple(row) for row in contact[:LISTED]]))
    _plot_dropped(by_rule, given, reports / "plots" / "dropped.png")
    _plot_scores(sources, columns, params, reports / "plots" / "scores.png")
    metrics = _metrics(given, kept, dropped, total)
    text = _markdown(metrics, by_rule, published, personal, languages, given) + _contact(contact, params)
    return Report(metrics, text, {"rules": dropped.facts["rules"], "personal": dict(sorted(total.personal.items()))})


def _contact(rows: list[list], params: Filter) -> str:
    """What training text shares with evaluation sets, as a paragraph and a table."""
    documents, dropped = Counter(row[0] for row in rows), Counter(row[0] for row in rows if row[5])
    table = [(name, documents[name], dropped[name]) for name in sorted(documents)]
    return "\n\n".join(
        [
            f"\n\nDocuments that share a run of {params.decontaminate.ngram} words with an evaluation set, or hold a "
            "shorter item of it:",
            _table(("evaluation set", "documents", "dropped"), table),
        ]
    )


def read_tags(folder: Path) -> tuple[np.ndarray, Columns]:
    """Source of every document, and all scores."""
    table = pq.read_table(sorted(folder.glob("*.parquet")))
    names = [name for name in table.column_names if name not in ("id", "source", "location")]
    return np.array(table["source"].to_pylist()), {name: np.array(table[name].to_pylist()) for name in names}


def rule_table(sources: np.ndarray, columns: Columns, params: Filter) -> list[tuple]:
    """(rule, source, limit, documents that break it, that break no other, documents) for rules that are on."""
    rows = []
    for source in sorted(set(sources.tolist())):
        here, rules = sources == source, params.rules_for(source)
        broken = verdicts(rules, columns)[here]
        alone = broken.sum(axis=1) == 1
        for at, rule in enumerate(RULES):
            allowed = limits(rule, rules)
            if allowed is not None:
                shown = " to ".join(f"{value:g}" for value in allowed if np.isfinite(value))
                only = int((broken[:, at] & alone).sum())
                rows.append((rule.name, source, shown, int(broken[:, at].sum()), only, int(here.sum())))
    return sorted(rows)


def published_table(sources: np.ndarray, columns: Columns, params: Filter) -> list[tuple]:
    """(rules, source, documents they would drop, documents): params.yaml's, then the published sets."""
    rows = []
    for source in sorted(set(sources.tolist())):
        here = sources == source
        sets: dict[str, FilterRules] = {"params.yaml": params.rules_for(source)} | PUBLISHED
        for name, rules in sets.items():
            rows.append((name, source, int(verdicts(rules, columns)[here].any(axis=1).sum()), int(here.sum())))
    return rows


def would_drop(tables: list[tuple[list[str], list[str], list[str], Columns]], params: Filter, examples: int) -> str:
    """The text of a dry run."""
    sources = np.array([source for table in tables for source in table[0]])
    locations = [location for table in tables for location in table[1]]
    beginnings = [beginning for table in tables for beginning in table[2]]
    columns = {name: np.concatenate([table[3][name] for table in tables]) for name in tables[0][3]}
    parts = ["# Dry run\n", _table(("rules", "source", "would drop", "of"), published_table(sources, columns, params))]
    rows = [row for row in rule_table(sources, columns, params) if row[3]]
    parts.append(_table(("rule", "source", "limit", "broken", "only this", "of"), rows))
    for name, source, limit, count, _, _ in rows:
        at = [rule.name for rule in RULES].index(name)
        rules = params.rules_for(source)
        broken = np.flatnonzero(verdicts(rules, columns)[:, at] & (sources == source))[:examples].tolist()
        values = columns[RULES[at].score]
        lines = [f"- {values[each]:.4g}: `{locations[each]}` {beginnings[each]}" for each in broken]
        parts.append(f"## {name} ({limit}) in {source}: {count}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _by_rule(dropped: Path) -> list[tuple]:
    """(source, rule, documents, bytes) of what was dropped, sorted."""
    documents, size = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for path in shard_paths(dropped):
        for row in pq.read_table(path, columns=["source", "rule", "text"]).to_pylist():
            key = (row["source"], row["rule"])
            documents[key] += 1
            size[key] += len(row["text"].encode())
    return [(*key, documents[key], size[key]) for key in sorted(documents)]


def _languages(sources: np.ndarray, columns: Columns) -> list[tuple]:
    """(source, language, documents); `unsure` below a probability of one half."""
    names = np.where(columns["language_score"] >= 0.5, columns["language"], "unsure")
    counts = Counter(zip(sources.tolist(), names.tolist(), strict=True))
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (row[0], -row[2], row[1]))


def _metrics(given: Manifest, kept: Manifest, dropped: Manifest, total: "Outcome") -> dict[str, float]:
    metrics: dict[str, float] = {
        "documents/in": given.num_documents,
        "documents/kept": kept.num_documents,
        "documents/dropped": dropped.num_documents,
        "megabytes/in": given.num_bytes / 1e6,
        "megabytes/dropped": dropped.num_bytes / 1e6,
        "personal/documents": total.redacted,
        "personal/found": total.personal.total(),
        "contact/documents": len({(row[1], row[2]) for row in total.contact}),
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
            _table(("source", "rule", "documents", "MB"), dropped),
            "What sets of rules would drop (those of the papers are tuned for web pages):",
            _table(("rules", "source", "documents", "share"), shares),
            _table(("source", "kind", "found"), personal),
            "Languages (from 1 % of a source's documents):",
            _table(("source", "language", "documents"), top),
        ]
    )


def _table(header: tuple[str, ...], rows: list[tuple]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in [header, ("---",) * len(header), *rows]]
    return "\n".join(lines) if rows else f"({', '.join(header)}: none)"


def _csv(header: tuple[str, ...], rows: list[tuple]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rounded(rows))
    return buffer.getvalue()


def _plot_dropped(by_rule: list[tuple], given: Manifest, path: Path) -> None:
    """Share of each source's documents that each rule dropped."""
    from components.data.plots import figure, save

    rules, sources = sorted({row[1] for row in by_rule}), sorted(given.sources)
    drawing, axes = figure("Documents dropped, by rule and source", height=1.4 + 0.35 * max(len(rules), 1))
    height = 0.8 / len(sources)
    for number, source in enumerate(sources):
        count = {row[1]: row[2] for row in by_rule if row[0] == source}
        share = [100 * count.get(rule, 0) / given.sources[source]["num_documents"] for rule in rules]
        axes.barh(np.arange(len(rules)) + number * height, share, height, label=source)
    axes.set_yticks(np.arange(len(rules)) + 0.4 - height / 2, rules)
    axes.set_xlabel("% of the source's documents")
    axes.legend(fontsize=8)
    save(drawing, path)


def _plot_scores(sources: np.ndarray, columns: Columns, params: Filter, path: Path) -> None:
    """Distribution of the main scores per source, with the limits."""
    from components.data.plots import panels, save

    drawing, grid = panels("Scores of all documents, limits in red", 3, 3)
    names = sorted(set(sources.tolist()))
    for axes, name in zip(grid, PLOTTED, strict=True):
        values = np.log10(np.maximum(columns[name], 1)) if name == "num_words" else columns[name]
        edges = np.linspace(0, max(float(values.max()), 0.05), 41)
        for source in names:
            axes.hist(values[sources == source], bins=edges.tolist(), histtype="step", density=True, label=source)
        for rule in (rule for rule in RULES if rule.score == name):
            for limit in limits(rule, params.rules) or ():
                if np.isfinite(limit) and limit <= 10 * edges[-1]:
                    axes.axvline(np.log10(max(limit, 1)) if name == "num_words" else limit, color="tab:red", lw=1)
        axes.set_title("log10 " * (name == "num_words") + name.replace("_", " "), fontsize=9)
        axes.set_yticks([])
    grid[0].legend(fontsize=7)
    save(drawing, path)
