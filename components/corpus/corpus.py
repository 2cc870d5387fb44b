"""A corpus on disk: a folder of Parquet shards plus `manifest.json`.

    train/
      part-00000.parquet ...     documents, in order, about `shard_bytes` of text each
      manifest.json              counts per shard, sha256 per file, licences, sources
    dropped/ , quarantine/       records with the reason; same form, `reason` and `rule` added

A document is its text and where it came from. Stages read shards one at a time and write shards one at a time, so
memory is bounded by a shard, not by the corpus; every stage reconciles: in = kept + dropped (by rule) + quarantined.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.files import raise_if_changed, read_manifest_file, sha256_file, write_json, written_whole


@dataclass(frozen=True, slots=True)
class Document:
    """One text and its provenance.

    Attributes:
        id: unique in the corpus; the first 16 hex digits of sha256(source, location), stable across runs.
        text: Unicode text without NUL or lone surrogates.
        source: name of the source in params.yaml.
        source_version: version, revision or content hash of the source.
        location: where inside the source: `package/module.py`, a URL, or a path relative to the source's root.
        group: the work: a play, a package, a file, a thread. Its final part may be held out; statistics cluster by it.
        licence: SPDX expression, or `NOASSERTION`.
        licence_from: where that was read (`METADATA License-Expression`, `params`, `record field`).
        retrieved: date of the pin or revision (ISO), never the clock's.
        sha256: of the text's UTF-8 bytes, as ingested.
        transforms: names of the changes applied to the text since, in order (`redact_pii`).
    """

    id: str
    text: str
    source: str
    source_version: str
    location: str
    group: str
    licence: str
    licence_from: str
    retrieved: str
    sha256: str
    transforms: tuple[str, ...] = ()

    def changed(self, text: str, transform: str) -> "Document":
        """This document with another text, the change named in its provenance."""
        return replace(self, text=text, transforms=(*self.transforms, transform))


SCHEMA = pa.schema(
    [(name, pa.string()) for name in Document.__slots__ if name != "transforms"]
    + [("transforms", pa.list_(pa.string()))]
)
WRITING = 2
"""Shards of a corpus that are compressed and written at once, in threads: Arrow, zstd and the hash let go of Python's
lock, so that who decides on the documents, in their order, does not wait for the disk."""

DROPPED_SCHEMA = SCHEMA.append(pa.field("rule", pa.string())).append(pa.field("reason", pa.string()))


@dataclass
class Shard:
    """Line of a manifest: a file, its hash, and what is in it (bytes of text in UTF-8)."""

    file: str
    sha256: str
    num_documents: int
    num_bytes: int


@dataclass
class Manifest:
    """`manifest.json`: the shards, totals per source and licence, and free facts of the stage that wrote it."""

    shards: list[Shard] = field(default_factory=list)
    num_documents: int = 0
    num_bytes: int = 0
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    licences: dict[str, dict[str, int]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, table: Literal["sources", "licences"], key: str, num_documents: int, num_bytes: int) -> None:
        """Add to the totals of a source or licence."""
        totals = getattr(self, table).setdefault(key, {"num_documents": 0, "num_bytes": 0})
        totals["num_documents"] += num_documents
        totals["num_bytes"] += num_bytes

    def add_shard(self, shard: Shard) -> None:
        """Append a shard and add its numbers."""
        self.shards.append(shard)
        self.num_documents += shard.num_documents
        self.num_bytes += shard.num_bytes


class CorpusWriter:
    """Write documents in order to shards; `close()` writes the manifest last, so a folder with one is complete.

    Use as a context manager. With an exception inside, no manifest is written.

    Args:
        folder: made if missing; must hold no manifest.
        shard_bytes: text bytes after which a shard is closed.
        dropped: the records are dropped or quarantined: `add` then needs `rule` and `reason`.
    """

    def __init__(self, folder: Path, shard_bytes: int = 8_000_000, dropped: bool = False) -> None:
        assert not (folder / "manifest.json").exists(), f"{folder} already holds a corpus"
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.shard_bytes, self.dropped = folder, shard_bytes, dropped
        self.schema = DROPPED_SCHEMA if dropped else SCHEMA
        self.manifest = Manifest()
        self.rules: Counter[str] = Counter()
        self._rows: list[dict] = []
        self._bytes = self._shards = 0
        self._writing: deque[Future[Shard]] = deque()
        self._threads = ThreadPoolExecutor(WRITING)

    def add(self, document: Document, rule: str = "", reason: str = "") -> None:
        """Append a document (with `rule` and `reason` if it is a dropped one)."""
        row: dict[str, Any] = {name: getattr(document, name) for name in Document.__slots__}  # `asdict` is 20 x slower
        size = len(document.text.encode("utf-8", "surrogatepass"))
        if self.dropped:
            assert rule, "a dropped document needs the rule that removed it"
            row |= {"rule": rule, "reason": reason}
            self.rules[rule] += 1
        self._rows.append(row)
        self._bytes += size
        self.manifest.count("sources", document.source, 1, size)
        self.manifest.count("licences", document.licence, 1, size)
        if self._bytes >= self.shard_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        path = self.folder / f"part-{self._shards:05d}.parquet"
        self._writing.append(self._threads.submit(_shard_of, self._rows, self.schema, self._bytes, path))
        self._rows, self._bytes, self._shards = [], 0, self._shards + 1
        self._take_written(WRITING)

    def _take_written(self, left: int) -> None:
        """Wait until no more than `left` shards are being written."""
        while len(self._writing) > left:
            self.manifest.add_shard(self._writing.popleft().result())

    def close(self) -> Manifest:
        """Write the remaining documents and the manifest."""
        self._flush()
        self._take_written(0)
        if self.dropped:
            self.manifest.facts["rules"] = dict(sorted(self.rules.items()))
        write_json(self.folder / "manifest.json", asdict(self.manifest))
        return self.manifest

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._threads:  # which waits for those that run
            if kind is None:
                self.close()


def _shard_of(rows: list[dict], schema: pa.Schema, num_bytes: int, path: Path) -> Shard:
    """Write rows as a shard, and say what is in it."""
    table = pa.Table.from_pylist(rows, schema=schema)
    with written_whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return Shard(path.name, sha256_file(path), len(rows), num_bytes)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a corpus.

    Raises:
        UserError: there is none (the stage that writes this folder has not finished), or it is damaged.
    """
    return read_manifest_file(folder, "corpus", Manifest)


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a corpus, in order, each hashed.

    Raises:
        UserError: a shard is missing, or its bytes are not those that the manifest was written for.
    """
    shards = read_manifest(folder).shards
    for shard in shards:
        raise_if_changed(folder / shard.file, shard.sha256)
    return [folder / shard.file for shard in shards]


def document_of(row: dict[str, Any]) -> Document:
    """The document of a row of a shard, as pyarrow gives it."""
    return Document(**row | {"transforms": tuple(row["transforms"])})


def is_generated(source: str) -> bool:
    """Whether mix generates the texts of a source: exercises and canaries."""
    return source == "canary" or source.startswith("curriculum/")


def read_shard(path: Path) -> list[Document]:
    """The documents of a shard, in order; of a dropped one without `rule` and `reason`."""
    with pq.ParquetFile(path) as file:  # `read_table` would import pandas first, a fifth of a second
        rows = file.read(columns=list(Document.__slots__)).to_pylist()
    return [document_of(row) for row in rows]


def read_corpus(folder: Path) -> Iterator[Document]:
    """All documents of a corpus, in order, a shard in memory at a time."""
    for path in shard_paths(folder):
        yield from read_shard(path)


def reconcile(
    stage: str, num_in: int, kept: int, dropped: dict[str, int] | Iterable[int], quarantined: int = 0
) -> None:
    """Check that the numbers of a stage add up: in = kept + dropped + quarantined.

    Raises `AssertionError`: it does not add up, which is a mistake in the stage.
    """
    num_dropped = sum(dropped.values() if isinstance(dropped, dict) else dropped)
    assert num_in == kept + num_dropped + quarantined, (
        f"{stage}: {num_in} documents in, but {kept} kept + {num_dropped} dropped + {quarantined} quarantined"
    )
