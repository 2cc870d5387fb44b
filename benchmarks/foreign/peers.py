"""CPU seconds of dedup's search and of the whole filter stage beside datatrove's, on the same manuals and sayings.

datatrove's filter is one pipeline of its rules of Gopher and C4 and its formatter of personal data, with a writer; ours
is the stage as it ships: all scores, languages, personal data, two corpora written, the report. Both run in turn with
two workers. CPU seconds count, children and imports included, so that it may run beside other work.
"""

import random
from pathlib import Path
from typing import Any

from benchmarks.data_corpus import CACHE, Corpus, write
from benchmarks.data_runs import WORKERS, timed
from benchmarks.foreign.texts import by_language
from benchmarks.results import goal, write_rows
from benchmarks.texts import document
from components.params import Filter
from components.stages.filter.stage import filter_corpus

MOST_BYTES = 6_000_000
SHARD_BYTES = 750_000
RUNS = 2
PAIRS = {
    "dedup_vs_datatrove": ("benchmarks.data_dedup:ours", "benchmarks.data_dedup:datatrove", 10),
    "filter_stage_vs_datatrove": ("benchmarks.foreign.peers:ours", "benchmarks.foreign.peers:datatrove", 3.5),
}
"""Goal -> our contestant, datatrove's, and how many times its CPU seconds ours should be worth."""


def measure() -> tuple[dict, list[dict]]:
    """Run both in turn, `RUNS` times."""
    corpus, rows = built(), list[dict]()
    for name, (our_contestant, theirs, _) in PAIRS.items():
        for _ in range(RUNS):
            for who, contestant, folder in (
                ("ours", our_contestant, corpus.folder),
                ("datatrove", theirs, corpus.jsonl),
            ):
                rows.append({"pair": name, "who": who, "cpu_s": timed(contestant, folder).cpu_s})
    return compared(rows, corpus.num_bytes / 1e6)


def compared(rows: list[dict], megabytes: float) -> tuple[dict, list[dict]]:
    """Least CPU seconds of each, and the goals made of them; the rows are written beside."""
    write_rows("foreign-peers", rows)
    results, goals = dict[str, Any](), list[dict]()
    for name, (*_, wanted) in PAIRS.items():
        least = {
            who: min(row["cpu_s"] for row in rows if (row["pair"], row["who"]) == (name, who))
            for who in ("ours", "datatrove")
        }
        results[name] = {"megabytes": megabytes, "cpu_s": least}
        says = f"its CPU seconds over ours, {megabytes:.0f} MB of manuals, help and sayings, beside other work"
        goals.append(goal(name, least["datatrove"] / least["ours"], wanted, "higher", says))
    return results, goals


def built() -> Corpus:
    """The texts in a seeded order, as shards and as jsonl; made once."""
    made = Corpus(CACHE / "foreign" / "corpus", CACHE / "foreign" / "jsonl")
    if not (made.folder / "manifest.json").exists():
        texts = [text for some in by_language().values() for text in some]
        random.Random(1).shuffle(texts)
        chosen, left = [], MOST_BYTES
        for number, text in enumerate(texts):
            left -= len(text.encode())
            if left > 0:
                chosen.append(document(str(number), text, "foreign"))
        write(chosen, made, SHARD_BYTES)
    return made


def ours(work: Path, corpus: str) -> None:
    """Run the stage."""
    places = {name: work / name for name in ("out", "reports", "work")}
    for place in places.values():
        place.mkdir()
    filter_corpus(
        train=Path(corpus), params=Filter(), workers=WORKERS,
        out=places["out"], reports=places["reports"], work=places["work"],
    )  # fmt: skip


def datatrove(work: Path, jsonl: str) -> None:
    """Run one pipeline of all."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import filters
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()  # it logs every step
    rules = [filters.GopherRepetitionFilter(), filters.GopherQualityFilter(), filters.C4QualityFilter()]
    steps = [JsonlReader(jsonl), *rules, PIIFormatter(), JsonlWriter(str(work / "kept"), compression=None)]
    files = len(list(Path(jsonl).glob("*.jsonl")))
    LocalPipelineExecutor(steps, tasks=files, workers=WORKERS, logging_dir=str(work / "logs")).run()
