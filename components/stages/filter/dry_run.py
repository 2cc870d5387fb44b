"""Dry run of the filter: counts and examples of what it would do to a corpus, rule by rule; nothing is written.

`greenhouse run --only filter --dry-run` prints it for the corpus in data/dedup/train, with the limits of params.yaml.
"""

import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.workers import Workers, pool
from components.corpus.corpus import Document, read_manifest, read_shard, shard_paths
from components.params import Filter
from components.reporting.tables import Page
from components.similarity.decontaminate import RULE, ContaminationIndex, contamination_index
from components.stages.filter.rule_counts import RuleCounts
from components.stages.filter.rules import RULES, Columns, broken_rules, limits_for
from components.stages.filter.stage import check, contaminated, redacted_document, tag
from components.stages.filter.types import FilterCounts


@dataclass
class DryRunCounts:
    """Counts and examples of what would happen to the documents of a shard, or of all.

    Attributes:
        counts: by rule and source.
        found: personal data, contact with evaluation sets.
        examples: lines that show documents which break a rule, by (rule, source).
    """

    counts: RuleCounts = field(default_factory=RuleCounts)
    found: FilterCounts = field(default_factory=FilterCounts)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, other: "DryRunCounts", most: int) -> None:
        """Add another; `most` examples are kept of each rule and source."""
        self.counts.merge(other.counts)
        self.found.add(other.found)
        for key, lines in other.examples.items():
            self.examples[key] = [*self.examples.get(key, []), *lines][:most]


def dry_run(
    train: Path,
    params: Filter,
    workers: Workers = 1,
    examples: int = 3,
    heldout: Path | None = None,
    items: Path | None = None,
) -> str:
    """Markdown text: what the limits would drop, rule by rule, with examples; the published limits; personal data.

    Args:
        train, heldout, items, workers: as of `filter_corpus`.
        examples: shown of each rule and source.

    Raises:
        UserError: the corpus is missing or empty, or a language in params is unknown.
    """
    if not (train / "manifest.json").exists():
        raise UserError(f"{train}: there is no corpus; run the stage that makes it first (dvc repro dedup)")
    check(params, read_manifest(train).num_documents)
    total = DryRunCounts()
    with tempfile.TemporaryDirectory() as folder, pool(workers) as workers_pool:
        index = Path(folder) / "contamination.npz"
        contamination_index(heldout, items, params.decontaminate.ngram).save(index)
        for result in workers_pool.map(partial(count_shard, params, index, examples), shard_paths(train)):
            total.add(result, examples)
    return _text(total, params)


def count_shard(params: Filter, index: Path, examples: int, shard: Path) -> DryRunCounts:
    """Score one shard and look for personal data and evaluation text in it."""
    documents, result, reasons = read_shard(shard), DryRunCounts(), dict[int, tuple[str, str]]()
    columns = tag(documents, params.languages)
    contact = contaminated(documents, ContaminationIndex.load(index), params.decontaminate, reasons)
    result.found.count_contact(contact)
    for document in documents:
        redacted_document(document, params, result.found)
    sources = np.array([document.source for document in documents])
    is_contaminated = np.isin(np.arange(len(documents)), list(reasons))
    result.counts.add(sources, columns, params, {RULE: is_contaminated})
    for source in np.unique(sources).tolist():
        here = sources == source
        broken = broken_rules(limits_for(params, source), columns)
        for at, rule in enumerate(RULES):
            found = np.flatnonzero(broken[:, at] & here)[:examples].tolist()
            result.examples[rule.name, source] = [_line(documents[each], rule.score, columns, each) for each in found]
        found = np.flatnonzero(is_contaminated & here)[:examples].tolist()
        result.examples[RULE, source] = [f"- {reasons[each][1]}: {_shown(documents[each])}" for each in found]
    return result


def _line(document: Document, score: str, columns: Columns, at: int) -> str:
    return f"- {columns[score][at]:.4g}: {_shown(document)}"


def _shown(document: Document) -> str:
    """Where a document is from, and how it begins."""
    return f"`{document.location}` {' '.join(document.text[:400].split())[:160]}"


def _text(total: DryRunCounts, params: Filter) -> str:
    share = f"an item, or > {params.decontaminate.max_share:g} held-out"
    rows = [row for row in total.counts.rule_table(params, {RULE: share}) if row[3]]
    personal = [(*key.rsplit(" ", 1), count) for key, count in sorted(total.found.personal.items())]
    page = Page("Dry run", None)
    page.show("rules source would_drop of", total.counts.set_table(), "Documents that sets of rules would drop.")
    page.show("rule source limit broken only_this of", rows, "Documents that break each rule, and no other.")
    caption = f"Personal data in {total.found.redacted} documents would be replaced by its kind."
    page.show("source kind found", personal, caption)
    for rule, source, limit, count, _, _ in rows:
        page.say(f"## {rule} ({limit}) in {source}: {count}\n\n" + "\n".join(total.examples[rule, source]))
    return page.markdown
