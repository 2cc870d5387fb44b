"""Near-duplicates and quality filters, ours and datatrove's: contestants, and their times on the documentation.

Near-duplicates: our search and exact verification, beside signatures, buckets and clusters. Rules: all our scores and
four published rule sets, beside a pipeline for each of the same four. `make bench NAME=foreign` has them run on its own
texts too, with the whole filter stage beside one pipeline of rules and a formatter of personal data.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_runs import WORKERS, timed, times
from benchmarks.results import goal
from components.core.progress import Progress
from components.core.workers import pool
from components.corpus.corpus import CorpusWriter, read_shard, shard_paths
from components.params import Dedup, Filter, FilterRules
from components.similarity.sketch import Sketches
from components.stages.dedup.stage import find, sketch
from components.stages.dedup.types import DocumentIndex
from components.stages.filter import rules
from components.stages.filter.stage import filter_corpus, tag

RUNS, TIMED_BYTES = 3, 10_000_000
LIMITS = (rules.GOPHER_QUALITY, rules.GOPHER_REPETITION, rules.C4, rules.FINEWEB)


def pipelines(work: Path, all_steps: Iterable[tuple[list[Any], int]]) -> None:
    """Run datatrove's pipelines one after the other, each of so many tasks.

    Its workers are forked from here: CPU seconds of those that its usual server of forks starts would not be counted.
    """
    from datatrove.executor import LocalPipelineExecutor
    from loguru import logger

    logger.remove()  # it logs every step
    for number, (steps, tasks) in enumerate(all_steps):
        options: dict[str, Any] = {"workers": WORKERS, "start_method": "fork"}
        LocalPipelineExecutor(steps, tasks=tasks, logging_dir=str(work / f"logs-{number}"), **options).run()


def reader(jsonl: str) -> tuple[Any, int]:
    """datatrove's reader of a folder, and the number of its files."""
    from datatrove.pipeline.readers import JsonlReader

    return JsonlReader(jsonl), len(list(Path(jsonl).glob("*.jsonl")))


def writer(folder: Path) -> Any:
    """datatrove's writer into a folder."""
    from datatrove.pipeline.writers import JsonlWriter

    return JsonlWriter(str(folder), compression=None)


def our_dedup(work: Path, corpus: str) -> dict[str, int]:
    """Numbers of documents, removed and verified, by the stage's own search; writing the corpus is left out."""
    with CorpusWriter(work / "heldout"):
        pass
    index = DocumentIndex.open(work / "heldout", Path(corpus), work)
    with pool(WORKERS) as workers_pool:
        sketches = Sketches.read(sketch(index, Dedup(), work, workers_pool, Progress()))
        found = find(index, sketches, Dedup(), workers_pool)
    return {"documents": len(index), "removed": int(found.removed.sum()), "verified": int(found.histogram.sum())}


def their_dedup(work: Path, jsonl: str) -> None:
    """Run signatures, buckets and clusters (stages 1 to 3); what would be removed is in work/remove."""
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8)
    signatures, buckets, remove = (str(work / name) for name in ("signatures", "buckets", "remove"))
    read, files = reader(jsonl)
    pipelines(work, [
        ([read, MinhashDedupSignature(signatures, config=config)], files),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, remove, config=config)], 1),
    ])  # fmt: skip


def decide_shard(path: Path) -> list[list[bool]]:
    """Whether each published rule set keeps each document of a shard, by the stage's own scores and rules."""
    columns = tag(read_shard(path), [])
    kept = [~rules.broken_rules(FilterRules(**limits), columns).any(axis=1) for limits in LIMITS]
    return np.stack(kept, axis=1).tolist()


def our_rules(work: Path, corpus: str) -> list[list[bool]]:
    """Decisions of each rule set on all documents, from all scores, shard by shard."""
    with pool(WORKERS) as workers_pool:
        return [row for found in workers_pool.map(decide_shard, shard_paths(Path(corpus))) for row in found]


def their_rules(work: Path, jsonl: str) -> None:
    """Run the four rule sets as pipelines, one for each set, so that each sees all documents."""
    from datatrove.pipeline import filters

    sets = (filters.GopherQualityFilter(), filters.GopherRepetitionFilter(), filters.C4QualityFilter(),
            filters.FineWebQualityFilter())  # fmt: skip
    read, files = reader(jsonl)
    pipelines(work, [([read, made, writer(work / f"kept-{number}")], files) for number, made in enumerate(sets)])


def our_stage(work: Path, corpus: str) -> None:
    """Run the filter stage as it ships: scores, languages, personal data, two corpora written, the report."""
    places: dict[str, Any] = {name: work / name for name in ("out", "reports", "work")}
    for place in places.values():
        place.mkdir()
    filter_corpus(train=Path(corpus), params=Filter(), workers=WORKERS, **places)


def their_stage(work: Path, jsonl: str) -> None:
    """Run one pipeline of rules of Gopher and C4, a formatter of personal data and a writer."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.formatters import PIIFormatter

    sets = [filters.GopherRepetitionFilter(), filters.GopherQualityFilter(), filters.C4QualityFilter()]
    read, files = reader(jsonl)
    pipelines(work, [([read, *sets, PIIFormatter(), writer(work / "kept")], files)])


def dedup(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Times of both tools' near-duplicates, and the goal made of them."""
    own = [timed("benchmarks.data_peers:our_dedup", corpus.folder) for _ in range(RUNS)]
    peer = timed("benchmarks.data_peers:their_dedup", corpus.jsonl)
    ratio = peer.seconds / median(run.seconds for run in own)
    results = {
        "megabytes": corpus.num_bytes / 1e6,
        "documents": corpus.num_documents,
        "ours, 32 x 4 and exact verification": times(own) | own[0].result,
        "datatrove 0.10.1, 14 x 8 (stages 1 to 3)": times([peer]),
        "ratio_to_datatrove": ratio,
    }
    says = "near-duplicates, times as fast as datatrove (signatures to clusters)"
    return {"near_dedup": results}, [goal("near_dedup_vs_datatrove", ratio, 30, "higher", says=says)]


def filters_10_mb(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Times of both tools' rules on 10 MB; figures and goals."""
    part = subset(corpus, TIMED_BYTES)
    own = [timed("benchmarks.data_peers:our_rules", part.folder) for _ in range(RUNS)]
    peer = timed("benchmarks.data_peers:their_rules", part.jsonl)
    ratio = peer.seconds / median(run.seconds for run in own)
    results = {"ours": times(own), "datatrove, a pipeline per rule set": times([peer]), "ratio": ratio}
    says = "quality filters, times as fast as datatrove"
    return {"filters_10_mb": results}, [goal("quality_filters_vs_datatrove", ratio, 10, "higher", says=says)]
