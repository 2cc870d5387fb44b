"""Run one contestant in a process of its own: its wall time and the peak memory of its process tree.

python -m benchmarks.data_runs NAME ARGUMENTS...     what `timed` starts
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import PeakMemory
from benchmarks.results import ROOT

WORKERS = 2


@dataclass(frozen=True)
class Run:
    """A finished run: seconds of the work (not of the start of Python), peak memory, what it said."""

    seconds: float
    peak_gb: float
    said: Any


def timed(contestant: str, *arguments: object) -> Run:
    """Run `contestant` (a function of this file) and measure it.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.data_runs", contestant, folder, *map(str, arguments)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            memory = PeakMemory(process.pid)
            output = process.stdout.read() if process.stdout else ""
        memory.join()
    if process.returncode:
        raise RuntimeError(f"{contestant} failed; see above")
    last = json.loads(output.strip().splitlines()[-1])
    return Run(last["seconds"], memory.peak_bytes / 1e9, last["said"])


def ours_minhash(work: Path, corpus: str) -> dict[str, float]:
    """Signatures to clusters, as `components.stages.dedup.stage` does it: what is not timed is writing the corpus."""
    from components.core.progress import Progress
    from components.core.workers import pool
    from components.corpus.corpus import CorpusWriter
    from components.params import Dedup
    from components.similarity.sketch import Sketches
    from components.stages.dedup.stage import Books, find, sketch

    with CorpusWriter(work / "heldout"):
        pass
    books = Books.open(work / "heldout", Path(corpus))
    with pool(WORKERS) as workers_pool:
        sketches = Sketches.read(sketch(books, Dedup(), work, workers_pool, Progress()))
        found = find(books, sketches, Dedup(), workers_pool)
    return {"documents": len(books.ids), "removed": int(found.removed.sum()), "verified": int(found.histogram.sum())}


def datatrove_minhash(work: Path, jsonl: str) -> None:
    """datatrove's stages 1 to 3."""
    from benchmarks import data_peers

    data_peers.datatrove_minhash(Path(jsonl), work, WORKERS)


def rensa_minhash(work: Path, jsonl: str) -> int:
    """rensa, which has no processes of its own."""
    from benchmarks import data_peers

    return data_peers.rensa_minhash(Path(jsonl), WORKERS)


def datasketch_minhash(work: Path, jsonl: str) -> int:
    """datasketch, which has none either."""
    from benchmarks import data_peers

    return data_peers.datasketch_minhash(Path(jsonl), WORKERS)


def decide_shard(path: Path) -> list[list[bool]]:
    """Per document of a shard: kept by each published rule set? The stage's own scores (languages too) and rules."""
    import numpy as np

    from benchmarks.data_peers import FILTERS
    from components.corpus.corpus import read_shard
    from components.stages.filter.rules import PUBLISHED, verdicts
    from components.stages.filter.stage import tag

    columns = tag(read_shard(path), [])
    kept = [~verdicts(PUBLISHED[name], columns).any(axis=1) for name in FILTERS]
    return np.stack(kept, axis=1).tolist()


def ours_filters(work: Path, corpus: str) -> list[list[bool]]:
    """All scores of all documents and the decision of each rule set, shard by shard."""
    from benchmarks.data_runs import decide_shard  # by its name: workers cannot import `__main__`
    from components.core.workers import pool
    from components.corpus.corpus import shard_paths

    with pool(WORKERS) as workers_pool:
        return [row for rows in workers_pool.map(decide_shard, shard_paths(Path(corpus))) for row in rows]


def datatrove_filters(work: Path, jsonl: str) -> None:
    """Four pipelines, one for each rule set."""
    from benchmarks import data_peers

    data_peers.datatrove_filter(Path(jsonl), work, WORKERS)


def datatrove_filters_shared(work: Path, jsonl: str) -> int:
    """All four sets in one pass, so that they share the split into words: faster than datatrove offers it."""
    from benchmarks import data_peers

    return len(data_peers.datatrove_decide(Path(jsonl), WORKERS))


def ours_encode(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """Our encoder."""
    from benchmarks import data_encode

    return data_encode.ours(corpus, tokenizer_json)


def tokenizers_encode(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """Hugging Face's encoder."""
    from benchmarks import data_encode

    return data_encode.theirs(corpus, tokenizer_json)


if __name__ == "__main__":
    name, folder, *arguments = sys.argv[1:]
    started = time.perf_counter()
    said = globals()[name](Path(folder), *arguments)
    seconds = said["seconds"] if isinstance(said, dict) and "seconds" in said else time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "said": said}))
