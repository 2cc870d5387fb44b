"""Classification with a masked or a causal model: training batches, and scores of its predictions.

A passage is given as plain tokens, as `transformers`' tokenizer gives them. On held-out passages: accuracy and macro F1
with intervals over documents, beside three yardsticks that need no model to be trained: guessing, always the commonest
class, and naive Bayes on the passage's tokens (how far counting words gets).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from components.core.errors import UserError
from components.instruction_pairs.examples import Examples, Passage
from components.params import Numerics
from components.stages.finetune.classifier import Classifier
from components.stages.finetune.instruct import drawn
from components.statistics import Estimate, jackknife_interval, ratio
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import PAD
from components.training import numerics as floats
from components.training.objectives import Batch

BATCH = 32


def loss(model: Classifier, batch: Batch) -> Tensor:
    """Cross entropy of the classes, summed over the batch."""
    return F.cross_entropy(model(batch.ids_BT).float(), batch.targets, reduction="sum")


def check_classes(examples: Examples) -> None:
    """Refuse examples that teach nothing, before any training.

    Raises:
        UserError: a single class, a class without a training example, or all training texts the same.
    """
    train: Any = examples.train
    trained = {passage.label for passage in train}
    if len(examples.labels) < 2:
        raise UserError(f"finetune.classify.data: all rows are of the class {examples.labels[0]!r}; give at least two")
    for label, name in enumerate(examples.labels):
        if label not in trained:
            raise UserError(f"finetune.classify.data: no training example is of the class {name!r}; add some, or drop "
                            "its rows")  # fmt: skip
    if len({passage.text for passage in train}) == 1:
        raise UserError("finetune.classify.data: all training texts are the same; nothing can be learned from them")


def first_of_each(passages: Sequence[Passage], count: int) -> list[Passage]:
    """The first `count` passages, equally many of each class."""
    by_class: dict[int, list[Passage]] = {}
    for passage in passages:
        by_class.setdefault(passage.label, []).append(passage)
    return [passage for mine in by_class.values() for passage in mine[: max(1, count // len(by_class))]]


def encoded(encoder: AnyEncoder, passages: Sequence[Passage], context: int) -> list[list[int]]:
    """Ids of each passage, at most `context`."""
    return [encoder.passage(passage.text, context) for passage in passages]


def padded(rows: Sequence[Sequence[int]], pad: int = PAD) -> Tensor:
    """Ids as int64 (B, longest), filled with `pad`."""
    longest = max(len(ids) for ids in rows)
    return torch.tensor([[*ids, *[pad] * (longest - len(ids))] for ids in rows], dtype=torch.int64)


@dataclass(frozen=True)
class PassageBatches:
    """The n-th training batch, a function of the seed and n alone: every epoch shuffles the passages anew."""

    ids: Sequence[Sequence[int]]
    labels: Sequence[int]
    batch: int
    seed: int
    pad: int = PAD

    def __call__(self, number: int) -> Batch:
        chosen = drawn(number, self.batch, len(self.ids), self.seed)
        return Batch(padded([self.ids[i] for i in chosen], self.pad), torch.tensor([self.labels[i] for i in chosen]))


@torch.inference_mode()
def predict(model: Classifier, ids: Sequence[Sequence[int]], numerics: Numerics) -> np.ndarray:
    """Probabilities of the classes: float64 (num_passages, num_labels). Batches hold passages of similar length."""
    order = sorted(range(len(ids)), key=lambda index: (-len(ids[index]), index))
    device = next(model.parameters()).device
    found = np.zeros((len(ids), model.num_labels))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        with floats.autocast(numerics):
            logits_BC = model(padded([ids[index] for index in rows], model.pad).to(device))
        found[rows] = logits_BC.float().softmax(-1).double().cpu().numpy()
    return found


@dataclass(frozen=True)
class ClassifierScores:
    """Comparison of predictions with the truth.

    Attributes:
        confusion: (num_clusters, K, K), passages by document, true class and predicted class.
        accuracy: with its interval.
        macro_f1: mean over the classes of their F1, and the bounds of its interval (None for a single document).
    """

    confusion: np.ndarray
    accuracy: Estimate
    macro_f1: tuple[float, float | None, float | None]


def verdict(predicted: np.ndarray, passages: Sequence[Passage], num_labels: int) -> ClassifierScores:
    """Compare predicted classes (num_passages,) with the passages' own."""
    truth = np.array([passage.label for passage in passages])
    names = [passage.cluster for passage in passages]
    _, cluster = np.unique(names, return_inverse=True)
    confusion = np.zeros((cluster.max() + 1, num_labels, num_labels))
    np.add.at(confusion, (cluster, truth, predicted), 1)
    accuracy = ratio((predicted == truth).astype(float).tolist(), None, names)
    value = float(macro_f1(confusion.sum(axis=0, keepdims=True))[0])
    return ClassifierScores(confusion, accuracy, (value, *jackknife_interval(confusion, macro_f1)))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes from tables (N, K, K) of true by predicted class; a class nobody named counts 0."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    named = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return (2 * right / np.maximum(named, 1)).mean(axis=-1)


def naive_bayes(
    train: Sequence[Sequence[int]], labels: Sequence[int], test: Sequence[Sequence[int]], vocab_size: int
) -> np.ndarray:
    """Classes (num_test,) by multinomial naive Bayes on token counts, add-one smoothed, all classes equally likely."""
    counts = np.ones((max(labels) + 1, vocab_size))
    for ids, label in zip(train, labels, strict=True):
        np.add.at(counts[label], ids, 1)
    log_share = np.log(counts / counts.sum(axis=1, keepdims=True))
    return np.array([int(log_share[:, ids].sum(axis=1).argmax()) for ids in test])
