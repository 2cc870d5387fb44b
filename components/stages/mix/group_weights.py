"""Sampling weights by group of people: text that mentions those a corpus hardly mentions, more often than once.

A mitigation, off unless `mix.group_weights` names a group. A document that mentions one (in the lexicon's sense,
identity.py; counted sentence by sentence as the bias stage does) weighs its source's weight times the group's; of
several named groups the largest weight counts. Documents of one source that weigh the same are taken together, so the
weight holds for each such part to the nearest document, as `mix.weights` does for a source.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from components.reporting.tables import markdown_table
from components.text.identity_terms import GROUPS, VERSION, mentions, names_of
from components.text.sentences import sentences_of


class Planned(Protocol):
    """What the books need of a document of the plan (mix.Entry)."""

    source: str
    size: int
    taken: int
    groups: int


def mentioned(path: Path) -> list[int]:
    """The groups that each document of a shard mentions, as bits (bit i: `GROUPS[i]`)."""
    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
    return [document_mentions(text) for text in texts]


def document_mentions(text: str) -> int:
    """The groups mentioned in any sentence of a text, as bits."""
    bits = 0
    for sentence in set(sentences_of(text)):
        bits |= mentions(sentence)
    return bits


def weight_of(groups: int, weights: Mapping[str, float]) -> float:
    """What the document's groups multiply its weight by: the largest weight of those named, or 1."""
    return max((weights[name] for name in names_of(groups) if name in weights), default=1.0)


def why(groups: int, weights: Mapping[str, float]) -> str:
    """The setting behind `weight_of`, for the reason of a document left out; "" if none."""
    named = [name for name in names_of(groups) if name in weights]
    if not named:
        return ""
    most = max(named, key=lambda name: weights[name])
    return f" and mix.group_weights.{most} = {weights[most]}"


# -- the books ---------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """Documents and bytes, in and out."""

    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0

    def add(self, entry: Planned) -> None:
        """A document, as often as it is taken."""
        self.documents_in += 1
        self.bytes_in += entry.size
        self.documents += entry.taken
        self.bytes += entry.size * entry.taken


@dataclass
class GroupBooks:
    """What weighing did: by source and group mentioned, and by source and weight (the parts that are exact).

    A document of several groups is in the row of each, so rows of groups overlap; those of `parts` do not.
    """

    groups: dict[tuple[str, str], Part] = field(default_factory=dict)
    parts: dict[tuple[str, float], Part] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Planned], weights: Mapping[str, float]) -> "GroupBooks":
        """Count a plan."""
        books = cls()
        for entry in entries:
            books.parts.setdefault((entry.source, weight_of(entry.groups, weights)), Part()).add(entry)
            for name in names_of(entry.groups):
                books.groups.setdefault((entry.source, name), Part()).add(entry)
        return books

    def group_rows(self, weights: Mapping[str, float]) -> list[dict[str, Any]]:
        """Per source and group, weighted or not: who else gained or lost is to be seen too."""
        order = {name: at for at, name in enumerate(GROUPS)}
        keys = sorted(self.groups, key=lambda key: (key[0], order[key[1]]))
        return [_row({"source": key[0], "group": key[1]}, weights.get(key[1], ""), self.groups[key]) for key in keys]

    def part_rows(self) -> list[dict[str, Any]]:
        """Per source and weight."""
        return [_row({"source": key[0]}, key[1], self.parts[key]) for key in sorted(self.parts)]

    def total(self, group: str) -> Part:
        """One group over all sources."""
        total = Part()
        for (_, name), part in self.groups.items():
            if name == group:
                for key, value in vars(part).items():
                    setattr(total, key, getattr(total, key) + value)
        return total


def _row(named: dict[str, Any], weight: float | str, part: Part) -> dict[str, Any]:
    times = part.bytes / part.bytes_in if part.bytes_in else ""
    return named | {"weight": weight} | vars(part) | {"times": times}


def markdown(books: GroupBooks, weights: Mapping[str, float]) -> list[str]:
    """The part of the report on groups."""
    header = ("group", "weight", "documents in", "documents out", "MB in", "MB out", "times")
    return [
        "",
        "## Sampling weights of groups",
        "",
        f"A document that mentions a group (lexicon version {VERSION}) is taken this often, times its source's weight; "
        "of several named groups the largest weight counts, so `times` (by bytes) differs from it where groups share "
        "documents. `details/group_weights.csv` has the parts in which weights hold to the nearest document.",
        "",
        markdown_table(
            header, [_cells(group, weight, books.total(group)) for group, weight in weights.items()], "lrrrrrr"
        ),
    ]


def _cells(group: str, weight: float, part: Part) -> tuple:
    """Row of a group in the table of the summary."""
    before, after = part.bytes_in / 1e6, part.bytes / 1e6
    times = f"{after / before:.3f}" if before else "mentioned nowhere"
    return group, weight, f"{part.documents_in:,}", f"{part.documents:,}", f"{before:.3f}", f"{after:.3f}", times
