"""Counts of the bias stage: judged documents, and sentences by source and group."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from components.core.files import sha256_bytes
from components.corpus.corpus import Document

WORKS = 256
"""Clusters of a source at most: works are numbered by hash, and with many of them several share a number."""
Tables = dict[int, list[int]]
"""Sentences by group and word, row by row (word_associations.cooccurrences), per stratum: `work * LENGTHS + length`."""
MOST_EXAMPLES = 50
"""Dropped documents listed in details/dropped_examples.csv."""
LENGTHS = 6
"""Classes of length, in powers of four sentences."""
MIN_SCORED_SHARE = 0.5
"""Share of a document's sentences that the scorer must know for a verdict: two of twelve say nothing of a text."""


def work_of(document: Document) -> int:
    """The number of a document's work (`Document.group`), below `WORKS`."""
    return int(sha256_bytes(document.group.encode())[:8], 16) % WORKS


@dataclass(frozen=True)
class DocumentToxicity:
    """Toxicity of one document.

    Attributes:
        sentences: number of different sentences. scored: those that the scorer could judge.
        toxic: sentences above the threshold with identity masked. toxic_raw: the same as the text
            stands.
        groups: bit set of the groups mentioned in English sentences.
        foreign: whether it is surely in another language than English.
        worst: the sentence with the highest masked score, if the document is dropped.
        work: the number of its work; -1 if it stands alone.
    """

    source: str
    sentences: int
    scored: int
    toxic: int
    toxic_raw: int
    groups: int = 0
    foreign: bool = False
    worst: str = ""
    work: int = -1

    @property
    def enough_scored(self) -> bool:
        """Whether it is English, by the scorer that knows its sentences, so that they may drop it; else: not judged."""
        return not self.foreign and self.scored > 0 and self.scored >= MIN_SCORED_SHARE * self.sentences


@dataclass
class JudgedShard:
    """Judged documents of a shard, and its sentences counted by source and group.

    `sentences[source][group]` is [scored, toxic masked, toxic raw]; group "" is sentences without
    any mention. `together` counts groups with words in a work's distinct sentences.
    """

    documents: list[DocumentToxicity] = field(default_factory=list)
    sentences: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    together: dict[str, Tables] = field(default_factory=dict)


class Alike(NamedTuple):
    """Columns of the audit, one row per document; `dropped_raw`: would be dropped without masking.

    `work` numbers its work (`work_of`); -1 of a document that stands alone.
    """

    source: str
    work: int
    length: int
    groups: int
    judged: bool
    dropped: bool
    dropped_raw: bool


@dataclass
class BiasCounts:
    """Counts of a whole corpus: sentences and words as in its shards, and documents that are alike.

    Memory grows with the ways in which documents differ, not with their number.

    Attributes:
        documents: number of documents of each kind.
        num_sentences, num_scored: of all documents.
        examples: rows of details/dropped_examples.csv.
    """

    sentences: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    together: dict[str, Tables] = field(default_factory=dict)
    documents: Counter[Alike] = field(default_factory=Counter)
    num_sentences: int = 0
    num_scored: int = 0
    examples: list[dict] = field(default_factory=list)
    bytes_in: int = 0
    bytes_kept: int = 0

    def add_shard(self, shard: JudgedShard) -> None:
        """Add the counts of a shard, but for its documents."""
        for source, tables in shard.together.items():
            _add(self.together.setdefault(source, {}), tables)
        for source, sentences in shard.sentences.items():
            _add(self.sentences.setdefault(source, {}), sentences)

    def add_document(self, judged: DocumentToxicity, dropped: bool, dropped_raw: bool) -> None:
        """Count a document."""
        length = min(LENGTHS - 1, (judged.scored + 1).bit_length() - 1 >> 1)
        about = (judged.source, judged.work, length, judged.groups, judged.enough_scored)
        self.documents[Alike(*about, dropped, dropped_raw)] += 1
        self.num_sentences += judged.sentences
        self.num_scored += judged.scored

    def add_example(self, document: Document, toxic: int, judged: DocumentToxicity) -> None:
        """Add a dropped document to the examples, up to `MOST_EXAMPLES`."""
        if len(self.examples) < MOST_EXAMPLES:
            row = {"source": document.source, "location": document.location, "toxic": toxic, "scored": judged.scored}
            self.examples.append(row | {"worst": judged.worst})


def _add(totals: dict, new: dict) -> None:
    """Add rows of numbers to those of the same key."""
    for key, row in new.items():
        totals[key] = [a + b for a, b in zip(totals[key], row, strict=True)] if key in totals else row
