"""Types of the filter stage."""

from collections import Counter
from dataclasses import dataclass, field

from components.similarity.decontaminate import most_shared


@dataclass
class FilterCounts:
    """Counts of the documents of a shard, or of all, by what happened to them.

    Attributes:
        documents, dropped: how many.
        personal: finds of personal data by "source kind".
        redacted: documents in which something was found.
        contact_documents: that share a run of words with an evaluation set.
        contact_sets, contact_dropped: by evaluation set, documents that do, and that go for it.
        boilerplate_runs: held-out runs of words that are no evidence, for many training documents have them.
        boilerplate: passages of them (`decontaminate.boilerplate_passages`).
        contact: those that share most (`decontaminate.most_shared`), [set, source, location, shared, total, dropped?].
    """

    documents: int = 0
    dropped: int = 0
    redacted: int = 0
    personal: Counter[str] = field(default_factory=Counter)
    contact_documents: int = 0
    contact_sets: Counter[str] = field(default_factory=Counter)
    contact_dropped: Counter[str] = field(default_factory=Counter)
    contact: list[list] = field(default_factory=list)
    boilerplate_runs: int = 0
    boilerplate: list[tuple] = field(default_factory=list)

    def count_contact(self, rows: list[list]) -> None:
        """Count the documents of a shard that share text with evaluation sets."""
        self.contact_documents += len({tuple(row[1:3]) for row in rows})
        self.contact_sets.update(row[0] for row in rows)
        self.contact_dropped.update(row[0] for row in rows if row[5])
        self.contact = most_shared([*self.contact, *rows])

    def add(self, other: "FilterCounts") -> None:
        """Add the numbers of another."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        self.contact = most_shared(self.contact)
