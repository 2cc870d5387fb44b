"""Remove exact and near duplicates, and training copies of held-out documents.

    out/train/     documents that stay
    out/dropped/   documents dropped: rule, and a reason that names the document that stays and their similarity

One pass over the shards makes sketches (`sketch`), the search works on signatures (`duplicates`), a second pass writes.
Each dropped document has word n-gram Jaccard similarity >= `threshold` with one that stays, or that is held-out;
tests/components/stages/dedup/test_stage.py recomputes it from the texts by other code. The held-out corpus is never
edited.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Pool, Workers, pool, return_memory
from components.corpus import shard_parts
from components.corpus.corpus import read_shard, reconcile
from components.params import Dedup
from components.similarity.duplicates import BINS, DuplicateSearch, first_equal, ranking
from components.similarity.shingles import agreement
from components.similarity.sketch import Sketches, SketchJob, similarities, sketch_name, sketch_reads, sketch_shard
from components.stages.dedup import report as dedup_report
from components.stages.dedup.types import DedupResult, DocumentIndex

LINES_COUNTED_BYTES = 200_000_000
"""Repeated lines are counted in full up to this much text, then for an even sample of the distinct lines."""
PAIRS_PER_TASK = 2000
SEED = 1
"""Of the hash functions of the sketches. They only propose pairs; exact similarity decides."""


def dedup(
    *,
    train: Path,
    heldout: Path,
    params: Dedup,
    out: Path,
    reports: Path,
    work: Path,
    workers: Workers = 1,
    progress: Progress | None = None,
) -> Report:
    """Write `out/train` and `out/dropped`; see the module docstring.

    Args:
        train, heldout: corpora.
        work: sketches are kept here; those that are there are not made again.
        workers: processes; they change no byte.

    Raises:
        UserError: the training corpus is empty.
    """
    progress = progress or Progress()
    index = DocumentIndex.open(heldout, train, work)
    with pool(workers) as workers_pool, progress.phase("sketch"):
        line_sampling = -(-index.num_bytes // LINES_COUNTED_BYTES)
        targets = sketch(index, params, work, workers_pool, progress, line_sampling)
    with pool(workers) as workers_pool:  # new processes: those that made sketches keep what a shard took
        sketches = Sketches.read(targets)
        return_memory()
        with progress.phase("search"):
            result = find(index, sketches, params, workers_pool)
        return_memory()
        with progress.phase("write"):
            kept, dropped = _write(index, result, out, work, workers_pool, progress)
    reconcile("dedup", len(index) - index.num_heldout, kept, dropped)
    report = dedup_report.build(index, sketches, result, params, reports)
    report.write(reports)
    return report


def sketch(
    index: DocumentIndex, params: Dedup, work: Path, workers_pool: Pool, progress: Progress, line_sampling: int = 0
) -> list[Path]:
    """Sketch every shard; paths of the sketches. For `line_sampling` see `SketchJob`."""
    jobs = []
    for number, shard in enumerate(index.shards):
        rows, target = params.rows if params.near else 0, sketch_name(work, number)
        jobs.append(SketchJob(shard, target, params.ngram, params.bands, rows, SEED, line_sampling))
    done = 0
    for number, count in enumerate(workers_pool.map(sketch_shard, jobs, sketch_reads)):
        done += count
        progress.update(done, len(index), "documents", f"shard {number + 1} of {len(jobs)}")
        progress.raise_if_stopped()
    return [job.target for job in jobs]


def find(index: DocumentIndex, sketches: Sketches, params: Dedup, workers_pool: Pool) -> DedupResult:
    """Decide for every document which one stays for it.

    `by_rank` lists documents by rank, `distinct` those of them that equal no earlier one; the search sees only these,
    as 0, 1, ... With documents 0 to 3, by_rank = 2 0 3 1, and 3 equal to 2: distinct = 2 0 1, and a pair (0, 2) of the
    search means the documents 2 and 1.
    """
    work = sketches.targets[0].parent
    by_rank = ranking(index.num_heldout, sketches.num_chars, partial(index.columns, "id"), work)
    position = np.empty_like(by_rank)
    position[by_rank] = np.arange(len(by_rank))
    canonical = first_equal(sketches.exact, position, work)
    sketches.let_go()
    exact = canonical != np.arange(len(canonical))
    distinct = by_rank[~exact[by_rank]]
    if not params.near:
        nothing = np.zeros(len(BINS) - 1, dtype=np.int64)
        return DedupResult(canonical, np.ones(len(exact)), exact, nothing, index.num_heldout)
    del by_rank
    position[exact] = -1
    position[distinct] = np.arange(len(distinct))
    search = DuplicateSearch(
        agree=partial(_agree, sketches, distinct),
        num_slots=sketches.agreement.shape[1],
        sizes=sketches.size[distinct],
        num_heldout=int((distinct < index.num_heldout).sum()),
        threshold=params.threshold,
        bands=params.bands,
        band=partial(sketches.band, position=position),
        verify=partial(_verify, sketches, distinct, workers_pool),
        folder=work,
    )
    near, near_similarity = search.run()
    sketches.let_go()
    # A copy of a document that is dropped has the same words, so it is as similar to the one that stays.
    of = position[canonical]
    similarity, target = near_similarity[of], distinct[near[of]]
    exact &= target == canonical
    return DedupResult(target, similarity, exact, search.histogram, index.num_heldout)


def _agree(sketches: Sketches, documents: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimated similarity of pairs of places in `documents`."""
    similarity = agreement(sketches.agreement, documents[pairs])
    sketches.let_go()
    return similarity


def _verify(sketches: Sketches, documents: np.ndarray, workers_pool: Pool, pairs: np.ndarray) -> np.ndarray:
    """Exact similarity of pairs of places in `documents`; random reads in all sketches, so always on this machine."""

    def tasks() -> Iterator[np.ndarray]:
        for start in range(0, len(pairs), PAIRS_PER_TASK):
            block = documents[pairs[start : start + PAIRS_PER_TASK]]
            yield np.stack([sketches.locations(block[:, side]) for side in (0, 1)], axis=1)

    compare = partial(similarities, sketches.targets[0].parent)
    results = map(compare, tasks()) if len(pairs) <= PAIRS_PER_TASK else workers_pool.map(compare, tasks())
    return np.concatenate([np.zeros(0), *results])


@dataclass(frozen=True)
class WriteJob:
    """One training shard to write: `reasons` maps the index of a document in it to (rule, reason)."""

    shard: Path
    kept: Path
    dropped: Path
    reasons: dict[int, tuple[str, str]]


def write_shard(job: WriteJob) -> tuple[int, int]:
    """Write what stays and what is dropped of one shard. Returns their numbers."""
    return shard_parts.write_split(job.kept, job.dropped, read_shard(job.shard), job.reasons)


def _write(
    index: DocumentIndex, result: DedupResult, out: Path, work: Path, workers_pool: Pool, progress: Progress
) -> tuple[int, dict[str, int]]:
    """Write both corpora; returns documents kept, and dropped by rule."""
    shards = index.shards[index.num_heldout_shards :]
    names = [(work / f"kept-{number:05d}", work / f"dropped-{number:05d}") for number in range(len(shards))]
    removed = result.removed

    def jobs() -> Iterator[WriteJob]:
        first = index.num_heldout
        for shard, (kept_part, dropped_part) in zip(shards, names, strict=True):
            count = pq.read_metadata(shard).num_rows
            reasons = {
                number: (result.rule(first + number), reason(index, result, first + number))
                for number in np.flatnonzero(removed[first : first + count]).tolist()
            }
            yield WriteJob(shard, kept_part, dropped_part, reasons)
            first += count

    done = 0
    for kept, dropped in workers_pool.map(write_shard, jobs(), lambda job: [job.shard]):
        done += kept + dropped
        progress.update(done, len(index) - index.num_heldout, "documents", "written")
    total = shard_parts.gather([kept_part for kept_part, _ in names], out / "train")
    all_dropped = shard_parts.gather([dropped_part for _, dropped_part in names], out / "dropped")
    return total.num_documents, all_dropped.facts["rules"]


def reason(index: DocumentIndex, result: DedupResult, number: int) -> str:
    """Reason for dropping a document: the one that stays, and how similar it is."""
    stays = int(result.canonical[number])
    side = "held-out" if stays < index.num_heldout else "kept"
    name = f"{side} {index.name('id', stays)} ({index.name('location', stays)})"
    if result.exact[number]:
        return f"equal but for white space to {name}; Jaccard 1"
    return f"Jaccard {result.similarity[number]:.4f} of word n-grams with {name}"
