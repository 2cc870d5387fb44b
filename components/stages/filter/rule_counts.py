"""Counts of documents that break limits, made a shard at a time, so that memory does not grow with the corpus."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from components.params import Filter, FilterRules
from components.stages.filter.rules import RULE_SETS, RULES, Columns, broken_rules, limits, limits_for
from components.text.language import SURE

OURS = "params.yaml"
"""Name of the limits in use, beside the sets."""
SETS: dict[str, FilterRules] = {name: FilterRules(**values) for name, values in RULE_SETS.items() if values}
"""The sets that `filter.rules` names, for the table of documents they would drop."""


@dataclass
class RuleCounts:
    """Numbers of documents.

    Attributes:
        documents: by source.
        broken, alone: that break a rule, and that break no other, by (rule, source).
        sets: that a set of rules drops, by (name, source).
        languages: by (source, language); `unsure` below a probability of one half.
        largest: highest value of each score.
    """

    documents: Counter[str] = field(default_factory=Counter)
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    alone: Counter[tuple[str, str]] = field(default_factory=Counter)
    sets: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, sources: np.ndarray, columns: Columns, params: Filter) -> None:
        """Count some documents, of the sources (num_documents,) str."""
        names = [rule.name for rule in RULES]
        for source in np.unique(sources).tolist():
            in_source = sources == source
            ours = {name: values[in_source] for name, values in columns.items()}
            broken = broken_rules(limits_for(params, source), ours)
            alone = broken & (broken.sum(axis=1, keepdims=True) == 1)
            self.documents[source] += int(in_source.sum())
            self.sets[OURS, source] += int(broken.any(axis=1).sum())
            for name, rules in SETS.items():
                self.sets[name, source] += int(broken_rules(rules, ours).any(axis=1).sum())
            for name, count, only in zip(names, broken.sum(axis=0).tolist(), alone.sum(axis=0).tolist(), strict=True):
                self.broken[name, source] += count
                self.alone[name, source] += only
            languages = np.where(ours["language_score"] >= SURE, ours["language"], "unsure").tolist()
            self.languages.update((source, language) for language in languages)
        for name, values in columns.items():
            if len(values) and values.dtype.kind != "U":
                self.largest[name] = max(self.largest.get(name, -np.inf), float(values.max()))

    def rule_table(self, params: Filter) -> list[tuple]:
        """(rule, source, limit, documents that break it, that break no other, documents) for rules that are on."""
        return sorted(
            (rule, source, limit, self.broken[rule, source], self.alone[rule, source], documents)
            for source, documents in self.documents.items()
            for rule, limit in _limits(limits_for(params, source)).items()
        )

    def set_table(self) -> list[tuple]:
        """(rules, source, documents they would drop, documents): params.yaml's, then the named sets."""
        return [
            (name, source, self.sets[name, source], count)
            for source, count in sorted(self.documents.items())
            for name in (OURS, *SETS)
        ]

    def language_table(self) -> list[tuple]:
        """(source, language, documents), the most frequent of each source first."""
        rows = ((*key, count) for key, count in self.languages.items())
        return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))


def _limits(rules: FilterRules) -> dict[str, str]:
    """The rules that are on, with their limits as text."""
    return {
        rule.name: " to ".join(f"{value:g}" for value in allowed if np.isfinite(value))
        for rule in RULES
        if (allowed := limits(rule, rules)) is not None
    }
