"""Task `masked`: how often the masked model restores the hidden word.

A share of the tokens of held-out documents is replaced by `<|mask|>`; the score is how often the model's first choice
is the token that stood there. Which tokens are hidden depends on the document alone. Guessing is always saying the most
frequent token.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document
from components.stages.evaluate.tasks.scoring import LanguageModel, batches, padded
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, work_of

NAME = "masked"
MASK = 2
MASK_SHARE = 0.15
MOST_TOKENS = 60_000
"""Tokens read at most (all sources together): a few thousand hidden ones bound the score to about one percent."""


@dataclass(frozen=True)
class MaskedWindow:
    """Part of a document, and which of its positions are hidden."""

    document: Document
    ids: np.ndarray
    hidden: np.ndarray


def masked(context: EvalContext) -> TaskResult:
    """Accuracy and log-loss on hidden tokens, per source."""
    result = TaskResult(NAME)
    model = context.masked
    masked_windows = windows(model, context.heldout, context.params.seed)
    if not masked_windows:
        raise NotApplicable("the held-out documents are too short to hide a token")
    truth = Counter[int]()
    hits: dict[str, list[float]] = {}
    documents = {window.document.id: window.document for window in masked_windows}
    for window, hit, nats in restore(model, masked_windows):
        row = hits.setdefault(window.document.id, [0.0, 0.0, 0.0])
        row[0] += hit.sum()
        row[1] += nats.sum()
        row[2] += len(hit)
        truth.update(window.ids[window.hidden].tolist())
    for name, (right, loss, size) in hits.items():
        place: dict[str, Any] = {"condition": documents[name].source, "weight": size} | work_of(documents[name])
        result.item("accuracy", name, right, **place)
        result.item("nats_per_token", name, loss, direction="lower", **place)
    _summarise(
        result,
        context,
        sorted({document.source for document in documents.values()}),
        max(truth.values()) / sum(truth.values()),
    )
    return result


def _summarise(result: TaskResult, context: EvalContext, sources: list[str], chance: float) -> None:
    total = result.estimate("accuracy", context.resampling)
    num_hidden = int(sum(row["weight"] for row in result.items if row["metric"] == "accuracy"))
    result.metric("accuracy", total)
    result.metric("nats_per_token", result.estimate("nats_per_token", context.resampling), bounds=False)
    result.facts |= {"chance": chance, "hidden_tokens": num_hidden}
    note = f"{num_hidden} hidden tokens; chance = always the most frequent one"
    result.highlight("masked tokens restored", total, chance, note)
    result.facts["by_source"] = {
        name: result.estimate("accuracy", context.resampling, name).as_dict() for name in sources
    }


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


def restore(
    model: LanguageModel, masked_windows: list[MaskedWindow]
) -> list[tuple[MaskedWindow, np.ndarray, np.ndarray]]:
    """Whether each hidden token is the model's first choice, and its negative log-probability (nats)."""
    import torch

    restored = []
    with torch.inference_mode():
        for indices in batches([len(window.ids) for window in masked_windows], model.batch_tokens):
            part = [masked_windows[index] for index in indices]
            shown = [np.where(window.hidden, MASK, window.ids).tolist() for window in part]
            ids_BT = padded(shown, model.device)
            lengths_B = torch.tensor([len(ids) for ids in shown], device=model.device)
            inside_BT = torch.arange(ids_BT.shape[1], device=model.device) < lengths_B[:, None]
            hidden_BTD = model.model.hidden(ids_BT, inside_BT.long())  # padding is a document of its own
            for row, window in enumerate(part):
                places = torch.from_numpy(np.flatnonzero(window.hidden)).to(model.device)
                logp_NV = (hidden_BTD[row, places] @ model.model.head_weight.T).float().log_softmax(-1)
                truth_N = torch.from_numpy(window.ids[window.hidden]).to(model.device)
                nats_N = -logp_NV.gather(-1, truth_N[:, None])[:, 0].double()
                restored.append((window, (logp_NV.argmax(-1) == truth_N).cpu().numpy(), nats_N.cpu().numpy()))
    return restored
