"""Types of the dedup stage: the documents that it compares, and the result of the search."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.workers import return_memory
from components.corpus.corpus import read_manifest, shard_paths

_NAMES = pa.schema([(name, pa.large_string()) for name in ("id", "source", "location")])
NAMES_HELD = 100_000


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@dataclass
class DocumentIndex:
    """Index of all documents (id, source, location), held-out first, in the order of their shards.

    Attributes:
        shards: all shards; the first `num_heldout_shards` are held-out.
        num_documents: of both corpora.
        num_heldout: held-out documents; they have the first numbers.
        num_bytes: text of both corpora.
        path: the Arrow file of the names, one batch per shard: there are too many for memory.
        names: the same, mapped; anew after `NAMES_HELD` have been `num_lookups`, to let go of what
            was read.
    """

    shards: list[Path]
    num_heldout_shards: int
    num_documents: int
    num_heldout: int
    num_bytes: int
    path: Path
    names: pa.Table
    num_lookups: int = 0

    @classmethod
    def open(cls, heldout: Path, train: Path, work: Path) -> "DocumentIndex":
        """Copy ids, sources and locations into a file in `work`.

        Raises:
            UserError: there is nothing to train on.
        """
        held, trained = shard_paths(heldout), shard_paths(train)
        if not trained:
            raise UserError("dedup: the training corpus has no documents; see reports/ingest for where they went")
        manifests = read_manifest(heldout), read_manifest(train)
        shards, path = [*held, *trained], work / "names.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _NAMES) as writer:
            for shard in shards:
                with pq.ParquetFile(shard) as parquet:
                    writer.write_table(parquet.read(columns=_NAMES.names).cast(_NAMES).combine_chunks())
        return_memory()
        names = _mapped(path)
        num_bytes = sum(manifest.num_bytes for manifest in manifests)
        return cls(shards, len(held), len(names), manifests[0].num_documents, num_bytes, path, names)

    def __len__(self) -> int:
        return self.num_documents

    def name(self, column: str, number: int) -> str:
        """Id, source or location of a document."""
        self.num_lookups += 1
        if self.num_lookups % NAMES_HELD == 0:
            self.names = _mapped(self.path)
        return str(self.names[column][number].as_py())

    def columns(self, column: str) -> Iterator[list[str]]:
        """Ids, sources or locations of all documents, shard by shard; the file is mapped for this pass alone."""
        with pa.memory_map(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number).column(column).to_pylist()


@dataclass
class DedupResult:
    """Result of the search: for each document the one that stays for it.

    Attributes:
        canonical: (num_documents,) int64, the document that stays for each: itself, or the one it
            duplicates.
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
