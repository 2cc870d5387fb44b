"""What the filter would do to a corpus, rule by rule, with counts and examples; nothing is written.

`python -m flows.filter --dry-run` prints it for the corpus that lies there, with the limits of params.yaml.
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
from components.similarity.decontaminate import RULE, Exam, exam_of
from components.stages.filter.report import table
from components.stages.filter.rule_counts import RuleCounts
from components.stages.filter.rules import RULES, Columns, verdicts
from components.stages.filter.stage import Outcome, check, contaminated, redacted_document, tag


@dataclass
class Trial:
    """What would happen to the documents of a shard, or of all.

    Attributes:
        counts: by rule and source.
        outcome: personal data found, contact with evaluation sets.
        examples: lines that show documents which break a rule, by (rule, source).
    """

    counts: RuleCounts = field(default_factory=RuleCounts)
    outcome: Outcome = field(default_factory=Outcome)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, other: "Trial", most: int) -> None:
        """Add another; `most` examples are kept of each rule and source."""
        self.counts.merge(other.counts)
        self.outcome.add(other.outcome)
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
    """What the limits would drop, rule by rule, with examples; what published limits would; personal data found.

    Args:
        train, heldout, items, workers: as of `filter.filter_corpus`.
        examples: shown of each rule and source.

    Raises:
        UserError: the corpus is missing or empty, or a language in params is unknown.
    """
    if not (train / "manifest.json").exists():
        raise UserError(f"{train}: there is no corpus; run the stage that makes it first (dvc repro dedup)")
    check(params, read_manifest(train).num_documents)
    total = Trial()
    with tempfile.TemporaryDirectory() as folder, pool(workers) as workers_pool:
        exam = Path(folder) / "exam.npz"
        exam_of(heldout, items, params.decontaminate.ngram).save(exam)
        for trial in workers_pool.map(partial(try_shard, params, exam, examples), shard_paths(train)):
            total.add(trial, examples)
    return _text(total, params)


def try_shard(params: Filter, exam: Path, examples: int, shard: Path) -> Trial:
    """Score one shard and look for personal data and evaluation text in it."""
    documents, trial, reasons = read_shard(shard), Trial(), dict[int, tuple[str, str]]()
    columns = tag(documents, params.languages)
    trial.outcome.count_contact(contaminated(documents, Exam.load(exam), params.decontaminate, reasons))
    for document in documents:
        redacted_document(document, params, trial.outcome)
    sources = np.array([document.source for document in documents])
    holds_exam = np.isin(np.arange(len(documents)), list(reasons))
    trial.counts.add(sources, columns, params, {RULE: holds_exam})
    for source in np.unique(sources).tolist():
        here = sources == source
        broken = verdicts(params.rules_for(source), columns)
        for at, rule in enumerate(RULES):
            found = np.flatnonzero(broken[:, at] & here)[:examples].tolist()
            trial.examples[rule.name, source] = [_line(documents[each], rule.score, columns, each) for each in found]
        found = np.flatnonzero(holds_exam & here)[:examples].tolist()
        trial.examples[RULE, source] = [f"- {reasons[each][1]}: {_shown(documents[each])}" for each in found]
    return trial


def _line(document: Document, score: str, columns: Columns, at: int) -> str:
    return f"- {columns[score][at]:.4g}: {_shown(document)}"


def _shown(document: Document) -> str:
    """Where a document is from, and how it begins."""
    return f"`{document.location}` {' '.join(document.text[:400].split())[:160]}"


def _text(total: Trial, params: Filter) -> str:
    share = f"an item, or > {params.decontaminate.max_share:g} held-out"
    rows = [row for row in total.counts.rule_table(params, {RULE: share}) if row[3]]
    personal = [(*key.rsplit(" ", 1), count) for key, count in sorted(total.outcome.personal.items())]
    parts = [
        "# Dry run\n",
        table(("rules", "source", "would drop", "of"), total.counts.set_table()),
        table(("rule", "source", "limit", "broken", "only this", "of"), rows),
        f"Personal data in {total.outcome.redacted} documents would be replaced by its kind:",
        table(("source", "kind", "found"), personal),
    ]
    for rule, source, limit, count, _, _ in rows:
        parts.append(f"## {rule} ({limit}) in {source}: {count}\n\n" + "\n".join(total.examples[rule, source]))
    return "\n\n".join(parts)
