"""Types of the dedup stage: the documents that it compares, and the result of the search."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from components.core.errors import UserError
from components.core.workers import return_memory
from components.corpus.corpus import read_manifest, shard_paths


@dataclass
class DocumentIndex:
    """Index of all documents (id, source, location), held-out first, in the order of their shards.

    Attributes:
        shards: all shards; the first `num_heldout_shards` are held-out.
        num_heldout: held-out documents; they have the first numbers.
        num_bytes: text of both corpora.
        ids, sources, locations: per document, at the cost of their bytes: there are too many for Python strings.
    """

    shards: list[Path]
    num_heldout_shards: int
    num_heldout: int
    num_bytes: int
    ids: pl.Series
    sources: pl.Series
    locations: pl.Series

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
        shards = [*held, *trained]
        texts = pl.read_parquet(shards, columns=["id", "source", "location"], glob=False)
        return_memory()
        return cls(shards, len(held), manifests[0].num_documents, num_bytes, *texts)


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
