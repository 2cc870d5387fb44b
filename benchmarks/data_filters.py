"""Quality filters: do our decisions agree with datatrove's, and how fast are they made?"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.data_corpus import Corpus, write
from benchmarks.data_peers import FILTERS, datatrove_decide
from benchmarks.data_runs import WORKERS, Run, ours_filters, timed
from benchmarks.results import figure, goal
from components.data.corpus import read_corpus, read_shard
from components.data.filter import tag
from components.data.rules import PUBLISHED, verdicts

AGREEMENT_BYTES, TIMED_BYTES = 50_000_000, 10_000_000


def decide_shard(path: Path) -> list[list[bool]]:
    """Per document of a shard: kept by each published rule set? The stage's own scores (languages too) and rules."""
    columns = tag(read_shard(path), [])
    kept = [~verdicts(PUBLISHED[name], columns).any(axis=1) for name in FILTERS]
    return np.stack(kept, axis=1).tolist()


def subset(corpus: Corpus, num_bytes: int) -> tuple[Path, Path]:
    """The first documents of the corpus as a corpus and as jsonl files, in shards that give each worker several."""
    folder = corpus.folder.parent / f"first-{num_bytes}"
    if not (folder / "corpus/manifest.json").exists():
        taken, size = [], 0
        for each in read_corpus(corpus.folder):
            size += len(each.text.encode())
            if size > num_bytes:
                break
            taken.append(each)
        write(taken, folder / "corpus", folder / "jsonl", shard_bytes=1_700_000)
    return folder / "corpus", folder / "jsonl"


def kappa(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Cohen's kappa of two bool arrays: agreement beyond that of chance, as a share of what chance leaves."""
    observed = float((ours == theirs).mean())
    chance = float(ours.mean() * theirs.mean() + (1 - ours.mean()) * (1 - theirs.mean()))
    return (observed - chance) / (1 - chance) if chance < 1 else 1.0


def agreement(corpus: Corpus) -> tuple[dict, float]:
    """Agreement per rule set on 50 MB, and the smallest. datatrove's decisions are kept in the cache."""
    folder, jsonl = subset(corpus, AGREEMENT_BYTES)
    cached = folder.parent / "datatrove.json"
    if not cached.exists():
        cached.write_text(json.dumps(datatrove_decide(jsonl, WORKERS)))
    theirs = np.array(json.loads(cached.read_text()))
    ours = np.array(ours_filters(folder, str(folder)))
    table = {}
    for number, name in enumerate(FILTERS):
        one, other = ours[:, number], theirs[:, number]
        table[name] = {
            "documents": len(one),
            "agreement": float((one == other).mean()),
            "kappa": kappa(one, other),
            "dropped_by_ours": float((~one).mean()),
            "dropped_by_datatrove": float((~other).mean()),
        }
    return table, min(row["agreement"] for row in table.values())


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Agreement, and times on 10 MB; figures and goals."""
    table, smallest = agreement(corpus)
    folder, jsonl = subset(corpus, TIMED_BYTES)
    ours = [timed("ours_filters", folder) for _ in range(runs)]
    separate, shared = timed("datatrove_filters", jsonl), timed("datatrove_filters_shared", jsonl)
    ratio = separate.seconds / figure(seconds(ours))["median"]
    results = {
        "agreement_50_mb": table,
        "filters_10_mb": {
            "ours": times(ours),
            "datatrove, a pipeline per rule set": times([separate]),
            "datatrove, all sets in one pass (not offered by it)": times([shared]),
            "ratio": ratio,
            "ratio_to_one_pass": shared.seconds / figure(seconds(ours))["median"],
        },
    }
    goals = [
        goal("quality_filters_vs_datatrove", ratio, 10, "higher", says="quality filters, times as fast as datatrove"),
        goal(
            "filter_agreement_min",
            smallest,
            0.99,
            "higher",
            says="decisions that agree with datatrove's, smallest of four rule sets",
        ),
    ]
    return results, goals


def seconds(runs: Sequence[Run]) -> list[float]:
    """Seconds of the work of each run."""
    return [run.seconds for run in runs]


def times(runs: Sequence[Run]) -> dict:
    """Seconds of the work and peak memory of repeated runs."""
    return {"seconds": figure(seconds(runs)), "peak_gb": figure([run.peak_gb for run in runs])}
