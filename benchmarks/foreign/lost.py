"""Good documents that the filter and the bias stage drop: four languages, and text on medicine, law and groups.

All of it was written to be read, so each that goes counts as lost; machine tables among it count too. Against the goal
stands the upper bound of Wilson's interval for a language, and the share itself for a kind of text.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.foreign.labels import share
from benchmarks.foreign.texts import by_language, entries_about
from benchmarks.results import goal
from components.corpus.corpus import Document
from components.params import Bias, Filter
from components.stages.bias.stage import drops, judge
from components.stages.filter.stage import decide, tag

SAMPLE, PIECE_CHARS, LEAST_BYTES = 600, 2000, 40
KINDS = ("medical", "legal", "identity")


def measure() -> tuple[dict, list[dict]]:
    """Shares lost by language and kind, with the rules."""
    results, goals = dict[str, Any](), list[dict]()
    for language, texts in by_language().items():
        pieces = [text[at : at + PIECE_CHARS] for text in texts for at in range(0, len(text), PIECE_CHARS)]
        results[f"lost_{language}"] = found = lost(pieces)
        goals.append(goal(f"good_documents_lost_{language}", found["high"], 0.03, "lower"))
    for kind in KINDS:
        results[f"lost_{kind}"] = found = lost(list(entries_about(kind)))
        goals.append(goal(f"good_documents_lost_{kind}", found["share"], 0.05, "lower"))
    return results, goals


def lost(texts: Sequence[str]) -> dict[str, Any]:
    """The share of a sample that goes by any rule of the filter, or as toxic."""
    texts = [text for text in dict.fromkeys(texts) if len(text.encode()) >= LEAST_BYTES]
    fields: dict[str, Any] = dict.fromkeys(Document.__slots__[2:-1], "a")
    sample = random.Random(0).sample(texts, min(SAMPLE, len(texts)))
    documents = [Document(str(number), text, **fields) for number, text in enumerate(sample)]
    gone = {number: rule for number, (rule, _) in decide(Filter(), ["a"] * len(sample), tag(documents, [])).items()}
    judged = judge(documents, Bias()).documents
    gone |= {number: "toxic" for number, one in enumerate(judged) if drops(one, Bias())}
    unjudged = sum(not one.enough_scored for one in judged)
    return share(len(gone), len(sample)) | {"rules": dict(Counter(gone.values())), "not_judged_language": unjudged}
