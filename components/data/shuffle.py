"""A shuffle of documents across a whole corpus in bounded memory: the order is that of a hash of seed and id.

Documents are dealt to buckets by the first bits of their hash, a file each; then the buckets are read one after
the other and sorted. The order depends on the seed and the ids alone, not on the order that comes in, nor on how many
buckets there are, and memory is bounded by the largest bucket.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.data.corpus import SCHEMA, Document

ROWS_BUFFERED = 2000
BYTES_BUFFERED = 4_000_000


def key(seed: int, name: str, salt: str = "order") -> int:
    """64 bits that are as good as random, and always the same for the same seed, name and salt."""
    digest = hashlib.blake2b(f"{salt} {seed} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def shuffled(documents: Iterable[Document], seed: int, folder: Path, num_buckets: int) -> Iterator[Document]:
    """`documents` in the order of `key(seed, id)`; `folder` must exist and takes `num_buckets` temporary files."""
    paths = [folder / f"bucket-{index:05d}.arrow" for index in range(num_buckets)]
    _deal(documents, seed, paths)
    for path in paths:
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_stream(file).read_all().to_pylist()
        path.unlink()
        for row in sorted(rows, key=lambda row: (key(seed, row["id"]), row["id"])):
            yield Document(**row | {"transforms": tuple(row["transforms"])})


def _deal(documents: Iterable[Document], seed: int, paths: list[Path]) -> None:
    """Write each document to the bucket of its hash."""
    buckets = [_Bucket(path) for path in paths]
    try:
        for document in documents:
            buckets[key(seed, document.id) * len(buckets) >> 64].add(document)
    finally:
        for bucket in buckets:
            bucket.close()


class _Bucket:
    """A file of documents, written some thousand at a time."""

    def __init__(self, path: Path) -> None:
        self._writer: Any = pa.ipc.new_stream(str(path), SCHEMA)
        self._rows: list[dict] = []
        self._size = 0

    def add(self, document: Document) -> None:
        self._rows.append({name: getattr(document, name) for name in SCHEMA.names})
        self._size += len(document.text)
        if len(self._rows) >= ROWS_BUFFERED or self._size >= BYTES_BUFFERED:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA))
        self._rows, self._size = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()
