"""`greenhouse trace`: which documents hold a text, and which models saw it."""

from components.core.plain_text import plain
from flows.tracking.trace_report import report


def trace(text: str, /, *, json: bool = False) -> int:
    """Which documents hold a text, what became of them, and which models were trained on it how often.

    greenhouse trace "to be, or not to be, that is the question"     a passage: five words or more, word for word
    greenhouse trace 9f86d081884c7d65                                a document's id, or the sha256 of its text
    greenhouse trace Flask/METADATA                                  where it was read (all parts of a file)

    For each document: licence, source, place; then stage by stage the shard and row it lies in, or the rule that
    dropped it; then, per model that this checkout, its experiments or MLflow knows, how often training went over its
    tokens. That is counted from the data order, which is a function of the seed and the step. Case, punctuation and
    line breaks of a passage do not count. Exit status: 0 found, 2 nothing found, 1 an error. To have a text left out of
    the next model, put it on the opt-out list (docs/data.md).

    Args:
        text: passage, id, sha256 or location.
        json: all of it as JSON.
    """
    answer, is_found = report(text, json)
    print(plain(answer))
    return 0 if is_found else 2
