"""Ten times as much text through the data stages: CPU seconds and memory of each, in times.

The text is the documentation again and again with differently seeded blocks of each document replaced, as jsonl files.
Each stage runs in a process of its own with two workers, as in the pipeline. Memory is the peak of the sum of
proportional set sizes (PSS) of its whole process tree, read four times a second.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from benchmarks.data_corpus import CACHE, Corpus
from benchmarks.data_runs import WORKERS, Run, timed
from benchmarks.results import goal, write_rows
from benchmarks.texts import many
from components.core.files import write_text
from components.corpus.corpus import Document, read_corpus, read_manifest

MEGABYTES = (200, 2000)
"""Of text; two sizes, the second ten times the first."""
STAGES = ("ingest", "dedup", "filter", "bias", "tokenize")
DOCUMENTS_A_FILE = 5000


def measure(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Figures of each stage at both sizes, and the goals for the stage that grows most."""
    real = [each for each in read_corpus(corpus.folder) if each.source == "packages"]
    found: dict[str, dict] = {}
    for size in MEGABYTES:
        root = CACHE / f"growth-{size}"
        shutil.rmtree(root, ignore_errors=True)
        write_jsonl(root / "input", many(real, size * 1_000_000))
        found[str(size)] = stages(root)
        shutil.rmtree(root)
    return grown(found)


def grown(found: dict[str, dict]) -> tuple[dict, list[dict]]:
    """Results and goals of the figures by size (megabytes) and stage, whose rows are written beside."""
    rows = [{"megabytes": size, "stage": stage, **row} for size, by in found.items() for stage, row in by.items()]
    write_rows("data-growth", rows)
    few, much = found.values()
    worst = {key: max((much[stage][key] / few[stage][key], stage) for stage in STAGES) for key in ("cpu_s", "peak_gb")}
    sizes = f"{' and '.join(found)} MB of text"
    return {"growth": found}, [
        goal("growth_cpu_10x", worst["cpu_s"][0], 11, "lower", f"CPU, the worst stage ({worst['cpu_s'][1]}); {sizes}"),
        goal("growth_memory_10x", worst["peak_gb"][0], 1.15, "lower",
             f"memory, the worst stage ({worst['peak_gb'][1]}); {sizes}"),
    ]  # fmt: skip


def stages(root: Path) -> dict[str, Any]:
    """CPU seconds, peak memory and kept documents of all stages, one after the other."""
    runs: dict[str, Run] = {stage: timed("benchmarks.data_growth:stage", stage, root) for stage in STAGES}
    return {
        stage: {"cpu_s": run.cpu_s, "peak_gb": run.peak_gb, "kept_documents": run.result} for stage, run in runs.items()
    }


def write_jsonl(folder: Path, documents: Iterator[Document]) -> None:
    """Write documents as jsonl files."""
    folder.mkdir(parents=True)
    lines = (json.dumps({"id": each.id, "text": each.text}, ensure_ascii=False) for each in documents)
    number = 0
    while some := list(islice(lines, DOCUMENTS_A_FILE)):
        write_text(folder / f"{number:05d}.jsonl", "".join(f"{line}\n" for line in some))
        number += 1


def stage(_: Path, name: str, place: str) -> int:
    """One stage over what the one before made; the documents that it kept."""
    from components.params import Bias, Dedup, Files, Filter, Ingest, Tokenize
    from components.stages.bias.stage import filter_bias
    from components.stages.dedup.stage import dedup
    from components.stages.filter.stage import filter_corpus
    from components.stages.ingest.stage import ingest
    from components.stages.tokenize.stage import tokenize

    root = Path(place)
    (root / name / "work").mkdir(parents=True)
    (root / "opt_out.txt").touch()
    paths: dict[str, Any] = {part: root / name / part for part in ("out", "reports", "work")}
    before = {follower: root / one / "out/train" for one, follower in pairwise(STAGES)}
    heldout = root / "ingest/out/heldout"
    if name == "ingest":
        source = Files(name="many", path=str(root / "input"), licence="NOASSERTION")
        params = Ingest(sources=[source], watch=str(root / "input"), heldout_fraction=0.005)
        ingest(root=root, params=params, workers=WORKERS, **paths)
    elif name == "dedup":
        dedup(train=before[name], heldout=heldout, params=Dedup(), workers=WORKERS, **paths)
    elif name == "filter":
        filter_corpus(train=before[name], params=Filter(), workers=WORKERS, **paths)
    elif name == "bias":
        filter_bias(train=before[name], params=Bias(), workers=WORKERS, **paths)
    else:
        tokenize(train=before[name], heldout=heldout, params=Tokenize(), threads=WORKERS, **paths)
        return read_manifest(before[name]).num_documents
    return read_manifest(root / name / "out/train").num_documents
