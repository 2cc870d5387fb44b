"""A corpus larger than memory: 5 GB through ingest, dedup and filter, under 1.5 GB of memory.

The corpus is the documentation again and again with differently seeded blocks of each text replaced, as jsonl files.
Each stage runs in a process of its own with two workers, as in the pipeline. The limit is on the peak of the sum of
proportional set sizes (PSS) of the whole process tree, read four times a second; the run is ended when it is passed.
(A cgroup would need rights that a user may not have, and RLIMIT_AS limits addresses, not memory.)
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data_corpus import CACHE, Corpus, document
from benchmarks.processes import PeakMemory
from benchmarks.results import ROOT, figure, goal
from components.core.files import read_json
from components.corpus.corpus import Document, read_corpus, read_manifest

GIGABYTES, LIMIT_GB = 5.0, 1.5
FILE_BYTES = 50_000_000
STAGES = ("ingest", "dedup", "filter")


def with_block_replaced(text: str, chance: random.Random, others: Sequence[str]) -> str:
    """The text with up to half of it, in one block, replaced by a piece of another."""
    length = int(len(text) * chance.random() / 2)
    start = chance.randrange(len(text) - length + 1)
    other = others[chance.randrange(len(others))]
    at = chance.randrange(len(other))
    return text[:start] + other[at : at + length] + text[start + length :]


def many(documents: Sequence[Document], num_bytes: int) -> Iterator[Document]:
    """Documents with seeded edits, repeated until `num_bytes` are made."""
    texts = [each.text for each in documents]
    seed = made = 0
    while True:
        chance = random.Random(f"larger than memory {seed}")
        for number, original in enumerate(documents):
            text = with_block_replaced(original.text, chance, texts) if seed else original.text
            made += len(text.encode())
            if made > num_bytes:
                return
            yield document(f"{seed}/{number}", text, "large")
        seed += 1


def write_jsonl(folder: Path, documents: Iterator[Document]) -> None:
    """Write documents as jsonl files of about 50 MB."""
    folder.mkdir(parents=True)
    file, size, number = None, FILE_BYTES, 0
    for each in documents:
        if size >= FILE_BYTES:
            if file:
                file.close()
            file, size, number = open(folder / f"{number:05d}.jsonl", "w", encoding="utf-8"), 0, number + 1  # noqa: SIM115
        line = json.dumps({"id": each.id, "text": each.text}, ensure_ascii=False)
        assert file is not None
        file.write(line + "\n")
        size += len(line)
    if file:
        file.close()


def measure(corpus: Corpus, gigabytes: float = GIGABYTES, limit_gb: float = LIMIT_GB) -> tuple[dict, list[dict]]:
    """Run the three stages; figures and the goal."""
    root = CACHE / "larger-than-memory"
    shutil.rmtree(root, ignore_errors=True)
    real = [each for each in read_corpus(corpus.folder) if each.source == "packages"]
    write_jsonl(root / "input", many(real, int(gigabytes * 1e9)))
    del real
    results: dict = {"gigabytes": gigabytes, "limit_gb": limit_gb, "stages": {}}
    for stage in STAGES:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.data_memory", stage, str(root)], cwd=ROOT)
        memory = PeakMemory(process.pid, limit_bytes=limit_gb * 1e9)
        code = process.wait()
        memory.join()
        results["stages"][stage] = {
            "peak_gb": figure([memory.peak_bytes / 1e9]),
            "seconds_beside_other_work": time.perf_counter() - started,
            "finished": code == 0,
        }
        if code:
            break
        results["stages"][stage] |= read_json(root / stage / "kept.json")
    done = all(results["stages"].get(stage, {}).get("finished") for stage in STAGES)
    shutil.rmtree(root)
    return {"larger_than_memory": results}, [
        goal(
            "larger_than_memory_ok",
            float(done),
            1,
            "higher",
            says="5 GB through ingest, dedup and filter in 1.5 GB of memory",
        )
    ]


def run_stage(stage: str, root: Path) -> None:
    """One stage over the files of the one before; the counts of what it kept go into its folder."""
    from components.params import Dedup, Files, Filter, Ingest
    from components.stages.dedup.stage import dedup
    from components.stages.filter.stage import filter_corpus
    from components.stages.ingest.stage import ingest

    folder = root / stage
    (folder / "work").mkdir(parents=True)
    (root / "opt_out.txt").touch()
    paths: dict[str, Any] = {"out": folder / "out", "reports": folder / "reports", "work": folder / "work"}
    if stage == "ingest":
        source = Files(name="large", path=str(root / "input"), licence="NOASSERTION")
        params = Ingest(sources=[source], watch=str(root / "input"), heldout_fraction=0.005)
        ingest(root=root, params=params, workers=2, **paths)
    elif stage == "dedup":
        made = root / "ingest/out"
        dedup(train=made / "train", heldout=made / "heldout", params=Dedup(), workers=2, **paths)
    else:
        filter_corpus(train=root / "dedup/out/train", params=Filter(), workers=2, **paths)
    shutil.rmtree(folder / "work")
    kept = read_manifest(folder / "out/train")
    counts = {"kept_documents": kept.num_documents, "kept_gigabytes": kept.num_bytes / 1e9}
    (folder / "kept.json").write_text(json.dumps(counts))
    if stage == "ingest":
        shutil.rmtree(root / "input")


if __name__ == "__main__":
    run_stage(sys.argv[1], Path(sys.argv[2]))
