"""Classification: batches, verdicts against scikit-learn, examples that are refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers.loss.loss_utils import ForSequenceClassificationLoss

from components.instruction_pairs.examples import Passage
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.stages.finetune.classifier import Classifier
from components.stages.finetune.classify import (
    classifier_scores,
    first_of_each,
    indicators,
    loss,
    targets_of,
    truth_of,
)
from components.tokens.tokenizer import Encoder, train_bpe
from components.training.objectives import Batch

TEXT = Path(torch.functional.__file__).read_text()
ENCODER = Encoder(train_bpe([TEXT], 400).to_str())


def passages(count: int, clusters: int, seed: int = 1) -> list[Passage]:
    rng = np.random.default_rng(seed)
    return [Passage(TEXT[i * 50 : i * 50 + 40], int(rng.integers(3)), str(i % clusters)) for i in range(count)]


def test_verdict_agrees_with_scikit_learn() -> None:
    asked = passages(120, 30)
    truth = [passage.label for passage in asked]
    rng = np.random.default_rng(2)
    predicted = np.where(rng.random(120) < 0.6, truth, rng.integers(0, 3, 120)).tolist()
    found = classifier_scores(indicators(predicted, 3), asked)
    assert found.accuracy.value == pytest.approx(accuracy_score(truth, predicted))
    assert found.macro_f1.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found.confusion.sum() == 120
    for score in (found.accuracy, found.macro_f1):
        assert 0 < score.low < score.value < score.high < 1  # type: ignore[operator]
    never = f1_score(truth, [0] * 120, average="macro", zero_division=0)  # classes that are never named count zero
    assert classifier_scores(indicators([0] * 120, 3), asked).macro_f1.value == pytest.approx(never)


def test_a_perfect_score_still_has_an_interval_and_one_document_gives_none() -> None:
    for clusters, low in ((5, 0.47), (60, 0.93)):
        asked = passages(60, clusters)
        perfect = classifier_scores(truth_of(asked, 3), asked).accuracy
        assert perfect.value == perfect.high == 1.0
        assert low < perfect.low < 0.95  # type: ignore[operator]
    found = classifier_scores(indicators([0] * 20, 3), passages(20, 1))
    assert found.accuracy.low is None
    assert (found.macro_f1.low, found.macro_f1.high) == (None, None)
    assert found.macro_f1.variance == "no interval: 1 groups of items, at least 5 are needed"


def test_several_classes_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth_NK, said_NK = rng.random((80, 4)) < 0.4, rng.random((80, 4)) < 0.4
    said_NK[:50] = truth_NK[:50]
    asked = [Passage("", tuple(np.flatnonzero(row).tolist()), str(row_number % 20))
             for row_number, row in enumerate(truth_NK)]  # fmt: skip
    found = classifier_scores(said_NK, asked)
    assert found.accuracy.value == pytest.approx(accuracy_score(truth_NK, said_NK))
    assert found.macro_f1.value == pytest.approx(f1_score(truth_NK, said_NK, average="macro"))
    assert found.confusion.diagonal().tolist() == (truth_NK & said_NK).sum(0).tolist()


@torch.inference_mode()
def test_the_losses_are_those_of_transformers() -> None:
    shape = derive_shape(ModelShape(size=1, width=32, heads=1), 400, 64, causal=False)
    rng = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(6, 400, (5, 12), generator=rng)
    for problem, labels, num_labels in (
        ("single_label_classification", [0, 2, 1, 1, 0], 3),
        ("multi_label_classification", [(0,), (), (0, 1, 2), (2,), (1,)], 3),
    ):
        model = Classifier(Transformer(shape).initialise(1), num_labels).initialise_head(1)
        torch.nn.init.normal_(model.classifier.weight, generator=rng)
        asked = [Passage("", label, "") for label in labels]
        targets = targets_of(asked, problem, num_labels)
        batch = Batch(ids_BT, targets)
        config = SimpleNamespace(problem_type=problem, num_labels=num_labels)
        theirs = ForSequenceClassificationLoss(targets, model(ids_BT), config)
        torch.testing.assert_close(loss(model, batch) / batch.num_targets, theirs)


def test_a_number_of_labels_is_that_number_though_a_class_is_small() -> None:
    """The curve is read by its number of labels; equal classes give what they always gave."""
    rare = [Passage("rare", 1, str(place)) for place in range(10)]
    common = [Passage("common", 0, str(place)) for place in range(590)]
    for count in (16, 64, 256):
        few = first_of_each([*common, *rare], count)
        assert len(few) == count
        assert sum(one.label == 1 for one in few) == min(10, count // 2)
    even = [Passage("a", place % 2, str(place)) for place in range(40)]
    assert first_of_each(even, 16) == [*even[:16:2], *even[1:16:2]]
    assert len(first_of_each([*rare[:3], *common[:4]], 100)) == 7
