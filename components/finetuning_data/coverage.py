"""What a training on rows, or its score, does not cover: rows that no step sees, held-out answers known from training.

Rows are not grouped by their answers (split.py), since short ones (names, numbers) rightly repeat. But a model that
recites its training answers does well on held-out rows that have the same, so those are counted.
"""

import math
from collections.abc import Iterable

from components.finetuning_data.rows import Chat, Preference, Row


def learned_answers(rows: Iterable[Row]) -> list[str]:
    """All answers of rows that are learned: those of chats, the better ones of preferences."""
    found = []
    for row in rows:
        messages = row.messages if isinstance(row, Chat) else ()
        found += [message.content for message in messages if message.role == "assistant" and message.learned]
        found += [row.chosen] if isinstance(row, Preference) else []
    return found


def num_known(train: Iterable[Row], heldout: Iterable[Row]) -> int:
    """How many held-out rows have a last answer that is, word for word, also one of a training row."""
    known = {answer.strip() for answer in learned_answers(train)}
    return sum(found[-1].strip() in known for row in heldout if (found := learned_answers([row])))


def known_line(count: int, total: int) -> str:
    """That count in a sentence, without its end; nothing for none."""
    what = "held-out answers are also answers of training rows, word for word: the gain may be recall of the answers"
    return f"{count:,} of {total:,} {what}" if count else ""


def seen_line(branch: str, num_train: int, steps: int, batch: int) -> str:
    """In a sentence without its end, how few training rows so many steps see; nothing where they see all."""
    seen = steps * batch
    if seen >= num_train:
        return ""
    needed = math.ceil(num_train / batch)
    key = f"finetune.{branch}.steps"
    return f"{seen:,} of {num_train:,} training rows are seen, once; raise {key} from {steps:,} to {needed:,} for all"
