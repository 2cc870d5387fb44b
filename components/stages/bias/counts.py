"""What the bias stage counts on its way through a corpus: one entry per document, sentences by source and group."""

from dataclasses import dataclass, field

from components.corpus.corpus import Document
from components.stages.bias.sentiment import Moments
from components.stages.bias.word_associations import Together

MOST_EXAMPLES = 50
"""Dropped documents listed in details/dropped_examples.csv."""


@dataclass
class Books:
    """What was counted: one entry per document in the columns, sentences by source and group."""

    sources: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    num_sentences: list[int] = field(default_factory=list)
    gone: list[bool] = field(default_factory=list)
    gone_raw: list[bool] = field(default_factory=list)
    sentences: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    together: dict[str, Together] = field(default_factory=dict)
    sentiment: dict[str, dict[str, Moments]] = field(default_factory=dict)
    examples: list[dict] = field(default_factory=list)
    bytes_in: int = 0
    bytes_kept: int = 0

    def add_document(self, source: str, groups: int, scored: int, sentences: int, gone: bool, raw: bool) -> None:
        """One document: whether it goes, and would go without masking."""
        self.sources.append(source)
        self.groups.append(groups)
        self.scored.append(scored)
        self.num_sentences.append(sentences)
        self.gone.append(gone)
        self.gone_raw.append(raw)

    def add_sentences(self, table: dict[str, dict[str, list[int]]]) -> None:
        """A shard's counts by source and group: [scored, toxic masked, toxic raw]."""
        for source, groups in table.items():
            ours = self.sentences.setdefault(source, {})
            for group, counts in groups.items():
                ours[group] = [old + new for old, new in zip(ours.get(group, [0, 0, 0]), counts, strict=True)]

    def add_said(self, together: dict[str, Together], sentiment: dict[str, dict[str, Moments]]) -> None:
        """A shard's words and sentiment by source and group."""
        for source, found in together.items():
            self.together.setdefault(source, Together()).add(found)
        for source, groups in sentiment.items():
            ours = self.sentiment.setdefault(source, {})
            for group, moments in groups.items():
                ours[group] = ours.get(group, Moments()) + moments

    def add_example(self, document: Document, toxic: int, scored: int, worst: str) -> None:
        """A dropped document, while there is room."""
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(
                {
                    "source": document.source,
                    "location": document.location,
                    "toxic": toxic,
                    "scored": scored,
                    "worst": worst,
                }
            )
