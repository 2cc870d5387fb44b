"""Quality filters: the time of all our scores and four published rule sets, and datatrove's for the same four."""

from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_runs import WORKERS, timed, times
from benchmarks.results import goal
from components.core.workers import pool
from components.corpus.corpus import read_shard, shard_paths
from components.params import FilterRules
from components.stages.filter import rules
from components.stages.filter.stage import tag

TIMED_BYTES = 10_000_000
LIMITS = (rules.GOPHER_QUALITY, rules.GOPHER_REPETITION, rules.C4, rules.FINEWEB)


def decide_shard(path: Path) -> list[list[bool]]:
    """Whether each published rule set keeps each document of a shard, by the stage's own scores and rules."""
    columns = tag(read_shard(path), [])
    kept = [~rules.broken_rules(FilterRules(**limits), columns).any(axis=1) for limits in LIMITS]
    return np.stack(kept, axis=1).tolist()


def ours(work: Path, corpus: str) -> list[list[bool]]:
    """Decisions of each rule set on all documents, from all scores, shard by shard."""
    with pool(WORKERS) as workers_pool:
        return [row for rows in workers_pool.map(decide_shard, shard_paths(Path(corpus))) for row in rows]


def datatrove(work: Path, jsonl: str) -> None:
    """Run the four rule sets as pipelines of datatrove, one for each set, so that each sees all documents."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import filters
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()  # it logs every step
    sets = (filters.GopherQualityFilter(), filters.GopherRepetitionFilter(), filters.C4QualityFilter(),
            filters.FineWebQualityFilter())  # fmt: skip
    files = len(list(Path(jsonl).glob("*.jsonl")))
    for number, made in enumerate(sets):
        writer = JsonlWriter(str(work / f"kept-{number}"), compression=None)
        steps = [JsonlReader(jsonl), made, writer]
        LocalPipelineExecutor(steps, tasks=files, workers=WORKERS, logging_dir=str(work / f"logs-{number}")).run()


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times on 10 MB; figures and goals."""
    part = subset(corpus, TIMED_BYTES)
    own = [timed("benchmarks.data_filters:ours", part.folder) for _ in range(runs)]
    peer = timed("benchmarks.data_filters:datatrove", part.jsonl)
    ratio = peer.seconds / median(run.seconds for run in own)
    results = {"ours": times(own), "datatrove, a pipeline per rule set": times([peer]), "ratio": ratio}
    says = "quality filters, times as fast as datatrove"
    return {"filters_10_mb": results}, [goal("quality_filters_vs_datatrove", ratio, 10, "higher", says=says)]
