"""What dedup keeps of each document while it compares: its shingles on disk, its signature in memory.

One call per shard writes two files into the work folder: `<name>.shingles.bin` (8 bytes per word, read back by the
document), `<name>.npz` (signatures, hashes, sizes, repeated lines) and is skipped when they are there already. Memory
of the whole is the signatures (4 K bytes per document) and one shard.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.data.scan import Hasher, Scan, lines, scan
from components.data.shingles import jaccard, shingle_sets, signatures
from components.files import written_whole

MIN_LINE_CHARS, MIN_PARAGRAPH_CHARS = 40, 100
"""Shorter lines and paragraphs repeat by nature; only longer ones are counted as boilerplate."""


@dataclass(frozen=True)
class SketchJob:
    """One shard to sketch.

    Attributes:
        shard: the Parquet file.
        target: path without suffix of the files written.
        ngram: words per shingle.
        num_hashes: places of the signature; 0 for no near-duplicates, then no shingles are made.
        seed: of the hash functions.
        line_sampling: lines and paragraphs whose hash is a multiple of this are counted; 1 counts all.
    """

    shard: Path
    target: Path
    ngram: int
    num_hashes: int
    seed: int
    line_sampling: int


def sketch_shard(job: SketchJob) -> int:
    """Sketch one shard, unless it is done. Returns its number of documents."""
    table, shingle_file = job.target.with_suffix(".npz"), job.target.with_suffix(".shingles.bin")
    if table.exists() and shingle_file.exists():
        with np.load(table, allow_pickle=False) as done:
            return len(done["num_chars"])
    texts = pq.read_table(job.shard, columns=["text"])["text"].to_pylist()
    scanned = scan([text.lower() for text in texts])
    hasher = Hasher(scanned.codes)
    shingles, offsets = np.zeros(0, np.uint64), np.zeros(len(texts) + 1, np.int64)
    if job.num_hashes:
        shingles, offsets = shingle_sets(scanned, hasher, job.ngram)
    with written_whole(shingle_file) as temporary, open(temporary, "wb") as file:
        shingles.tofile(file)
    arrays = {
        "offsets": offsets,
        "signatures": signatures(shingles, offsets, job.seed, job.num_hashes),
        "exact": np.frombuffer(b"".join(map(exact_hash, texts)), dtype=np.uint64).reshape(-1, 2),
        "num_chars": np.array([len(text) for text in texts], dtype=np.int64),
        "num_bytes": np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], dtype=np.int64),
        "lines": repeated_stretches(scanned, hasher, *lines(scanned), MIN_LINE_CHARS, job.line_sampling),
        "paragraphs": repeated_stretches(scanned, hasher, *paragraphs(scanned), MIN_PARAGRAPH_CHARS, job.line_sampling),
    }
    with written_whole(table) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return len(texts)


def exact_hash(text: str) -> bytes:
    """16 bytes that name a text but for its white space: runs of white space count as one space."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).digest()[:16]


def paragraphs(scanned: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of all paragraphs: runs of lines that are not empty, within a document."""
    starts, ends = lines(scanned)
    full = ends > starts
    first_of_document = np.isin(starts, scanned.bounds)
    before = np.concatenate([[False], full[:-1]]) & ~first_of_document
    last_of_document = np.isin(ends + 1, scanned.bounds)
    after = np.concatenate([full[1:], [False]]) & ~last_of_document
    return starts[full & ~before], ends[full & ~after]


def repeated_stretches(
    scanned: Scan, hasher: Hasher, starts: np.ndarray, ends: np.ndarray, min_chars: int, sampling: int
) -> np.ndarray:
    """Distinct stretches of at least `min_chars` characters: uint64 (n, 5) of hash, count, chars, document, offset.

    Document and offset say where the first of them is. Sorted by hash.
    """
    long = ends - starts >= min_chars
    starts, ends = starts[long], ends[long]
    hashes = hasher(starts, ends)
    if sampling > 1:
        taken = hashes % np.uint64(sampling) == 0
        starts, ends, hashes = starts[taken], ends[taken], hashes[taken]
    distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    document = scanned.document_of(starts[first])
    columns = [distinct, counts, (ends - starts)[first], document, starts[first] - scanned.bounds[document]]
    return np.stack([column.astype(np.uint64) for column in columns], axis=1)


@dataclass
class Sketches:
    """The sketches of all documents: held-out first, then training, in the order of their shards.

    Attributes:
        targets: files of each shard.
        shard: (num_documents,) int64, which shard.
        row: (num_documents,) int64, which document of that shard.
        start, size: (num_documents,) int64, where its shingles are in the shard's file, and how many.
        signatures: (num_documents, K) uint32.
        exact: (num_documents, 2) uint64.
        num_chars, num_bytes: (num_documents,) int64, of the text.
    """

    targets: list[Path]
    shard: np.ndarray
    row: np.ndarray
    start: np.ndarray
    size: np.ndarray
    signatures: np.ndarray
    exact: np.ndarray
    num_chars: np.ndarray
    num_bytes: np.ndarray

    @classmethod
    def read(cls, targets: list[Path]) -> "Sketches":
        """Read what `sketch_shard` wrote."""
        columns: dict[str, list[np.ndarray]] = {name: [] for name in cls.__dataclass_fields__ if name != "targets"}
        for number, target in enumerate(targets):
            with np.load(target.with_suffix(".npz"), allow_pickle=False) as saved:
                count = len(saved["num_chars"])
                columns["shard"].append(np.full(count, number))
                columns["row"].append(np.arange(count))
                columns["start"].append(saved["offsets"][:-1])
                columns["size"].append(np.diff(saved["offsets"]))
                for name in ("signatures", "exact", "num_chars", "num_bytes"):
                    columns[name].append(saved[name])
        return cls(targets, **{name: np.concatenate(arrays) for name, arrays in columns.items()})

    def __len__(self) -> int:
        return len(self.shard)

    def place(self, document: int) -> tuple[Path, int, int]:
        """File, first shingle and number of shingles of a document."""
        target = self.targets[int(self.shard[document])]
        return target.with_suffix(".shingles.bin"), int(self.start[document]), int(self.size[document])


Place = tuple[Path, int, int]


def read_shingles(place: Place) -> np.ndarray:
    """The sorted shingles of one document, from disk."""
    path, start, size = place
    return np.fromfile(path, dtype=np.uint64, count=size, offset=8 * start)


def similarities(pairs: list[tuple[Place, Place]]) -> list[float]:
    """Exact Jaccard similarity of each pair; a few sets are kept at hand, so pairs should be in order of the first."""
    read = lru_cache(maxsize=256)(read_shingles)
    return [jaccard(read(first), read(second)) for first, second in pairs]


def sketch_name(work: Path, side: str, number: int) -> Path:
    """Path without suffix of the sketch of a shard."""
    return work / f"{side}-{number:05d}"
