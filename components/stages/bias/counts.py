"""Counts of the bias stage: judged documents, and sentences by source and group."""

from dataclasses import dataclass, field

from components.corpus.corpus import Document
from components.stages.bias.sentiment import RunningMoments
from components.stages.bias.word_associations import Cooccurrence

MOST_EXAMPLES = 50
"""Dropped documents listed in details/dropped_examples.csv."""


@dataclass(frozen=True)
class DocumentToxicity:
    """Toxicity of one document.

    Attributes:
        sentences: number of different sentences. scored: those that the scorer could judge.
        toxic: sentences above the threshold with identity masked. toxic_raw: the same as the text stands.
        groups: bit set of the groups mentioned.
        worst: the sentence with the highest masked score, if the document is dropped.
    """

    source: str
    sentences: int
    scored: int
    toxic: int
    toxic_raw: int
    groups: int
    worst: str = ""


@dataclass
class JudgedShard:
    """Judged documents of a shard, and its sentences counted by source and group.

    `sentences[source][group]` is [scored, toxic masked, toxic raw]; group "" is sentences without any mention.
    `together` counts groups with words, `sentiment` is of a sample; both of the source's distinct sentences.
    """

    documents: list[DocumentToxicity] = field(default_factory=list)
    sentences: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    together: dict[str, Cooccurrence] = field(default_factory=dict)
    sentiment: dict[str, dict[str, RunningMoments]] = field(default_factory=dict)


@dataclass
class BiasCounts(JudgedShard):
    """Counts of a whole corpus: those of its shards, and which documents were dropped.

    Attributes:
        dropped, dropped_raw: per document: dropped; would be dropped without masking.
        examples: rows of details/dropped_examples.csv.
    """

    dropped: list[bool] = field(default_factory=list)
    dropped_raw: list[bool] = field(default_factory=list)
    examples: list[dict] = field(default_factory=list)
    bytes_in: int = 0
    bytes_kept: int = 0

    def add_shard(self, shard: JudgedShard) -> None:
        """Add the documents and counts of a shard."""
        self.documents += shard.documents
        for source, together in shard.together.items():
            self.together.setdefault(source, Cooccurrence()).add(together)
        for source, sentences in shard.sentences.items():
            counts = self.sentences.setdefault(source, {})
            for group, new in sentences.items():
                counts[group] = [a + b for a, b in zip(counts.get(group, [0, 0, 0]), new, strict=True)]
        for source, sentiment in shard.sentiment.items():
            moments = self.sentiment.setdefault(source, {})
            for group, more in sentiment.items():
                moments[group] = moments.get(group, RunningMoments()) + more

    def add_example(self, document: Document, toxic: int, judged: DocumentToxicity) -> None:
        """Add a dropped document to the examples, up to `MOST_EXAMPLES`."""
        if len(self.examples) < MOST_EXAMPLES:
            row = {"source": document.source, "location": document.location, "toxic": toxic, "scored": judged.scored}
            self.examples.append(row | {"worst": judged.worst})
