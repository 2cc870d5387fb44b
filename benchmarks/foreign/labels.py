"""Removed and kept documents that a reader has labelled, by hash of the text (labels.csv, no text of others).

Passages of manual pages, help, handbooks, sayings, dictionaries, catalogues of messages and other text files of a
machine's packages were filtered by the default rules; ten removed ones of each rule that fired were taken first. A
label says whether a person wrote the text to be read, `good` or `junk`; `reader` says who labelled: `second` did not
write the rules.
"""

import csv
from collections import Counter

from benchmarks.foreign.texts import path_of
from benchmarks.results import goal
from components.stages.bias.stratified_rates import wilson


def measure() -> tuple[dict, list[dict]]:
    """Shares of wrong removals, by rule, and of junk that was kept."""
    with path_of("labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    removed, kept = ([row for row in rows if row["what"] == what] for what in ("removed", "kept"))
    wrong = Counter(row["rule"] for row in removed if row["label"] == "good")
    junk = sum(row["label"] == "junk" for row in kept)
    of_rule = Counter(row["rule"] for row in removed)
    results = {
        "wrong_removals": share(wrong.total(), len(removed)) | {"readers": sorted({row["reader"] for row in rows})},
        "wrong_removals_by_rule": {rule: [wrong[rule], count] for rule, count in sorted(of_rule.items())},
        "kept_junk": share(junk, len(kept)),
    }
    return results, [
        goal(
            "wrong_removals",
            wrong.total() / len(removed),
            0.05,
            "lower",
            "good ones among removed documents, by a reader who did not write the rules",
        ),
        goal("kept_junk", junk / len(kept), 0.1, "lower", "junk among kept documents, by the same reader"),
    ]


def share(count: int, of: int) -> dict[str, float]:
    """A share with the 95% interval of Wilson."""
    low, high = wilson(count, of, 0.95)
    return {"n": of, "count": count, "share": count / of, "low": low, "high": high}
