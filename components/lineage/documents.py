"""Lineage of a text: the documents that contain it, what each stage did with them, and in which shard they are.

An id is given at ingest and kept (`mix` adds `-2` for a copy, `-t1` for an augmented copy), so a
document found by a passage, a hash or a location is then looked up by its id in every corpus. Of
records that repeat an id ingest keeps the first and quarantines the rest: other texts, told apart
by their hash as ingested, which every corpus has. Passages are compared as the opt-out list does
(passage_match.py). Where no document holds one, those that have most of it in runs of words are
named.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import read_json
from components.core.plain_text import plain_name
from components.lineage.needles import Needles
from components.text.passage_match import HEAD, Passages, words

CORPORA = (
    *(("ingest", part) for part in ("train", "heldout", "dropped", "quarantine")),
    *((stage, part) for stage in ("dedup", "filter", "bias", "mix") for part in ("train", "dropped")),
)
"""Stage and part of every corpus, in the order of the pipeline."""
WITH_TEXT = (*CORPORA[:4], ("mix", "train"))
"""Corpora in which texts begin: those of ingest, and the mixture, which has generated text."""

KINDS = ("source", "licence")
"""What manifests count documents by."""

SKIPPED = "reports/ingest/details/skipped.csv"
"""Files that ingest left out whole."""

View = Callable[[str], Path | None]
"""Path of a pipeline file (`data/mix/train/manifest.json`) in the workspace or in DVC's cache; None if absent."""

MOST_NEAR = 5
LEAST_SHARED = 0.2
"""Share of a passage's words, in runs, from which a document is called near."""


@dataclass(frozen=True)
class DocumentLocation:
    """Location of a document in one corpus: stage, part, shard (index and file), row, id; why it was dropped."""

    stage: str
    part: str
    shard: int
    file: str
    row: int
    id: str
    rule: str = ""
    reason: str = ""
    transforms: tuple[str, ...] = ()


@dataclass
class Traced:
    """A document and all its locations; `facts` are the columns of `Document` but the text.

    `shares_id`: a corpus has another text with its id.
    """

    facts: dict[str, str]
    locations: list[DocumentLocation] = field(default_factory=list)
    shares_id: bool = False

    @property
    def name(self) -> str:
        """Its id; with its hash if another text has that id."""
        return f"{self.facts['id']} {self.facts['sha256']}" if self.shares_id else self.facts["id"]

    @property
    def trained(self) -> list[DocumentLocation]:
        """Its locations in the training mixture, one per copy."""
        return [location for location in self.locations if (location.stage, location.part) == ("mix", "train")]


@dataclass(frozen=True)
class Query:
    """A search: kind (`id`, `sha256`, `location`, `prefix`, `source`, `licence`, `email`, `passage`) and value."""

    kind: str
    value: str


def query_of(text: str, view: View) -> Query:
    """Search for a person's words: an id, a hash, an e-mail address, a source, a licence, a
    location or its beginning, else a passage.

    Raises:
        UserError: a passage of too few words; it lists the sources and licences that there are.
    """
    text = text.strip()
    location = plain_name(text)  # as a location is written: a line break in a name is `\\n`
    if re.fullmatch(r"[0-9a-f]{16}(-t?\d+)?", text):
        return Query("id", text.split("-")[0])
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return Query("sha256", text.lower())
    if re.fullmatch(r"[^\s@]+@[^\s@]+\.\w+", text):
        return Query("email", text)
    parts = [view(f"data/{stage}/{part}/manifest.json") for stage, part in WITH_TEXT]
    manifests = [read_json(path) for path in parts if path]
    known = {kind: dict.fromkeys(name for one in manifests for name in one.get(f"{kind}s", {})) for kind in KINDS}
    if kind := next((kind for kind, names in known.items() if text in names), ""):
        return Query(kind, text)
    if kind := next((kind for kind in ("location", "prefix") if location and any(_rows(view, kind, location))), ""):
        return Query(kind, location)
    if reason := _left_out(view, location):
        raise UserError(f"{location}: ingest left this file out ({reason}), so there is no document of it")
    if len(words(text)) < HEAD:
        names_known = "; ".join(f"{kind}s: {', '.join(list(names)[:20])}" for kind, names in known.items())
        raise UserError(
            f"{text!r} is no id, hash or location of a document, and as a passage it has fewer than {HEAD} "
            f"words; give more of the text, or name a source or licence ({names_known})"
        )
    return Query("passage", text)


def _left_out(view: View, location: str) -> str:
    """Why ingest left a file out whole; "" if it did not."""
    path = view(SKIPPED)
    if path is None:
        return ""
    with open(path, encoding="utf-8", newline="") as file:
        return next((row["reason"] for row in csv.DictReader(file) if row["file"] == location), "")


def trace(query: Query, view: View) -> list[Traced]:
    """Documents that the query names, with all their locations, in the order of the search."""
    traced: dict[str, dict[str, Traced]] = {}
    for row in _rows(view, query.kind, query.value):
        base = row["id"].split("-")[0]
        traced.setdefault(base, {}).setdefault(row["sha256"], Traced(row | {"id": base}))
    for location, sha256 in _locations(view, set(traced)):
        texts = traced[location.id.split("-")[0]]
        if sha256 in texts:
            texts[sha256].locations.append(location)
        for other, one in texts.items():
            one.shares_id |= other != sha256
    return [one for texts in traced.values() for one in texts.values()]


_FACTS = ("id", "source", "source_version", "location", "group", "licence", "licence_from", "retrieved", "sha256")


class Shard(NamedTuple):
    """A shard of a corpus: the corpus, index and name of the file in it, and where it lies."""

    stage: str
    part: str
    number: int
    file: str
    path: Path


def shards(view: View, *corpora: tuple[str, str]) -> Iterator[Shard]:
    """The shards of these corpora (stage, part); none of a stage that has not run."""
    for stage, part in corpora:
        manifest = view(f"data/{stage}/{part}/manifest.json")
        for number, shard in enumerate(read_json(manifest)["shards"] if manifest else []):
            path = view(f"data/{stage}/{part}/{shard['file']}")
            if path is not None:
                yield Shard(stage, part, number, shard["file"], path)


def _rows(view: View, kind: str, value: str) -> Iterator[dict[str, Any]]:
    """Rows of the corpora where texts begin that a query of this kind names."""
    column = {"passage": "text", "email": "text", "prefix": "location"}.get(kind, kind)
    is_wanted = predicate(kind, value)
    for shard in shards(view, *WITH_TEXT):
        cells = pq.read_table(shard.path, columns=[column])[0].to_pylist()
        yield from _rows_at(shard.path, _FACTS, [row for row, cell in enumerate(cells) if is_wanted(cell)])


def predicate(kind: str, value: str) -> Callable[[str], bool]:
    """Whether a cell (an id, a location, a text) is one that the query names."""
    if kind == "passage":
        passages, longest = Passages([words(value)]), max(words(value), key=len)
        # Most ASCII texts are decided by looking for its longest word.
        return lambda cell: (not cell.isascii() or longest in cell.lower()) and passages.first_in(cell) is not None
    if kind == "prefix":
        return lambda cell: cell.startswith(value)
    if kind == "email":
        address = re.compile(rf"(?<![\w.+-]){re.escape(value)}(?![\w-])", re.IGNORECASE)
        return lambda cell: "@" in cell and address.search(cell) is not None
    end = {"id": "-", "location": "#"}.get(kind)  # of an id its copies match too, of a location the parts of its file
    return lambda cell: cell == value or (end is not None and cell.startswith(value + end))


def _rows_at(path: Path, columns: Sequence[str], rows: list[int]) -> list[dict[str, Any]]:
    """Some rows of a shard; the file is not read if there are none."""
    return pq.read_table(path, columns=list(columns)).take(rows).to_pylist() if rows else []


def _locations(view: View, bases: set[str]) -> Iterator[tuple[DocumentLocation, str]]:
    """Where texts with one of these ids are, each with the text's hash."""
    for stage, part, number, name, path in shards(view, *CORPORA):
        is_left_out = part in ("dropped", "quarantine")
        columns = ["id", "sha256", "transforms", *(("rule", "reason") if is_left_out else ())]
        ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
        hits = [index for index, id in enumerate(ids) if id.split("-")[0] in bases]
        for index, row in zip(hits, _rows_at(path, columns, hits), strict=True):
            changes, sha256 = tuple(row.pop("transforms")), row.pop("sha256")
            yield DocumentLocation(stage, part, number, name, index, transforms=changes, **row), sha256


def text_at(location: DocumentLocation, view: View) -> str:
    """The text of a document as it is in one corpus."""
    path = view(f"data/{location.stage}/{location.part}/{location.file}")
    assert path is not None, f"{location} was read a moment ago"
    return str(pq.read_table(path, columns=["text"])["text"][location.row])


def span_of(passage: str, text: str) -> tuple[int, int] | None:
    """Span of the passage in `text`, in characters; None where it is spelt another way (ligatures, full width)."""
    pattern = r"[\W_]*".join(
        rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in words(passage)
    )
    match = re.search(pattern, text, re.IGNORECASE)
    return match.span() if match else None


@dataclass(frozen=True)
class Near:
    """A document and the share of a passage's words that stand in it in runs of six."""

    share: float
    stage: str
    part: str
    facts: dict[str, str]


def near(passage: str, view: View) -> list[Near]:
    """The documents that have most of a passage's words in runs, the nearest first.

    A text may repeat a run, so its words in runs only choose the texts of which the passage's words
    are counted.
    """
    wanted, num_words, candidates = Needles.of([passage], (), 0), len(words(passage)), list[Near]()
    for stage, part, _, _, path in shards(view, *WITH_TEXT):
        texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
        rows = np.flatnonzero(wanted.within(texts)[0] >= LEAST_SHARED * num_words).tolist()
        for row, facts in zip(rows, _rows_at(path, _FACTS, rows), strict=True):
            share = float(Needles.of([texts[row]], (), 0).within([passage])[0][0]) / num_words
            if share >= LEAST_SHARED:
                candidates.append(Near(share, stage, part, facts))
    # Reversed, so that of a document met twice the place where it begins counts.
    nearest = {(near.facts["id"], near.facts["sha256"]): near for near in reversed(candidates)}
    return sorted(nearest.values(), key=lambda near: (-near.share, near.facts["id"]))[:MOST_NEAR]
