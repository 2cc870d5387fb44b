"""Removed and kept documents that a reader has labelled, by hash of the text (labels.csv, no text of others).

Passages of manual pages, help, handbooks, sayings, dictionaries, catalogues of messages, web pages and files of a
machine's packages, none of which the rules were made or mended on, were filtered by the default rules. Of `by kind` are
all that were removed of 27,000, and 200 kept ones, drawn by kind of source, so that prose is a quarter of them; of `by
text` are kept ones alone, drawn by document from what people read. The reader, who had seen neither rules nor verdicts,
said of the first 1,500 characters whether a person who trains a language model would want the document: `good`, `junk`,
`unsure`.

Labels are of the rules of that day. Where the texts still lie in the folder of state (labelled.jsonl: hash, text), the
filter of today judges them again: of the removed, only those that it still removes count. Labels were known when the
rules were mended, so that share is not blind; the share when they were labelled stands beside it.
"""

import csv
import json
import re
from collections import Counter
from typing import Any

from benchmarks.foreign.packages import FOLDER
from benchmarks.foreign.texts import path_of, verdicts
from benchmarks.results import goal
from components.core.files import sha256_bytes
from components.stages.bias.stratified_rates import wilson
from components.stages.ingest.readers import format_of


def measure() -> tuple[dict, list[dict]]:
    """Shares of wrong removals, by rule, and of junk that was kept."""
    with path_of("labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    then, kept = ([row for row in rows if row["what"] == what] for what in ("removed", "kept"))
    today, read_again = removed_today()
    removed = [row for row in then if row["hash"] not in read_again or row["hash"] in today]
    for row in removed:
        row["rule"] = today.get(row["hash"], row["rule"])
    others = [row for row in removed if ".svg" not in row["source"]]
    read = [row for row in removed if is_read(row["source"])]
    rules = Counter((row["rule"], row["label"]) for row in removed)
    results: dict[str, Any] = {
        "wrong_removals": _labelled(removed, "good"),
        "wrong_removals_without_svg": _labelled(others, "good"),
        "wrong_removals_of_files_ingest_reads": _labelled(read, "good"),
        "wrong_removals_when_labelled": _labelled(then, "good"),
        "judged_again": {"n": len(read_again), "kept_that_go": sum(row["hash"] in today for row in kept)},
        "wrong_removals_by_rule": {
            rule: {label: rules[rule, label] for label in ("good", "unsure", "junk")}
            for rule in sorted({row["rule"] for row in removed})
        },
    }
    for sample in sorted({row["sample"] for row in kept}):
        name = "kept_junk" if sample == "by document" else f"kept_junk_{sample.replace(' ', '_')}"
        results[name] = _labelled([row for row in kept if row["sample"] == sample], "junk")
    says = "by a reader who had seen neither rules nor verdicts"
    wrong, junk = results["wrong_removals"]["share"], results["kept_junk"]["share"]
    by_kind = results["kept_junk_by_kind"]["share"]
    return results, [
        goal(
            "wrong_removals",
            wrong,
            0.05,
            "lower",
            f"good ones among {len(removed)} documents that are still removed of {len(then)}, {says}; when they were "
            f"labelled, before rules were mended, {results['wrong_removals_when_labelled']['share']:.3f}; among the "
            f"{len(read)} of files that ingest reads {results['wrong_removals_of_files_ingest_reads']['share']:.3f}",
        ),
        goal(
            "kept_junk",
            junk,
            0.1,
            "lower",
            f"junk among kept documents of twenty packages of manuals and help, "
            f"{says}; of passages by kind of file, three quarters files of machines, {by_kind:.2f}",
        ),
    ]


def is_read(source: str) -> bool:
    """Whether ingest reads the kind of file from which a document was taken."""
    suffix = re.search(r"file (\.\w+)", source)
    return bool(format_of(f"a{suffix[1]}")) if suffix else "without suffix" not in source


def removed_today() -> tuple[dict[str, str], set[str]]:
    """Rule by hash of the documents that the filter removes today, and the hashes of all whose texts are here."""
    path = FOLDER / "labelled.jsonl"
    texts = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    texts = [row for row in texts if sha256_bytes(row["text"].encode())[:16] == row["hash"]]
    gone = verdicts([row["text"] for row in texts]) if texts else {}
    return {texts[number]["hash"]: rule for number, rule in gone.items()}, {row["hash"] for row in texts}


def _labelled(rows: list[dict[str, str]], label: str) -> dict[str, float]:
    counts = Counter(row["label"] for row in rows)
    return share(counts[label], len(rows)) | {"unsure": counts["unsure"]}


def share(count: int, of: int) -> dict[str, float]:
    """A share with the 95% interval of Wilson."""
    low, high = wilson(count, of, 0.95)
    return {"n": of, "count": count, "share": count / of, "low": low, "high": high}
