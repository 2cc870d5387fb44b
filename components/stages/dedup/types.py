"""Types of the dedup stage: the documents that it compares, and the result of the search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.workers import return_memory
from components.corpus.corpus import read_manifest, shard_paths


class Strings(Sequence[str]):
    """Read-only text, one per document, at the cost of its bytes: a large corpus has too many for Python strings."""

    def __init__(self, columns: list[pa.ChunkedArray]) -> None:
        chunks = [chunk.cast(pa.large_string()) for column in columns for chunk in column.chunks]
        self._array = pa.concat_arrays(chunks)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, number: Any) -> Any:  # an int; `Sequence` wants slices too
        return str(self._array[int(number)])


@dataclass
class DocumentIndex:
    """Index of all documents (id, source, location), held-out first, in the order of their shards.

    Attributes:
        shards: all shards; the first `num_heldout_shards` are held-out.
        num_heldout: held-out documents; they have the first numbers.
        num_bytes: text of both corpora.
        ids, sources, locations: per document.
    """

    shards: list[Path]
    num_heldout_shards: int
    num_heldout: int
    num_bytes: int
    ids: Strings
    sources: Strings
    locations: Strings

    @classmethod
    def open(cls, heldout: Path, train: Path) -> "DocumentIndex":
        """Read ids, sources and locations.

        Raises:
            UserError: there is nothing to train on.
        """
        held, trained = shard_paths(heldout), shard_paths(train)
        if not trained:
            raise UserError("dedup: the training corpus has no documents; see reports/ingest for where they went")
        manifests = read_manifest(heldout), read_manifest(train)
        num_bytes = sum(manifest.num_bytes for manifest in manifests)
        columns: dict[str, list[pa.ChunkedArray]] = {"id": [], "source": [], "location": []}
        for shard in [*held, *trained]:
            with pq.ParquetFile(shard) as file:
                table = file.read(columns=list(columns))
            for name, values in columns.items():
                values.append(table[name])
        texts = [Strings(columns.pop(name)) for name in list(columns)]
        return_memory()
        return cls([*held, *trained], len(held), manifests[0].num_documents, num_bytes, *texts)


@dataclass
class DedupResult:
    """Result of the search: for each document the one that stays for it.

    Attributes:
        canonical: (num_documents,) int64, the document that stays for each: itself, or the one it duplicates.
        similarity: (num_documents,) float64, exact similarity with it; 1 for itself.
        exact: (num_documents,) bool, equal to it but for white space.
        histogram: verified pairs per bin of similarity (`duplicates.BINS`).
        num_heldout: documents below this number are held-out.
    """

    canonical: np.ndarray
    similarity: np.ndarray
    exact: np.ndarray
    histogram: np.ndarray
    num_heldout: int

    @property
    def removed(self) -> np.ndarray:
        """(num_documents,) bool. Held-out documents that equal one another all stay."""
        numbers = np.arange(len(self.canonical))
        return (self.canonical != numbers) & (numbers >= self.num_heldout)

    def rule(self, number: int) -> str:
        """Name of the rule that removes a document."""
        kind = "duplicate" if self.exact[number] else "near_duplicate"
        return f"heldout_{kind}" if self.canonical[number] < self.num_heldout else kind
