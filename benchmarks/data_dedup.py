"""Near-duplicates: our search beside datatrove's, rensa's and datasketch's; recall, precision, growth of time."""

import random
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.data_corpus import CACHE, Corpus, reseeded, subset, write
from benchmarks.data_oracle import brute_force, jaccard
from benchmarks.data_runs import WORKERS, seconds, timed, times
from benchmarks.results import goal
from components.core.progress import Progress
from components.core.workers import pool
from components.corpus.corpus import CorpusWriter, read_corpus, read_manifest, read_shard, shard_paths
from components.params import Dedup
from components.similarity.sketch import Sketches
from components.stages.dedup.stage import dedup, find, sketch
from components.stages.dedup.types import DocumentIndex

SAMPLE = 600
"""Documents compared with all others by brute force."""
BANDS = ((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01))
DATASKETCH_BYTES = 40_000_000
GROWTH_BYTES, GROWTH = 30_000_000, (1, 3, 10)


def minhash(work: Path, corpus: str) -> dict[str, int]:
    """Numbers of documents, removed and verified, by the stage's own search; writing the corpus is left out."""
    with CorpusWriter(work / "heldout"):
        pass
    index = DocumentIndex.open(work / "heldout", Path(corpus))
    with pool(WORKERS) as workers_pool:
        sketches = Sketches.read(sketch(index, Dedup(), work, workers_pool, Progress()))
        found = find(index, sketches, Dedup(), workers_pool)
    return {"documents": len(index.ids), "removed": int(found.removed.sum()), "verified": int(found.histogram.sum())}


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times of all tools, and the goals made of them."""
    ours = [timed("benchmarks.data_dedup:minhash", corpus.folder) for _ in range(runs)]
    peer = timed("benchmarks.data_peers:datatrove_minhash", corpus.jsonl)
    rensa = timed("benchmarks.data_peers:rensa_minhash", corpus.jsonl)
    _, few = subset(corpus, DATASKETCH_BYTES)
    datasketch = timed("benchmarks.data_peers:datasketch_minhash", few)
    middle = sorted(seconds(ours))[runs // 2]
    results = {
        "near_dedup": {
            "megabytes": corpus.num_bytes / 1e6,
            "documents": corpus.num_documents,
            "edited_copies": len(corpus.planted),
            "ours, 32 x 4 and exact verification": times(ours) | ours[0].result,
            "datatrove 0.10.1, 14 x 8 (stages 1 to 3)": times([peer]),
            "rensa 0.5.0, 14 x 8, one process": times([rensa]),
            f"datasketch 2.0.0, 14 x 8, one process, first {DATASKETCH_BYTES / 1e6:.0f} MB": times([datasketch]),
            "ratio_to_datatrove": peer.seconds / middle,
            "ratio_to_rensa": rensa.seconds / middle,
        }
    }
    return results, [
        goal(
            "near_dedup_vs_datatrove",
            peer.seconds / middle,
            30,
            "higher",
            says="near-duplicates, times as fast as datatrove (signatures to clusters)",
        )
    ]


# -- recall and precision --------------------------------------------------------------------------------------------


def quality(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Recall against brute force on a sample, and every removal recomputed from the texts by other code."""
    root = CACHE / "dedup"
    shutil.rmtree(root, ignore_errors=True)
    with CorpusWriter(root / "heldout"):
        pass
    (root / "work").mkdir()
    dedup(
        train=corpus.folder,
        heldout=root / "heldout",
        params=Dedup(),
        out=root / "out",
        reports=root / "reports",
        work=root / "work",
        workers=WORKERS,
    )
    rows = [row for shard in shard_paths(root / "out/dropped") for row in dropped_rows(shard)]
    removed = {name for name, _, _ in rows}
    kept = {each.id: each.text for each in read_corpus(root / "out/train")}
    wrong = count_wrong(rows, kept)
    table = recall(corpus, removed)
    shutil.rmtree(root)
    high = [row for row in table if row["jaccard_from"] >= 0.8]
    shares = {
        "near_dedup_recall_j70_80": next(row["at_most_one_remains"] for row in table if row["jaccard_from"] == 0.7),
        "near_dedup_recall_j80_100": sum(row["at_most_one_remains"] * row["pairs"] for row in high)
        / sum(row["pairs"] for row in high),
    }
    goals = [
        goal(
            "near_dedup_recall_j70_80",
            shares["near_dedup_recall_j70_80"],
            0.95,
            "higher",
            says="pairs of Jaccard 0.7 to 0.8 of which at most one remains",
        ),
        goal(
            "near_dedup_recall_j80_100",
            shares["near_dedup_recall_j80_100"],
            0.97,
            "higher",
            says="pairs of Jaccard 0.8 and more of which at most one remains",
        ),
        goal(
            "near_dedup_wrong_removals",
            float(wrong),
            0,
            "lower",
            says="documents removed without a similar one that stays",
        ),
    ]
    return {"near_dedup_quality": {"removed": len(rows), "wrong": wrong, "sampled": SAMPLE, "recall": table}}, goals


def dropped_rows(shard: Path) -> list[tuple[str, str, str]]:
    """(id, text, reason) of every dropped document of a shard."""
    table = pq.read_table(shard, columns=["id", "text", "reason"]).to_pylist()
    return [(row["id"], row["text"], row["reason"]) for row in table]


def count_wrong(rows: list[tuple[str, str, str]], kept: dict[str, str]) -> int:
    """Number of dropped documents whose reason names one that does not stay or is not similar enough."""
    wrong = 0
    for _, text, reason in sorted(rows, key=lambda row: row[2][-60:]):
        named = re.search(r" kept ([0-9a-f]{16})", reason)
        if not named or named[1] not in kept or jaccard(text, kept[named[1]]) < Dedup().threshold:
            wrong += 1
    return wrong


def recall(corpus: Corpus, removed: set[str]) -> list[dict]:
    """Pairs of a sampled document and any other, per band of similarity: their number, and how many lost a document."""
    ids = sorted(each.id for each in read_corpus(corpus.folder))
    wanted = set(random.Random(7).sample(ids, SAMPLE))
    sample = {each.id: each.text for each in read_corpus(corpus.folder) if each.id in wanted}
    with ProcessPoolExecutor(WORKERS) as pool:
        found = list(pool.map(partial(_compare_shard, sample), shard_paths(corpus.folder)))
    pairs = dict(chain.from_iterable(each.items() for each in found))
    table = []
    for low, high in BANDS:
        here = [pair for pair, similarity in pairs.items() if low <= similarity < high]
        share = sum(one in removed or other in removed for one, other in here) / max(len(here), 1)
        table.append(
            {"jaccard_from": low, "jaccard_below": min(high, 1.0), "pairs": len(here), "at_most_one_remains": share}
        )
    return table


def _compare_shard(sample: dict[str, str], shard: Path) -> dict[tuple[str, str], float]:
    return brute_force(sample, ((each.id, each.text) for each in read_shard(shard)))


# -- growth of time --------------------------------------------------------------------------------------------------


def grown(corpus: Corpus) -> dict[int, Path]:
    """Folders of the series in the cache, by how many times as much text they hold."""
    folder, _ = subset(corpus, GROWTH_BYTES)
    real = [each for each in read_corpus(folder) if each.source == "packages"]
    made = {number: folder.parent / f"grown-{number}" for number in GROWTH}
    for number, target in made.items():
        if not (target / "manifest.json").exists():
            write(list(reseeded(real, number)), target)
    return made


def growth(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Dedup of 1, 3 and 10 times as much text, by differently seeded edits of the same documents."""
    series = []
    for number, folder in grown(corpus).items():
        run = timed("benchmarks.data_dedup:minhash", folder)
        size = read_manifest(folder).num_bytes
        row = {"times": number, "megabytes": size / 1e6, "seconds": run.seconds, "peak_gb": run.peak_gb}
        series.append(row | {"removed": run.result["removed"]})
    ratio = series[-1]["seconds"] / series[0]["seconds"]
    return {"growth": series}, [
        goal("growth_10x", ratio, 11, "lower", says="time for ten times as much text, in times")
    ]
