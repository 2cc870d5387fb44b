"""Losses of a source by each rule, in a sentence, and whether they are so many that a person should see them first.

The sentence is said of a sample before a run (`preview`) and of the whole corpus in the report.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from components.similarity.decontaminate import RULE

SHIPPED = 1 / 1561
"""Largest share that a source of the shipped corpus loses by a rule: python-docs, one document, as contaminated."""
MOST_CONTAMINATED, MOST, LEAST_DOCUMENTS = 0.1, max(0.01, 3 * SHIPPED), 2
"""A source loses much if more than a tenth is contaminated, or by another rule more than a
hundredth, or three times the share of the shipped corpus. One document alone is shown, and stops
nothing."""

EXAMPLES = 3
"""Shown of what a source loses."""


@dataclass
class Losses:
    """Documents of a source, and those that go, by rule; beginnings of some."""

    source: str
    documents: int
    rules: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, rule: str, example: str) -> None:
        """One more document that goes; the first few are examples."""
        self.rules[rule] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)

    @property
    def much(self) -> list[str]:
        """The rules by which so much goes that a person should see it."""
        shares = {rule: MOST_CONTAMINATED if rule == RULE else MOST for rule in self.rules}
        return [
            rule
            for rule, count in self.rules.most_common()
            if count >= LEAST_DOCUMENTS and count > shares[rule] * self.documents
        ]

    def summary(self, verb: str) -> str:
        """`mail: 39% would go, 36% by contaminated`, and examples; `verb` says whether it would, or went."""
        shares = ", ".join(f"{count / self.documents:.1%} by {rule}" for rule, count in self.rules.most_common(3))
        return f"{self.source}: {self.rules.total() / self.documents:.1%} {verb}, {shares}" + "".join(
            f"\n    {example}" for example in self.examples
        )


def losses_of(documents: Mapping[str, int], by_rule: Iterable[tuple]) -> list[Losses]:
    """Losses of a whole corpus, by rows (source, rule, documents, ...)."""
    by_source = {source: Losses(source, count) for source, count in documents.items()}
    for source, rule, count, *_ in by_rule:
        by_source[source].rules[rule] += count
    return list(by_source.values())
