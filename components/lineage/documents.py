"""Follow a text through the pipeline: which documents hold it, what each stage did with them, in which shard they lie.

An id is given at ingest and kept (`mix` adds `-2` for a copy, `-t1` for an augmented twin), so a document found by a
passage, a hash or a place is then looked up by its id in every corpus. Passages are compared as the opt-out list does
(passage_match.py). Where no document holds a passage, those that share most 5-grams of it are named.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import read_json
from components.similarity import ngram_overlap
from components.text.passage_match import HEAD, Passages, words

CORPORA = (
    *(("ingest", part) for part in ("train", "heldout", "dropped", "quarantine")),
    *((stage, part) for stage in ("dedup", "filter", "bias", "mix") for part in ("train", "dropped")),
)
"""Stage and part of every corpus, in the order of the pipeline."""
WITH_TEXT = (*CORPORA[:4], ("mix", "train"))
"""Where texts begin: at ingest, and what mix generates."""

View = Callable[[str], Path | None]
"""Where a file of the pipeline lies (`data/mix/train/manifest.json`): in the workspace, or in DVC's cache."""

NEAR_NGRAM = 5
MOST_NEAR = 5
LEAST_SHARED = 0.2
"""Share of a passage's 5-grams from which a document is called near."""


@dataclass(frozen=True)
class Place:
    """A document in one corpus: stage, part, shard (index and file), row, id there, and why it was left out."""

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
    """A document and every place where it was found; `facts` are the columns of `Document` but the text."""

    facts: dict[str, str]
    places: list[Place] = field(default_factory=list)

    @property
    def trained(self) -> list[Place]:
        """Where it is in the training mixture: once per copy."""
        return [place for place in self.places if (place.stage, place.part) == ("mix", "train")]


@dataclass(frozen=True)
class Query:
    """What is looked for: kind (`id`, `sha256`, `location`, `passage`) and value."""

    kind: str
    value: str


def query_of(text: str, view: View) -> Query:
    """What a person's words mean: an id, a hash, a location that exists, else a passage.

    Raises:
        UserError: a passage of too few words.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9a-f]{16}(-t?\d+)?", text):
        return Query("id", text.split("-")[0])
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return Query("sha256", text.lower())
    if not re.search(r"\s", text) and any(_rows(view, "location", text)):
        return Query("location", text)
    if len(words(text)) < HEAD:
        raise UserError(
            f"trace: {text!r} is no id, hash or location of a document, and as a passage it has fewer than {HEAD} "
            "words; give more of the text"
        )
    return Query("passage", text)


def trace(query: Query, view: View) -> list[Traced]:
    """The documents that the query names, with all their places; in the order in which they were found."""
    column = query.kind if query.kind != "passage" else ""
    traced: dict[str, Traced] = {}
    for row in _rows(view, column, query.value):
        base = row["id"].split("-")[0]
        traced.setdefault(base, Traced(row | {"id": base}))
    for stage, part in CORPORA:
        for place in _places(view, stage, part, set(traced)):
            traced[place.id.split("-")[0]].places.append(place)
    return list(traced.values())


_FACTS = ("id", "source", "source_version", "location", "group", "licence", "licence_from", "retrieved", "sha256")


def shards(view: View, stage: str, part: str) -> Iterator[tuple[int, str, Path]]:
    """Index, name and path of each shard of a corpus; nothing where that stage has not run."""
    manifest = view(f"data/{stage}/{part}/manifest.json")
    for number, shard in enumerate(read_json(manifest)["shards"] if manifest else []):
        path = view(f"data/{stage}/{part}/{shard['file']}")
        if path is not None:
            yield number, shard["file"], path


def _rows(view: View, column: str, value: str) -> Iterator[dict[str, Any]]:
    """Rows of the corpora where texts begin whose `column` is `value`; whose text holds it if no column is given."""
    passages = Passages([] if column else [words(value)])
    holds = _holder(value, passages)
    for stage, part in WITH_TEXT:
        for _, _, path in shards(view, stage, part):
            with pq.ParquetFile(path) as file:
                values = file.read(columns=[column or "text"])[0].to_pylist()
                hits = [
                    row
                    for row, found in enumerate(values)
                    if (_matches(column, found, value) if column else holds(found))
                ]
                if hits:
                    yield from file.read(columns=list(_FACTS)).take(hits).to_pylist()


def _matches(column: str, found: str, value: str) -> bool:
    """Equal; for an id a copy's too, for a location the parts of a file too."""
    end = {"id": "-", "location": "#"}.get(column)
    return found == value or (end is not None and found.startswith(value + end))


def _holder(passage: str, passages: Passages) -> Callable[[str], bool]:
    """Whether a text holds the passage; most ASCII texts are settled by looking for its longest word."""
    longest = max(words(passage), key=len, default="")

    def holds(text: str) -> bool:
        if text.isascii() and longest not in text.lower():
            return False
        return passages.first_in(text) is not None

    return holds


def _places(view: View, stage: str, part: str, bases: set[str]) -> Iterator[Place]:
    left_out = part in ("dropped", "quarantine")
    columns = ["id", "transforms", *(("rule", "reason") if left_out else ())]
    for number, name, path in shards(view, stage, part):
        with pq.ParquetFile(path) as file:
            ids = file.read(columns=["id"])["id"].to_pylist()
            hits = [row for row, one in enumerate(ids) if one.split("-")[0] in bases]
            rows = file.read(columns=columns).take(hits).to_pylist() if hits else []
        for at, row in zip(hits, rows, strict=True):
            changes = tuple(row.pop("transforms"))
            yield Place(stage, part, number, name, at, transforms=changes, **row)


def text_at(place: Place, view: View) -> str:
    """The text of a document as it is in one corpus."""
    path = view(f"data/{place.stage}/{place.part}/{place.file}")
    assert path is not None, f"{place} was read a moment ago"
    with pq.ParquetFile(path) as file:
        return str(file.read(columns=["text"])["text"][place.row])


def span_of(passage: str, text: str) -> tuple[int, int] | None:
    """Characters of `text` that the passage takes; None where it is spelt another way (ligatures, full width)."""
    pattern = r"[\W_]*".join(
        rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in words(passage)
    )
    found = re.search(pattern, text, re.IGNORECASE)
    return found.span() if found else None


@dataclass(frozen=True)
class Near:
    """A document that shares this part of a passage's 5-grams."""

    share: float
    stage: str
    part: str
    facts: dict[str, str]


def near(passage: str, view: View) -> list[Near]:
    """The documents that share most 5-grams with a passage, the nearest first."""
    wanted = np.unique(ngram_overlap.ngrams(ngram_overlap.words([passage]), NEAR_NGRAM)[0])
    found: list[Near] = []
    for stage, part in WITH_TEXT if len(wanted) else ():
        for _, _, path in shards(view, stage, part):
            with pq.ParquetFile(path) as file:
                texts = file.read(columns=["text"])["text"].to_pylist()
                hashes, documents = ngram_overlap.ngrams(ngram_overlap.words(texts), NEAR_NGRAM)
                at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
                hit = wanted[at] == hashes
                pairs = np.unique(np.stack([documents[hit], at[hit]]), axis=1)
                shared = np.bincount(pairs[0], minlength=len(texts)) / len(wanted)
                rows = np.flatnonzero(shared >= LEAST_SHARED).tolist()
                facts = file.read(columns=list(_FACTS)).take(rows).to_pylist() if rows else []
            found += [Near(float(shared[row]), stage, part, fact) for row, fact in zip(rows, facts, strict=True)]
    nearest = {each.facts["id"]: each for each in reversed(found)}  # of a document found twice, where it begins
    return sorted(nearest.values(), key=lambda each: (-each.share, each.facts["id"]))[:MOST_NEAR]
