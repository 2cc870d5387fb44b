"""Sketches of documents for dedup: shingles and bands on disk, a few numbers per document in memory.

One call per shard writes three files into the work folder and is skipped when they are there
already: `<name>.shingles.bin` (8 bytes per word, read back by the document), `<name>.bands.bin` (a
hash per band and document, read back by the band) and `<name>.npz` (the rest). The whole is a file
per column, mapped into memory and let go after each step, and one shard per process; never the
corpus.
"""

import hashlib
import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.files import written_whole
from components.similarity.shingles import jaccard, shingle_sets, signatures
from components.text.codepoints import mixed
from components.text.packed_bytes import Packed, blocks, lines_and_paragraphs

MIN_LINE_BYTES, MIN_PARAGRAPH_BYTES = 40, 100
"""Shorter lines and paragraphs repeat by nature; only longer ones are counted as boilerplate."""
_UNICODE_SPACE = re.compile(rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80")
"""White space outside ASCII, in UTF-8."""
_TO_SPACE = bytes.maketrans(b"\t\n\v\f\r\x1c\x1d\x1e\x1f", b" " * 9)
"""ASCII white space, as `str.split` sees it."""
_SPACES = re.compile(rb"  +")


@dataclass(frozen=True)
class SketchJob:
    """One shard to sketch.

    Attributes:
        shard: the Parquet file.
        target: path without suffix of the files written.
        ngram: words per shingle.
        bands, rows: of the signature; no rows for no near-duplicates, then no shingles are made.
        seed: of the hash function.
        line_sampling: lines and paragraphs whose hash is a multiple of this are counted; 1 counts
            all, 0 none.
    """

    shard: Path
    target: Path
    ngram: int
    bands: int
    rows: int
    seed: int
    line_sampling: int


def sketch_shard(job: SketchJob) -> int:
    """Sketch one shard, unless it is done. Returns its number of documents."""
    table, shingle_file, band_file = sketch_files(job)
    if sketch_reads(job) is None:
        with np.load(table, allow_pickle=False) as done:
            return len(done["num_chars"])
    with pq.ParquetFile(job.shard) as shard:
        texts = shard.read(columns=["text"])["text"].cast(pa.binary()).to_pylist()
    sets, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    stretches: dict[str, list[np.ndarray]] = {"lines": [], "paragraphs": []}
    for block in blocks(texts):
        if job.line_sampling:
            for name, rows in _long_stretches(block, job.line_sampling):
                stretches[name].append(rows)
        if job.rows:
            shingles, counts = shingle_sets(block, job.ngram, job.seed)
            sets.append(shingles)
            sizes.append(counts)
    offsets = np.zeros(len(texts) + 1, np.int64)
    if job.rows:
        np.cumsum(np.concatenate(sizes), out=offsets[1:])
    together = np.concatenate(sets)
    signed = signatures(together, offsets, job.bands * job.rows)
    with written_whole(shingle_file) as temporary, open(temporary, "wb") as file:
        together.tofile(file)
    with written_whole(band_file) as temporary, open(temporary, "wb") as file:
        for band in range(job.bands if job.rows else 0):
            band_keys(signed, band, job.rows).tofile(file)
    arrays: dict[str, Any] = {
        "offsets": offsets,
        "agreement": signed.astype(np.uint8),  # one byte of each value is enough to estimate how many agree
        "exact": np.frombuffer(b"".join(exact_hashes(texts)), dtype=np.uint64).reshape(-1, 2),
        "num_chars": np.array([len(text) if text.isascii() else len(text.decode()) for text in texts], dtype=np.int64),
        "num_bytes": np.array([len(text) for text in texts], dtype=np.int64),
    }
    # The table comes last: a sketch counts as done when all three files are there.
    arrays |= {name: _merged(rows) for name, rows in stretches.items()}
    with written_whole(table) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return len(texts)


def sketch_files(job: SketchJob) -> list[Path]:
    """Files that `sketch_shard` writes: the table, the shingles, the bands."""
    return [job.target.with_suffix(end) for end in (".npz", ".shingles.bin", ".bands.bin")]


def sketch_reads(job: SketchJob) -> list[Path] | None:
    """Input of `sketch_shard`; None if it is done."""
    return None if all(path.exists() for path in sketch_files(job)) else [job.shard]


def band_keys(signature_rows: np.ndarray, band: int, rows: int) -> np.ndarray:
    """uint64 hash of one band of each signature: equal if all `rows` values of the band are equal.

    A signature of bands * rows values is cut into `bands` runs. Two documents are proposed as a
    pair if one run agrees, which for similarity J has the chance 1 - (1 - J^rows)^bands: an S-curve
    around (1 / bands)^(1 / rows). The band's number goes in first, so that equal values in
    different bands do not meet.
    """
    total = np.full(len(signature_rows), band, dtype=np.uint64)
    for column in range(band * rows, (band + 1) * rows):
        total = mixed(total ^ signature_rows[:, column]) + np.uint64(column)
    return total


# -- equal but for white space -----------------------------------------------------------------------------------------


def exact_hash(text: str) -> bytes:
    """16 bytes that name a text but for its white space: runs of white space count as one space."""
    return hashlib.sha256(" ".join(text.split()).encode()).digest()[:16]


def exact_hashes(texts: Sequence[bytes]) -> list[bytes]:
    """`exact_hash` of each text in UTF-8; without decoding it where its only white space is ASCII."""
    result: list[bytes] = []
    for text in texts:
        if not text.isascii() and _UNICODE_SPACE.search(text):
            result.append(exact_hash(text.decode()))
        else:
            collapsed = _SPACES.sub(b" ", text.translate(_TO_SPACE)).strip(b" ")
            result.append(hashlib.sha256(collapsed).digest()[:16])
    return result


# -- repeated lines and paragraphs -------------------------------------------------------------------------------------


def _long_stretches(block: Packed, sampling: int) -> Iterator[tuple[str, np.ndarray]]:
    """Lines and paragraphs long enough to count: uint64 (n, 4) of hash, bytes, document, offset in it."""
    kinds = zip(("lines", "paragraphs"), lines_and_paragraphs(block), strict=True)
    for (name, spans), minimum in zip(kinds, (MIN_LINE_BYTES, MIN_PARAGRAPH_BYTES), strict=True):
        counted = spans.ends - spans.starts >= minimum
        if sampling > 1:  # by hash, so that all occurrences of a line are counted or none
            counted &= spans.hashes % np.uint64(sampling) == 0
        starts, lengths = spans.starts[counted], (spans.ends - spans.starts)[counted]
        text = np.searchsorted(block.bounds, starts, side="right") - 1
        columns = [spans.hashes[counted], lengths, block.first + text, starts - block.bounds[text]]
        yield name, np.stack([column.astype(np.uint64) for column in columns], axis=1)


def _merged(rows: list[np.ndarray]) -> np.ndarray:
    """Distinct stretches: uint64 (n, 5) of hash, count, bytes, document and offset of the first. Sorted by hash."""
    table = np.concatenate([np.zeros((0, 4), np.uint64), *rows])
    distinct, first, counts = np.unique(table[:, 0], return_index=True, return_counts=True)
    return np.column_stack([distinct, counts.astype(np.uint64), table[first, 1:]])


# -- all sketches ------------------------------------------------------------------------------------------------------


@dataclass
class Sketches:
    """The sketches of all documents: held-out first, then training, in the order of their shards.

    Attributes:
        targets: files of each shard. counts: documents of each.
        maps: files of the columns that follow, which are views of them.
        shard: (num_documents,) int32, which shard.
        start, size: (num_documents,) int64, where its shingles are in the shard's file, and how
            many.
        agreement: (num_documents, K) uint8, the lowest byte of each place of the signature.
        exact: (num_documents, 2) uint64.
        num_chars, num_bytes: (num_documents,) int64, of the text.
    """

    targets: list[Path]
    counts: list[int]
    maps: list[mmap.mmap]
    shard: np.ndarray
    start: np.ndarray
    size: np.ndarray
    agreement: np.ndarray
    exact: np.ndarray
    num_chars: np.ndarray
    num_bytes: np.ndarray

    @classmethod
    def read(cls, targets: list[Path]) -> "Sketches":
        """Gather what `sketch_shard` wrote into a file per column beside it."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("targets", "counts", "maps")]
        paths = [targets[0].with_name(f"column-{name}.bin") for name in names]
        counts: list[int] = []
        with ExitStack() as stack:
            files = [stack.enter_context(open(path, "wb")) for path in paths]
            for number, target in enumerate(targets):
                columns = _columns(target, number)
                counts.append(len(columns["shard"]))
                for name, file in zip(names, files, strict=True):
                    columns[name].tofile(file)
        maps, mapped = list[mmap.mmap](), dict[str, np.ndarray]()
        for name, path in zip(names, paths, strict=True):
            like = columns[name][:0]
            if not path.stat().st_size:  # no signatures, or no documents: nothing to map
                mapped[name] = np.zeros((sum(counts), *like.shape[1:]), like.dtype)
                continue
            with open(path, "rb") as whole:
                maps.append(mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ))
            mapped[name] = np.frombuffer(maps[-1], like.dtype).reshape(-1, *like.shape[1:])
        return cls(targets, counts, maps, **mapped)

    def __len__(self) -> int:
        return len(self.shard)

    def let_go(self) -> None:
        """Take the columns out of memory, until they are read again."""
        for mapped in self.maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def band(self, band: int, position: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The hash of one band, uint64, and `position` of every document that has one (not -1), shard by shard."""
        done = 0
        for target, count in zip(self.targets, self.counts, strict=True):
            keys = np.fromfile(f"{target}.bands.bin", np.uint64, count=count, offset=8 * band * count)
            chunk = position[done : done + count]
            yield keys[chunk >= 0], chunk[chunk >= 0]
            done += count

    def locations(self, documents: np.ndarray) -> np.ndarray:
        """(n, 3) int64: number of the shard, first shingle, number of shingles of each document."""
        return np.stack([self.shard[documents], self.start[documents], self.size[documents]], axis=1)


def _columns(target: Path, number: int) -> dict[str, np.ndarray]:
    """Columns of one shard's sketches, as `Sketches` has them of all."""
    with np.load(target.with_suffix(".npz"), allow_pickle=False) as saved:
        offsets, count = saved["offsets"], len(saved["num_chars"])
        columns = {"shard": np.full(count, number, np.int32), "start": offsets[:-1], "size": np.diff(offsets)}
        return columns | {name: saved[name] for name in ("agreement", "exact", "num_chars", "num_bytes")}


def similarities(work: Path, pairs: np.ndarray) -> np.ndarray:
    """Exact Jaccard similarity of pairs of documents, given by their locations: (n, 2, 3) of `Sketches.locations`."""

    @lru_cache(maxsize=100)
    def shingle_file(shard: int) -> BinaryIO:
        return cast(BinaryIO, open(f"{sketch_name(work, shard)}.shingles.bin", "rb", buffering=0))

    @lru_cache(maxsize=256)  # pairs come in order of the first
    def read(shard: int, start: int, size: int) -> np.ndarray:
        return np.frombuffer(os.pread(shingle_file(shard).fileno(), 8 * size, 8 * start), dtype=np.uint64)

    return np.array([jaccard(read(*first), read(*second)) for first, second in pairs.tolist()], dtype=np.float64)


def sketch_name(work: Path, shard: int) -> Path:
    """Path without suffix of the sketch of a shard."""
    return work / f"sketch-{shard:05d}"
