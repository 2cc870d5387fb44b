"""Memory of the machine that dedup and tokenize start from, with ten times as much text: `make bench NAME=open`.

Both stages run on a Ray cluster of this machine. Counted is the largest resident set of the stage's own process: the
nodes' processes hold a shard each, whatever the corpus, and are other machines' where there are any. Documents are
words drawn from the installed documentation, as frequent as there; one in ten is a copy of the one before it with
every twentieth word replaced, so that pairs to verify grow as the documents do.

    python -m benchmarks.open_head dedup FOLDER      what `measure` starts: the stage, then its peak in bytes
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data_corpus import CACHE, document, documentation, word_pool
from benchmarks.results import ROOT, figure, goal
from components.corpus.corpus import CorpusWriter, Document, read_manifest

DOCUMENTS, TIMES, WORKERS = 20_000, (1, 10), 2
WORDS = (200, 1200)
"""Fewest and most words of a document; 5 kB on average, as the measured corpora have."""
COPIED, REPLACED = 10, 20
STAGES = ("dedup", "tokenize")


def documents(words: list[str], count: int) -> Iterator[Document]:
    """The first `count` documents of an endless corpus."""
    chance, text = random.Random(1), [""]
    for number in range(count):
        if number % COPIED == COPIED - 1:
            text[::REPLACED] = chance.choices(words, k=len(text[::REPLACED]))
        else:
            text = chance.choices(words, k=chance.randint(*WORDS))
        yield document(f"{number // 1000}/{number}", " ".join(text), "drawn")


def made(times: int, words: list[str]) -> Path:
    """A folder with the held-out and the training corpus."""
    root = CACHE / f"head-{times}"
    shutil.rmtree(root, ignore_errors=True)
    for name, count, salt in (("heldout", 100, "h"), ("train", times * DOCUMENTS, "")):
        with CorpusWriter(root / name) as writer:
            for one in documents([salt + word for word in words], count):
                writer.add(one)
    return root


def measure() -> tuple[dict, list[dict]]:
    """Peaks of both stages, and how many times as much dedup's process takes for ten times the text."""
    words = word_pool(documentation(), random.Random(1))
    found: dict = {}
    for times in TIMES:
        root = made(times, words)
        size = read_manifest(root / "train")
        row: dict[str, Any] = {"documents": size.num_documents, "megabytes": size.num_bytes / 1e6}
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.open_head", stage, str(root)]
            said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
            row[stage] = {"peak_mb": figure([json.loads(said.splitlines()[-1]) / 1e6])}
        found[f"{times}x"] = row
        shutil.rmtree(root)
    few, many = (found[f"{times}x"]["dedup"]["peak_mb"]["median"] for times in TIMES)
    says = "memory of dedup's own process for ten times the documents (200,000), in times"
    return {"head_memory": found}, [goal("dedup_head_memory_10x", many / few, 1.5, "lower", says=says)]


def run_stage(stage: str, root: Path) -> None:
    """One stage over the corpora in `root`; prints the largest resident set of this process in bytes."""
    from components.cluster.ray_pool import Cluster
    from components.params import Dedup, Tokenize
    from components.stages.dedup.stage import dedup
    from components.stages.tokenize.stage import tokenize

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"}
    folder = root / stage
    (folder / "work").mkdir(parents=True)
    paths: dict[str, Any] = {name: folder / name for name in ("out", "reports", "work")}
    paths |= {name: root / name for name in ("train", "heldout")}
    if stage == "dedup":
        dedup(params=Dedup(), workers=Cluster(WORKERS), **paths)
    else:
        tokenize(params=Tokenize(), threads=WORKERS, **paths)
    shutil.rmtree(folder)
    # Not getrusage's: that is never less than what the process that started this one had.
    status = Path("/proc/self/status").read_text()
    print(1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]))  # type: ignore[index]


if __name__ == "__main__":
    run_stage(sys.argv[1], Path(sys.argv[2]))
