"""Near-duplicates: our search beside datatrove's."""

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.data_corpus import Corpus
from benchmarks.data_runs import WORKERS, timed, times
from benchmarks.results import goal
from components.core.progress import Progress
from components.core.workers import pool
from components.corpus.corpus import CorpusWriter
from components.params import Dedup
from components.similarity.sketch import Sketches
from components.stages.dedup.stage import find, sketch
from components.stages.dedup.types import DocumentIndex


def ours(work: Path, corpus: str) -> dict[str, int]:
    """Numbers of documents, removed and verified, by the stage's own search; writing the corpus is left out."""
    with CorpusWriter(work / "heldout"):
        pass
    index = DocumentIndex.open(work / "heldout", Path(corpus), work)
    with pool(WORKERS) as workers_pool:
        sketches = Sketches.read(sketch(index, Dedup(), work, workers_pool, Progress()))
        found = find(index, sketches, Dedup(), workers_pool)
    return {"documents": len(index), "removed": int(found.removed.sum()), "verified": int(found.histogram.sum())}


def datatrove(work: Path, jsonl: str) -> None:
    """Run signatures, buckets and clusters (stages 1 to 3); what would be removed is in work/remove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.hashing import HashConfig
    from loguru import logger

    logger.remove()  # it logs every step
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8)
    signatures, buckets, remove = (str(work / name) for name in ("signatures", "buckets", "remove"))
    files = len(list(Path(jsonl).glob("*.jsonl")))
    stages: list[tuple[list[Any], int]] = [
        ([JsonlReader(jsonl), MinhashDedupSignature(signatures, config=config)], files),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, remove, config=config)], 1),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        logs = str(work / f"logs-{number}")
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=WORKERS, logging_dir=logs).run()


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times of both tools, and the goal made of them."""
    own = [timed("benchmarks.data_dedup:ours", corpus.folder) for _ in range(runs)]
    peer = timed("benchmarks.data_dedup:datatrove", corpus.jsonl)
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
