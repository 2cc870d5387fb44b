"""Sampling weights by group of people: text that mentions those a corpus hardly mentions, more often than once.

A mitigation, off unless `mix.group_weights` names a group. A document that mentions one (in the
lexicon's sense, identity_terms.py; counted sentence by sentence as the bias stage does) weighs its
source's weight times the group's; of several named groups the largest weight counts. The weight
holds to the nearest document for the documents of one source that weigh the same, as `mix.weights`
does for a source.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from components.reporting.tables import Page
from components.text.identity_terms import GROUPS, VERSION, mentions, names_of
from components.text.sentences import sentences_of


class Planned(Protocol):
    """Fields of a planned document (stage.Entry) that are counted."""

    source: str
    size: int
    num_copies: int
    groups: int


def mentioned(path: Path) -> list[int]:
    """Mention set of each document of a shard, as bits (bit i: `GROUPS[i]`)."""
    texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
    return [document_mentions(text) for text in texts]


def document_mentions(text: str) -> int:
    """Mention set of a text: the union of its sentences', as bits."""
    bits = 0
    for sentence in set(sentences_of(text)):
        bits |= mentions(sentence)
    return bits


def weight_of(groups: int, weights: Mapping[str, float]) -> float:
    """Factor on a document's weight: the largest weight of the groups it mentions, 1 if none is named."""
    return max((weights[name] for name in names_of(groups) if name in weights), default=1.0)


def reason_of(groups: int, weights: Mapping[str, float]) -> str:
    """Words for the setting behind `weight_of`, for the reason of a dropped document; "" if there is none."""
    named = [name for name in names_of(groups) if name in weights]
    if not named:
        return ""
    most = max(named, key=lambda name: weights[name])
    return f" and mix.group_weights.{most} = {weights[most]}"


# -- counts ------------------------------------------------------------------------------------------------------------


@dataclass
class WeightedCounts:
    """Counts of documents and bytes, in and out."""

    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0

    def add(self, entry: Planned) -> None:
        """Count a document, as often as it is copied."""
        self.documents_in += 1
        self.bytes_in += entry.size
        self.documents += entry.num_copies
        self.bytes += entry.size * entry.num_copies


@dataclass
class GroupCounts:
    """Counts of a weighted plan: by source and group mentioned, and by source and weight (for which weights are exact).

    A document of several groups is in the row of each, so rows of groups overlap; those of
    `by_weight` do not.
    """

    groups: dict[tuple[str, str], WeightedCounts] = field(default_factory=dict)
    by_weight: dict[tuple[str, float], WeightedCounts] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Planned], weights: Mapping[str, float]) -> "GroupCounts":
        """Count a plan."""
        groups = cls()
        for entry in entries:
            groups.by_weight.setdefault((entry.source, weight_of(entry.groups, weights)), WeightedCounts()).add(entry)
            for name in names_of(entry.groups):
                groups.groups.setdefault((entry.source, name), WeightedCounts()).add(entry)
        return groups

    def group_rows(self, weights: Mapping[str, float]) -> list[dict[str, Any]]:
        """Rows per source and group, weighted or not, so that side effects on other groups show."""
        keys = sorted(self.groups, key=lambda key: (key[0], GROUPS.index(key[1])))
        return [_row({"source": key[0], "group": key[1]}, weights.get(key[1], ""), self.groups[key]) for key in keys]

    def weight_rows(self) -> list[dict[str, Any]]:
        """Per source and weight."""
        return [_row({"source": key[0]}, key[1], self.by_weight[key]) for key in sorted(self.by_weight)]

    def total(self, group: str) -> WeightedCounts:
        """One group over all sources."""
        rows = [astuple(counts) for (_, name), counts in self.groups.items() if name == group]
        return WeightedCounts(*map(sum, zip(*rows, strict=True)))


def _row(named: dict[str, Any], weight: float | str, counts: WeightedCounts) -> dict[str, Any]:
    times = counts.bytes / counts.bytes_in if counts.bytes_in else "mentioned nowhere"
    return named | {"weight": weight} | vars(counts) | {"times": times}


def write(page: Page, groups: GroupCounts, weights: Mapping[str, float]) -> None:
    """Section of the report on groups, and its tables."""
    columns = "weight documents_in bytes_in documents bytes times"
    page.table("groups", f"source group {columns}", groups.group_rows(weights))
    page.table("group_weights", f"source {columns}", groups.weight_rows())
    page.add("## Sampling weights of groups")
    page.show(
        f"group {columns}",
        [_row({"group": group}, weight, groups.total(group)) for group, weight in weights.items()],
        f"A document that mentions a group (lexicon version {VERSION}) is taken this often, times its source's weight; "
        "of several named groups the largest weight counts, so `times` (by bytes) differs from it where groups share "
        "documents. `details/group_weights.csv` has the parts in which weights hold to the nearest document.",
    )
