"""Lines and paragraphs that occur more than once: licences, headers, parameter lists.

They are counted, not removed: dropping single lines changes what a document says. Counts come from the sketches, in
bytes of memory per distinct line, for an even sample of the distinct lines once the corpus is large.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

HASH, COUNT, BYTES, DOCUMENT, OFFSET = range(5)


@dataclass
class Repeats:
    """Repeated stretches of one kind.

    Attributes:
        total_bytes, repeated_bytes: of all stretches counted, and of all but the first of each.
        top: the ones that take the most room: {"text", "count", "bytes"}.
    """

    total_bytes: int
    repeated_bytes: int
    top: list[dict]

    @property
    def share(self) -> float:
        """Bytes in repeats, as a share of all counted."""
        return self.repeated_bytes / self.total_bytes if self.total_bytes else 0.0


def repeats(kind: str, targets: list[Path], shards: list[Path], num_top: int = 20) -> Repeats:
    """Merge the counts (`kind` is "lines" or "paragraphs") of all sketches; texts of the top ones from the shards."""
    tables = []
    for target in targets:
        with np.load(target.with_suffix(".npz"), allow_pickle=False) as saved:
            tables.append(saved[kind])
    table = np.concatenate([np.zeros((0, 5), np.uint64), *tables])
    if not len(table):
        return Repeats(0, 0, [])
    shard = np.repeat(np.arange(len(tables)), [len(rows) for rows in tables])
    # A line of several shards has a row of each. Sorted by hash its rows are neighbours, the first shard's first.
    order = np.argsort(table[:, HASH], kind="stable")
    table, shard = table[order], shard[order]
    begins = np.flatnonzero(np.concatenate([[True], table[1:, HASH] != table[:-1, HASH]]))
    counts = np.add.reduceat(table[:, COUNT], begins).astype(np.int64)
    sizes = table[begins, BYTES].astype(np.int64)
    extra = (counts - 1) * sizes  # all occurrences but the first
    top = [
        {
            "text": _text(shards[shard[begins[row]]], table[begins[row]]),
            "count": int(counts[row]),
            "bytes": int(sizes[row]),
        }
        for row in np.lexsort((begins, -extra))[:num_top]
        if extra[row] > 0
    ]
    return Repeats(int((counts * sizes).sum()), int(extra.sum()), top)


def _text(shard: Path, row: np.ndarray) -> str:
    """A stretch (lower case), from the document that holds its first occurrence."""
    with pq.ParquetFile(shard) as file:
        text = file.read(columns=["text"])["text"][int(row[DOCUMENT])].as_py()
    start = int(row[OFFSET])
    return text.lower().encode("utf-8", "surrogatepass")[start : start + int(row[BYTES])].decode("utf-8", "replace")
