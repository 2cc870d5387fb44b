"""Quality filters: agreement of our decisions with datatrove's, and the time both take."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import data_split
from benchmarks.data_corpus import Corpus, document, subset
from benchmarks.data_peers import FILTERS, datatrove_decide
from benchmarks.data_runs import WORKERS, seconds, timed, times
from benchmarks.results import figure, goal
from components.core.files import sha256_bytes
from components.core.workers import pool
from components.corpus.corpus import Document, read_shard, shard_paths
from components.params import FilterRules
from components.stages.filter import rules
from components.stages.filter.stage import tag

AGREEMENT_BYTES, TIMED_BYTES = 50_000_000, 10_000_000
LIMITS = {
    "Gopher quality": rules.GOPHER_QUALITY,
    "Gopher repetition": rules.GOPHER_REPETITION,
    "C4": rules.C4,
    "FineWeb": rules.FINEWEB,
}
"""Limits by the name of datatrove's filter."""
PASSAGE_CHARS = 4000


def prose() -> Iterator[Document]:
    """Shakespeare's works in passages of whole paragraphs. Without them Gopher's rules drop 95% of documentation."""
    from benchmarks import train_corpus  # torch: not in the workers that are timed

    for name, text in sorted(train_corpus.texts().items()):
        passage = ""
        for paragraph in text.split("\n\n"):
            passage += f"{paragraph}\n\n"
            if len(passage) >= PASSAGE_CHARS:
                yield document(f"{name}#{sha256_bytes(passage.encode())}", passage, "shakespeare")
                passage = ""


def decide_shard(path: Path) -> list[list[bool]]:
    """Whether each published rule set keeps each document of a shard, by the stage's own scores and rules."""
    columns = tag(read_shard(path), [])
    kept = [~rules.broken_rules(FilterRules(**LIMITS[name]), columns).any(axis=1) for name in FILTERS]
    return np.stack(kept, axis=1).tolist()


def ours(work: Path, corpus: str) -> list[list[bool]]:
    """Decisions of each rule set on all documents, from all scores, shard by shard."""
    with pool(WORKERS) as workers_pool:
        return [row for rows in workers_pool.map(decide_shard, shard_paths(Path(corpus))) for row in rows]


def kappa(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Cohen's kappa of two bool arrays: agreement beyond that of chance, as a share of what chance leaves."""
    observed = float((ours == theirs).mean())
    chance = float(ours.mean() * theirs.mean() + (1 - ours.mean()) * (1 - theirs.mean()))
    return (observed - chance) / (1 - chance) if chance < 1 else 1.0


def datatrove_kept(jsonl: Path, our_split: bool) -> np.ndarray:
    """datatrove's decisions, bool of (documents, rule sets), from the cache beside the corpus if they are there."""
    cached = jsonl.parent / (f"datatrove-split-{data_split.version()}.json" if our_split else "datatrove.json")
    if not cached.exists():
        cached.write_text(json.dumps(datatrove_decide(jsonl, our_split)))
    return np.array(json.loads(cached.read_text()))


def compared(ours: np.ndarray, theirs: np.ndarray, same_split: np.ndarray) -> dict:
    """Decisions of one rule set: ours, datatrove's, and datatrove's with our words."""
    return {
        "documents": len(ours),
        "agreement": float((ours == theirs).mean()),
        "kappa": kappa(ours, theirs),
        "agreement_same_split": float((ours == same_split).mean()),
        "kappa_same_split": kappa(ours, same_split),
        "dropped_by_ours": float((~ours).mean()),
        "dropped_by_datatrove": float((~theirs).mean()),
    }


def agreement(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Agreement per rule set on 50 MB, and the smallest."""
    folder, jsonl = subset(corpus, AGREEMENT_BYTES, list(prose()), "agreement")
    theirs, same_split = (datatrove_kept(jsonl, our_split) for our_split in (False, True))
    own = np.array(ours(folder, str(folder)))
    table = {name: compared(own[:, at], theirs[:, at], same_split[:, at]) for at, name in enumerate(FILTERS)}
    smallest = min(row["agreement_same_split"] for row in table.values())
    says = "decisions that agree with datatrove's, given our words, smallest of four rule sets"
    return {"agreement_50_mb": table}, [goal("filter_agreement_min", smallest, 0.99, "higher", says=says)]


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times on 10 MB; figures and goals."""
    folder, jsonl = subset(corpus, TIMED_BYTES)
    own = [timed("benchmarks.data_filters:ours", folder) for _ in range(runs)]
    separate = timed("benchmarks.data_peers:datatrove_filter", jsonl)
    shared = timed("benchmarks.data_peers:datatrove_filter_in_one_pass", jsonl)
    ratio = separate.seconds / figure(seconds(own))["median"]
    results = {
        "filters_10_mb": {
            "ours": times(own),
            "datatrove, a pipeline per rule set": times([separate]),
            "datatrove, all sets in one pass (not offered by it)": times([shared]),
            "ratio": ratio,
            "ratio_to_one_pass": shared.seconds / figure(seconds(own))["median"],
        },
    }
    says = "quality filters, times as fast as datatrove"
    return results, [goal("quality_filters_vs_datatrove", ratio, 10, "higher", says=says)]
