"""Good documents that the filter and the bias stage drop: four languages, and text on medicine, law and groups.

All of it was written to be read, so each that goes counts as lost; machine tables among it count too. Against the goal
stands the upper bound of Wilson's interval for a language, and the share itself for a kind of text.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.foreign.labels import share
from benchmarks.foreign.texts import by_language, documents_of, entries_about, verdicts
from benchmarks.results import goal, write_rows
from components.core.files import sha256_bytes
from components.params import Bias
from components.stages.bias.stage import drops, judge

SAMPLE, PIECE_CHARS, LEAST_BYTES = 600, 2000, 40
KINDS = ("medical", "legal", "identity")


def measure() -> tuple[dict, list[dict]]:
    """Shares lost by language and kind, with the rules."""
    groups = {
        language: [text[at : at + PIECE_CHARS] for text in texts for at in range(0, len(text), PIECE_CHARS)]
        for language, texts in by_language().items()
    } | {kind: list(entries_about(kind)) for kind in KINDS}
    results, goals, rows = dict[str, Any](), list[dict](), list[dict]()
    for name, texts in groups.items():
        found = lost(texts)
        rows += [{"group": name, "hash": key, "rule": rule} for key, rule in found.pop("gone").items()]
        results[f"lost_{name}"] = found
        value, limit = (found["share"], 0.05) if name in KINDS else (found["high"], 0.03)
        says = "" if name in KINDS else "upper bound; "
        says += f"of toxicity {found['n'] - found['not_judged_language']} of {found['n']} could be judged"
        goals.append(goal(f"good_documents_lost_{name}", value, limit, "lower", says))
    write_rows("foreign-lost", rows)
    return results, goals


def lost(texts: Sequence[str]) -> dict[str, Any]:
    """The share of a sample that goes by any rule of the filter, or as toxic; `gone` has the rules by hash."""
    texts = [text for text in dict.fromkeys(texts) if len(text.encode()) >= LEAST_BYTES]
    sample = random.Random(0).sample(texts, min(SAMPLE, len(texts)))
    gone = verdicts(sample)
    judged = judge(documents_of(sample), Bias()).documents
    gone |= {number: "toxic" for number, one in enumerate(judged) if drops(one, Bias())}
    unjudged = sum(not one.enough_scored for one in judged)
    by_hash = {sha256_bytes(sample[number].encode())[:16]: rule for number, rule in sorted(gone.items())}
    rules = {"rules": dict(Counter(gone.values())), "gone": by_hash}
    return share(len(gone), len(sample)) | {"not_judged_language": unjudged} | rules
