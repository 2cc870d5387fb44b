"""Runs of datatrove 0.10, datasketch, rensa and spaCy, as their documentation says, on the same cores as ours."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.data_oracle import gram_set
from benchmarks.data_runs import WORKERS
from benchmarks.data_split import put_into_datatrove

FILTERS = ("Gopher quality", "Gopher repetition", "C4", "FineWeb")


def quiet() -> None:
    """Silence datatrove, which logs every step."""
    from loguru import logger

    logger.remove()


# -- near-duplicates ---------------------------------------------------------------------------------------------------


def datatrove_minhash(work: Path, jsonl: str) -> None:
    """Run signatures, buckets and clusters (stages 1 to 3); what would be removed is in work/remove."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.hashing import HashConfig

    quiet()
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


def texts_of(jsonl: Path) -> Iterator[str]:
    """All texts of a folder of jsonl files."""
    for path in sorted(jsonl.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            yield json.loads(line)["text"]


def rensa_minhash(work: Path, jsonl: str) -> int:
    """Number of documents with an earlier candidate, by rensa's RMinHash of the word 5-grams and its LSH, 14 x 8."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.7, num_perm=112, num_bands=14)
    found = 0
    for number, text in enumerate(texts_of(Path(jsonl))):
        signature = RMinHash(num_perm=112, seed=1)
        signature.update([" ".join(gram) for gram in gram_set(text)])
        found += bool(index.query(signature))
        index.insert(number, signature)
    return found


def datasketch_minhash(work: Path, jsonl: str) -> int:
    """Number of documents with an earlier candidate, by datasketch's MinHash of word 5-grams and its LSH, 14 x 8."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=112, params=(14, 8))
    found = 0
    for number, text in enumerate(texts_of(Path(jsonl))):
        signature = MinHash(num_perm=112)
        signature.update_batch([" ".join(gram).encode() for gram in gram_set(text)])
        found += bool(index.query(signature))
        index.insert(str(number), signature)
    return found


# -- quality filters ---------------------------------------------------------------------------------------------------


@cache
def datatrove_filters() -> dict[str, Any]:
    """datatrove's four rule sets, at its own limits."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    made = (GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(), FineWebQualityFilter())
    return dict(zip(FILTERS, made, strict=True))


def datatrove_decisions(path: Path, our_split: bool = False) -> list[list[bool]]:
    """Whether each rule set keeps each document of a jsonl file; all sets see the text as it is."""
    from datatrove.data import Document

    quiet()
    if our_split:
        put_into_datatrove()
    decisions = []
    for line in path.read_text("utf-8").splitlines():
        text = json.loads(line)["text"]
        found = [each.filter(Document(text=text, id="")) for each in datatrove_filters().values()]
        decisions.append([kept is True for kept in found])
    return decisions


def datatrove_decide(jsonl: Path, our_split: bool = False) -> list[list[bool]]:
    """`datatrove_decisions` of a folder, in the order of its files."""
    decide = partial(datatrove_decisions, our_split=our_split)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("forkserver")) as pool:
        return [row for rows in pool.map(decide, sorted(jsonl.glob("*.jsonl"))) for row in rows]


def datatrove_filter(work: Path, jsonl: str) -> None:
    """Run the four rule sets as pipelines of datatrove, one for each set, so that each sees all documents."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    quiet()
    files = len(list(Path(jsonl).glob("*.jsonl")))
    for number, made in enumerate(datatrove_filters().values()):
        writer = JsonlWriter(str(work / f"kept-{number}"), compression=None)
        steps = [JsonlReader(jsonl), made, writer]
        LocalPipelineExecutor(steps, tasks=files, workers=WORKERS, logging_dir=str(work / f"logs-{number}")).run()


def datatrove_filter_in_one_pass(work: Path, jsonl: str) -> int:
    """Number of documents, decided by all four sets in one pass with one split into words (not offered by it)."""
    return len(datatrove_decide(Path(jsonl)))
