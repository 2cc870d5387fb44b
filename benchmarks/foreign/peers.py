"""CPU seconds of dedup's search and of the whole filter stage beside datatrove's, on the same manuals and sayings.

Both run in turn with two workers. CPU seconds count, children and imports included, so that it may run beside other
work. The contestants are those of benchmarks/data_peers.py.
"""

import random
from typing import Any

from benchmarks.data_corpus import CACHE, Corpus, write
from benchmarks.data_runs import timed
from benchmarks.foreign.texts import by_language
from benchmarks.results import figure, goal, write_rows
from benchmarks.texts import document

MOST_BYTES, SHARD_BYTES, RUNS = 30_000_000, 2_000_000, 2
PAIRS = {"dedup_vs_datatrove": ("dedup", 10), "filter_stage_vs_datatrove": ("stage", 3.5)}
"""Goal -> the contestants, and how many times our CPU seconds datatrove's should be."""


def measure() -> tuple[dict, list[dict]]:
    """CPU seconds of each, and the goals made of the least; the rows are written beside."""
    corpus, rows = built(), list[dict]()
    for name, (what, _) in PAIRS.items():
        for _ in range(RUNS):
            for who, contestant, folder in (("ours", "our", corpus.folder), ("datatrove", "their", corpus.jsonl)):
                cpu_s = timed(f"benchmarks.data_peers:{contestant}_{what}", folder).cpu_s
                rows.append({"pair": name, "who": who, "cpu_s": cpu_s})
    write_rows("foreign-peers", rows)
    results, goals, megabytes = dict[str, Any](), list[dict](), corpus.num_bytes / 1e6
    says = f"its CPU seconds over ours, the least of two runs each, {megabytes:.0f} MB of manuals, help and sayings"
    for name, (_, wanted) in PAIRS.items():
        took = {
            who: figure([row["cpu_s"] for row in rows if (row["pair"], row["who"]) == (name, who)])
            for who in ("ours", "datatrove")
        }
        results[name] = {"megabytes": megabytes, "cpu_s": took}
        goals.append(goal(name, took["datatrove"]["min"] / took["ours"]["min"], wanted, "higher", says))
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
