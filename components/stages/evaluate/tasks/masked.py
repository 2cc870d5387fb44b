"""Task `masked`: how often the masked model restores the hidden word.

A share of the tokens of held-out documents is replaced by `<|mask|>`; the score is how often the model's first choice
is the token that stood there. Which tokens are hidden depends on the document alone. The rules have counted the text
the model was trained on (components/counting/hidden.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document
from components.counting.hidden import MASK_SHARE
from components.counting.registry import DOCUMENT_CACHE, posed
from components.counting.training_text import TrainingText
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, item_id, work_of
from components.training.likelihood import Scores, hidden_tokens, score

MOST_TOKENS = 60_000
"""Tokens read at most (all sources together): a few thousand hidden ones bound the score to about one percent."""


@dataclass(frozen=True, eq=False)
class MaskedWindow:
    """Part of a document, and which of its positions are hidden."""

    document: Document
    ids: np.ndarray
    hidden: np.ndarray


def masked(context: EvalContext) -> TaskResult:
    """Accuracy and log-loss on hidden tokens."""
    result = TaskResult("masked", model="pretrain/masked")
    model = context.masked
    masked_windows = windows(model, context.heldout, context.params.seed)
    if not masked_windows:
        raise NotApplicable("the held-out documents are too short to hide a token")
    guesses = guessed_by_rules(context.masked_training_text, masked_windows)
    for window, scores, *guessed in zip(masked_windows, restore(model, masked_windows), *guesses.values(), strict=True):
        document, size = window.document, len(scores.hit)
        where: dict[str, Any] = {"condition": document.source, "weight": size} | work_of(document)
        name = item_id(document.id, window.ids.tobytes(), window.hidden.tobytes())
        truth = window.ids[window.hidden]
        rules = {rule: float((guess == truth).sum()) for rule, guess in zip(guesses, guessed, strict=True)}
        result.item("accuracy", name, scores.hit.sum(), rules=rules, **where)
        result.item("nats_per_token", name, -scores.total, direction="lower", **where)
    total = result.estimate("accuracy").within(0, 1)
    num_hidden = int(sum(row["weight"] for row in result.rows("accuracy")))
    result.metric("accuracy", total)
    result.metric("nats_per_token", result.estimate("nats_per_token"), bounds=False)
    result.facts |= {"hidden_tokens": num_hidden}
    baseline = result.baseline("accuracy")
    note = f"{num_hidden} hidden tokens"
    shown: dict[str, Any] = {"kind": "knowledge", "headline": True, "primary": True, "column": "mlm"}
    result.score("accuracy", "masked tokens restored", total, baseline, note, **shown)
    return result


def guessed_by_rules(seen: TrainingText, asked: Sequence[MaskedWindow]) -> dict[str, list[np.ndarray]]:
    """Rule -> ids of each window's hidden places; the best rule also where it reads all windows of a document."""
    by_document: dict[str, list[MaskedWindow]] = {}
    for one in asked:
        by_document.setdefault(one.document.id, []).append(one)
    documents = [
        (np.concatenate([one.ids for one in parts]), np.concatenate([one.hidden for one in parts]))
        for parts in by_document.values()
    ]
    predictions = posed("hidden", seen, [*((one.ids, one.hidden) for one in asked), *documents])
    whole: dict[MaskedWindow, np.ndarray] = {}
    for parts, guess in zip(by_document.values(), predictions["two-sided cache"][len(asked) :], strict=True):
        ends = np.cumsum([one.hidden.sum() for one in parts])[:-1]
        whole |= dict(zip(parts, np.split(guess, ends), strict=True))
    guesses = {name: rows[: len(asked)] for name, rows in predictions.items()}
    return guesses | {DOCUMENT_CACHE: [whole[one] for one in asked]}


def windows(model: LanguageModel, documents: list[Document], seed: int) -> list[MaskedWindow]:
    """The beginnings of documents, one window each in turn, until `MOST_TOKENS`; then their next windows."""
    ids = [np.array(model.encode(document.text)) for document in documents]
    parts, total = [], 0
    for start in range(0, max(map(len, ids), default=0), model.context):
        for document, ids_of_document in zip(documents, ids, strict=True):
            part = ids_of_document[start : start + model.context]
            if total >= MOST_TOKENS or len(part) < 8:
                continue
            key = int.from_bytes(bytes.fromhex(sha256_bytes(f"{seed} {document.id} {start}".encode())[:16]))
            hidden = np.random.default_rng(key).random(len(part)) < MASK_SHARE
            hidden[0] = part[0] != 0 and hidden[0]
            hidden[-1] |= not hidden.any()
            parts.append(MaskedWindow(document, part, hidden))
            total += len(part)
    return parts


def restore(model: LanguageModel, masked_windows: Sequence[MaskedWindow]) -> list[Scores]:
    """Scores of each window's hidden tokens."""
    return score(model.model, [hidden_tokens(one.ids, np.flatnonzero(one.hidden)) for one in masked_windows])
