"""Removed and kept documents that a reader has labelled, by hash of the text (labels.csv, no text of others).

Passages of manual pages, help, handbooks, sayings, dictionaries, catalogues of messages, web pages and files of a
machine's packages, none of which the rules were made or mended on, were filtered by the default rules. Of `by kind` are
all that were removed of 27,000, and 200 kept ones, drawn by kind of source, so that prose is a quarter of them; of `by
text` are kept ones alone, drawn by document from what people read. The reader, who had seen neither rules nor verdicts,
said of the first 1,500 characters whether a person who trains a language model would want the document: `good`, `junk`,
`unsure`.
"""

import csv
from collections import Counter
from typing import Any

from benchmarks.foreign.texts import path_of
from benchmarks.results import goal
from components.stages.bias.stratified_rates import wilson


def measure() -> tuple[dict, list[dict]]:
    """Shares of wrong removals, by rule, and of junk that was kept."""
    with path_of("labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    removed, kept = ([row for row in rows if row["what"] == what] for what in ("removed", "kept"))
    others = [row for row in removed if ".svg" not in row["source"]]
    rules = Counter((row["rule"], row["label"]) for row in removed)
    results: dict[str, Any] = {
        "wrong_removals": _labelled(removed, "good"),
        "wrong_removals_without_svg": _labelled(others, "good"),
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
        goal("wrong_removals", wrong, 0.05, "lower", f"good ones among removed documents, {says}"),
        goal(
            "kept_junk",
            junk,
            0.1,
            "lower",
            f"junk among kept documents of twenty packages of manuals and help, "
            f"{says}; of passages by kind of file, three quarters files of machines, {by_kind:.2f}",
        ),
    ]


def _labelled(rows: list[dict[str, str]], label: str) -> dict[str, float]:
    counts = Counter(row["label"] for row in rows)
    return share(counts[label], len(rows)) | {"unsure": counts["unsure"]}


def share(count: int, of: int) -> dict[str, float]:
    """A share with the 95% interval of Wilson."""
    low, high = wilson(count, of, 0.95)
    return {"n": of, "count": count, "share": count / of, "low": low, "high": high}
