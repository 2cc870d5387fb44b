"""Gaps of a training on rows, or of its score: rows that no step sees, held-out answers known from training.

Rows are not grouped by their answers (split.py), since short ones (names, numbers) rightly repeat.
But a model that recites its training answers does well on held-out rows that have the same, so
those are counted.
"""

import math
from collections import Counter
from collections.abc import Iterable

from components.finetuning_data.rows import JOINED, Chat, Preference, Row
from components.finetuning_data.split import Split, classes_of


def learned_answers(rows: Iterable[Row]) -> list[str]:
    """All answers of rows that are learned: those of chats, the better ones of preferences."""
    answers = []
    for row in rows:
        messages = row.messages if isinstance(row, Chat) else ()
        answers += [message.content for message in messages if message.role == "assistant" and message.learned]
        answers += [row.chosen] if isinstance(row, Preference) else []
    return answers


def num_known(train: Iterable[Row], heldout: Iterable[Row]) -> int:
    """How many held-out rows have a last answer that is, word for word, also one of a training row."""
    known = {answer.strip() for answer in learned_answers(train)}
    return sum(answers[-1].strip() in known for row in heldout if (answers := learned_answers([row])))


def known_line(count: int, total: int) -> str:
    """That count in a sentence; nothing for none."""
    caveat = "held-out answers are also answers of training rows, word for word: the gain may be recall of the answers."
    return f"{count:,} of {total:,} {caveat}" if count else ""


def seen_line(branch: str, num_train: int, steps: int, batch: int) -> str:
    """In a sentence how few training rows so many steps see; nothing where they see all."""
    seen = steps * batch
    if seen >= num_train:
        return ""
    needed = math.ceil(num_train / batch)
    key = f"finetune.{branch}.steps"
    return f"{seen:,} of {num_train:,} training rows are seen, once; raise {key} from {steps:,} to {needed:,} for all."


def notes(rows: Split) -> list[str]:
    """Sentences, without their ends, on what is held out or left out, and on classes that may be meant otherwise."""
    learned, tested = ({name for row in some for name in classes_of(row)} for some in (rows.train, rows.heldout))
    lines = [rows.given] if rows.given else []
    if rows.beyond:
        lines.append(f"{rows.beyond} more rows are left out, by max_pairs")
    if untested := sorted(learned - tested):
        names = ", ".join(map(repr, untested[:5])) + (", ..." if len(untested) > 5 else "")
        lines.append(f"no held-out row is of the classes {names}: no score here is about them")
    return lines + _doubtful_classes(learned)


def _doubtful_classes(names: set[str]) -> list[str]:
    """Names that differ in case alone are often one class; one that is others joined, the classes of a text."""
    spelt = Counter(name.casefold() for name in names)
    alike = sorted(name for name in names if spelt[name.casefold()] > 1)
    joined = sorted(name for name in names if names > {*JOINED.split(name)} != {name})
    lines = [f"classes that differ in case alone: {', '.join(map(repr, alike[:6]))}; if two mean one, write them alike "
             "in the file, for as they are they count against each other"] if alike else []  # fmt: skip
    more = "is others joined: --columns with labels=COLUMN, and not label, gives a text several classes"
    return lines + [f"the class {name!r} {more}" for name in joined[:1]]
