"""A shuffle of documents across a whole corpus in bounded memory: the order is that of a hash of seed and id.

Documents are dealt to buckets by the first bits of their hash, a file each; then the buckets are read one after
the other and sorted. The order depends on the seed and the ids alone, not on the order that comes in, nor on how many
buckets there are. Memory is bounded by the largest bucket; as all are open at once, there are `MOST_BUCKETS` at most,
so buckets grow with a corpus over 6 GB (160 MB of text each at 32 GB).
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.corpus.corpus import SCHEMA, Document, document_of

MOST_BUCKETS = 200
"""Files open at once: a process may have 256 on macOS."""
BYTES_BUFFERED = 64_000_000
"""Documents of all buckets together that wait in memory to be written."""
BUCKET_BUFFERED = 4_000_000
ROW_BYTES = 1500
"""What a document takes besides its text: its provenance, as Python objects."""


def key(seed: int, name: str, salt: str = "order") -> int:
    """64 bits that are as good as random, and always the same for the same seed, name and salt."""
    digest = hashlib.blake2b(f"{salt} {seed} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def shuffled(documents: Iterable[Document], seed: int, folder: Path, num_buckets: int) -> Iterator[Document]:
    """`documents` in the order of `key(seed, id)`; `folder` must exist.

    Args:
        num_buckets: temporary files wanted in `folder`; over `MOST_BUCKETS` it is `MOST_BUCKETS`.
    """
    paths = [folder / f"bucket-{index:05d}.arrow" for index in range(min(num_buckets, MOST_BUCKETS))]
    _deal(documents, seed, paths)
    for path in paths:
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_stream(file).read_all().to_pylist()
        path.unlink()
        for row in sorted(rows, key=lambda row: (key(seed, row["id"]), row["id"])):
            yield document_of(row)


def _deal(documents: Iterable[Document], seed: int, paths: list[Path]) -> None:
    """Write each document to the bucket of its hash."""
    buffered = min(BUCKET_BUFFERED, BYTES_BUFFERED // len(paths))
    buckets = [_Bucket(path, buffered) for path in paths]
    try:
        for document in documents:
            buckets[key(seed, document.id) * len(buckets) >> 64].add(document)
    finally:
        for bucket in buckets:
            bucket.close()


class _Bucket:
    """A file of documents, written when `buffered` bytes of them have come together."""

    def __init__(self, path: Path, buffered: int) -> None:
        self._buffered = buffered
        self._writer: Any = pa.ipc.new_stream(str(path), SCHEMA)
        self._rows: list[dict] = []
        self._size = 0

    def add(self, document: Document) -> None:
        self._rows.append({name: getattr(document, name) for name in SCHEMA.names})
        self._size += len(document.text) + ROW_BYTES
        if self._size >= self._buffered:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA))
        self._rows, self._size = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()
