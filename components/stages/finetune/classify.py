"""Classification with a masked or a causal model: training batches, and scores of its predictions.

A passage is given as plain tokens, as `transformers`' tokenizer gives them. It is of one class, or
of any number of them. On held-out passages: accuracy and macro F1 with intervals over works, beside
TF-IDF (tfidf.py), of which tfidf.py says whether it is to be used.

Legend: N passages, B passages of a batch, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from components.instruction_pairs.examples import Passage, ProblemType
from components.params import Numerics
from components.stages.finetune.classifier import AnyClassifier
from components.stages.finetune.training import Batches
from components.statistics import Estimate, cluster_table, jackknife_interval, ratio
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import PAD
from components.training import numerics as floats
from components.training.likelihood import BATCH_TOKENS, batches
from components.training.objectives import Batch, padded


def loss(model: AnyClassifier, batch: Batch) -> Tensor:
    """Cross entropy of the class, or of whether each of K classes is one. Summed."""
    logits_BK, targets = model(batch.ids_BT).float(), batch.targets
    if targets.ndim == 2:
        return F.binary_cross_entropy_with_logits(logits_BK, targets, reduction="sum")
    return F.cross_entropy(logits_BK, targets, reduction="sum")


def targets_of(passages: Sequence[Passage], problem: ProblemType, num_labels: int) -> Tensor:
    """Targets of passages: int64 (N,) classes, or float32 (N, K) which classes."""
    if problem == "multi_label_classification":
        return torch.from_numpy(truth_of(passages, num_labels)).float()
    return torch.tensor([passage.label for passage in passages])


def indicators(labels: Sequence[Any], num_labels: int) -> np.ndarray:
    """Bool (N, K), which classes: from the index of a class or a tuple of indices each."""
    targets_NK = np.zeros((len(labels), num_labels), dtype=bool)
    for row, label in enumerate(labels):
        targets_NK[row, list(label) if isinstance(label, tuple) else label] = True
    return targets_NK


def first_of_each(passages: Sequence[Passage], count: int) -> list[Passage]:
    """The first `count` passages, of each class equally many as far as it has them."""
    if not isinstance(passages[0].label, int):
        return list(passages[:count])
    by_class: dict[int, list[Passage]] = {}
    for passage in passages:
        by_class.setdefault(passage.label, []).append(passage)
    remaining, quota = count, {}
    for number, label in enumerate(sorted(by_class, key=lambda label: len(by_class[label]))):
        quota[label] = min(len(by_class[label]), max(1, remaining // (len(by_class) - number)))
        remaining -= quota[label]  # what a small class lacks, larger ones give
    return [passage for label, group in by_class.items() for passage in group[: quota[label]]]


def encoded(encoder: AnyEncoder, passages: Sequence[Passage], context: int) -> list[list[int]]:
    """Ids of each passage, at most `context`."""
    return [encoder.passage(passage.text, context) for passage in passages]


def passage_batches(ids: Sequence[Sequence[int]], targets: Tensor, batch: int, seed: int, pad: int = PAD) -> Batches:
    """Training batches of passages."""

    def make_batch(indices: list[int]) -> Batch:
        return Batch(padded([ids[index] for index in indices], pad), targets[indices])

    return Batches(len(ids), batch, seed, make_batch)


@torch.inference_mode()
def predict(
    model: AnyClassifier,
    ids: Sequence[Sequence[int]],
    numerics: Numerics,
    problem: ProblemType = "single_label_classification",
) -> np.ndarray:
    """Probabilities of the classes: float64 (N, K). Batches hold passages of similar length."""
    device = next(model.parameters()).device
    probability_NK = np.zeros((len(ids), model.num_labels))
    for rows in batches([len(row) for row in ids], BATCH_TOKENS):
        with floats.autocast(numerics):
            logits_BK = model(padded([ids[index] for index in rows], model.pad).to(device))
        probability_NK[rows] = probabilities(logits_BK.float(), problem).double().cpu().numpy()
    return probability_NK


def probabilities(logits_BK: Tensor, problem: ProblemType) -> Tensor:
    """Probabilities (B, K) of the classes, as the text-classification pipeline of `transformers` computes them."""
    return logits_BK.sigmoid() if problem == "multi_label_classification" else logits_BK.softmax(-1)


def decided(probability_NK: np.ndarray, problem: ProblemType) -> np.ndarray:
    """Predicted classes, bool (N, K): the likeliest, or those more likely than not."""
    if problem == "multi_label_classification":
        return probability_NK > 0.5
    return indicators(probability_NK.argmax(axis=1).tolist(), probability_NK.shape[1])


def truth_of(passages: Sequence[Passage], num_labels: int) -> np.ndarray:
    """Classes of each passage: bool (N, K)."""
    return indicators([passage.label for passage in passages], num_labels)


def right_of(predicted_NK: np.ndarray, passages: Sequence[Passage]) -> np.ndarray:
    """1.0 for each passage with just the predicted classes, else 0.0: float (N,)."""
    return (truth_of(passages, predicted_NK.shape[1]) == predicted_NK).all(axis=1).astype(float)


@dataclass(frozen=True)
class ClassifierScores:
    """Comparison of predictions with the truth.

    Attributes:
        confusion: (K, K), passages by true class and predicted class; those of several classes
            count in each.
        accuracy: share that `right_of` says, with its interval.
        macro_f1: mean over the classes of their F1, with its interval (none for few works, or all
            alike).
    """

    confusion: np.ndarray
    accuracy: Estimate
    macro_f1: Estimate


def works_of(passages: Sequence[Passage]) -> tuple[list[str], list[str]]:
    """Cluster and stratum of each passage."""
    return [passage.cluster for passage in passages], [passage.stratum for passage in passages]


def over_works(scores: Sequence[float] | np.ndarray, passages: Sequence[Passage], paired: bool = False) -> Estimate:
    """Mean of a score of each passage with its interval over works; `paired`: of differences."""
    clusters, strata = works_of(passages)
    return ratio(np.asarray(scores).tolist(), None, clusters, strata=strata, paired=paired)


def classifier_scores(predicted_NK: np.ndarray, passages: Sequence[Passage]) -> ClassifierScores:
    """Compare predicted classes with the passages' own."""
    num_labels = predicted_NK.shape[1]
    truth_NK = truth_of(passages, num_labels)
    columns = [*(truth_NK & predicted_NK).T, *(truth_NK.astype(float) + predicted_NK).T, np.ones(len(passages))]
    table, strata = cluster_table(columns, *works_of(passages))
    counts, sizes = table[:, :-1].reshape(-1, 2, num_labels), table[:, -1]
    bounds = jackknife_interval(counts, macro_f1, sizes=sizes, strata=strata)
    low, high = bounds if bounds[0] != bounds[1] else (None, None)  # all right or all wrong: no spread to tell from
    confusion = truth_NK.T.astype(int) @ predicted_NK.astype(int)
    value = float(macro_f1(counts.sum(axis=0, keepdims=True))[0])
    accuracy = over_works(right_of(predicted_NK, passages), passages)
    alike = low is None and accuracy.low is not None
    why = "no interval: the same without any of the works" if alike else accuracy.variance
    macro = replace(accuracy, value=value, low=low, high=high, variance=why).within(0, 1)
    return ClassifierScores(confusion, accuracy, macro)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over those of K classes that were named or true, from how often each was both and either, (N, 2, K)."""
    f1 = 2 * counts[:, 0] / np.maximum(counts[:, 1], 1)
    return f1.sum(axis=-1) / np.maximum(1, (counts[:, 1] > 0).sum(axis=-1))
