"""Classification: batches, verdicts against scikit-learn, and the yardsticks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from sklearn.naive_bayes import MultinomialNB

from components.instruction_pairs.examples import Passage
from components.stages.finetune.classify import PassageBatches, encoded, naive_bayes, padded, verdict
from components.tokens.tokenizer import PAD, Encoder, train_bpe

TEXT = Path(torch.functional.__file__).read_text()
ENCODER = Encoder(train_bpe([TEXT], 400).to_str())


def passages(count: int, clusters: int, seed: int = 1) -> list[Passage]:
    rng = np.random.default_rng(seed)
    return [Passage(TEXT[i * 50 : i * 50 + 40], int(rng.integers(3)), str(i % clusters)) for i in range(count)]


def test_verdict_agrees_with_scikit_learn() -> None:
    asked = passages(120, 30)
    truth = [passage.label for passage in asked]
    rng = np.random.default_rng(2)
    predicted = np.where(rng.random(120) < 0.6, truth, rng.integers(0, 3, 120))
    found = verdict(predicted, asked, 3)
    assert found.accuracy.value == pytest.approx(accuracy_score(truth, predicted))
    assert found.macro_f1[0] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found.confusion.sum() == 120
    for value, low, high in ((found.accuracy.value, found.accuracy.low, found.accuracy.high), found.macro_f1):
        assert low is not None
        assert high is not None
        assert 0 < low < value < high < 1


def test_a_class_that_is_never_named_counts_zero() -> None:
    asked = passages(60, 20)
    truth = [passage.label for passage in asked]
    predicted = np.zeros(60, int)
    expected = f1_score(truth, predicted, average="macro", zero_division=0)
    assert verdict(predicted, asked, 3).macro_f1[0] == pytest.approx(expected)


def test_a_perfect_score_still_has_an_interval() -> None:
    for clusters, low in ((5, 0.47), (60, 0.93)):
        asked = passages(60, clusters)
        found = verdict(np.array([passage.label for passage in asked]), asked, 3).accuracy
        assert found.value == found.high == 1.0
        assert found.low is not None
        assert low < found.low < 0.95


def test_one_document_gives_no_interval() -> None:
    asked = passages(20, 1)
    found = verdict(np.zeros(20, int), asked, 3)
    assert found.accuracy.low is None
    assert found.macro_f1[1:] == (None, None)


def test_naive_bayes_agrees_with_scikit_learn() -> None:
    asked = passages(90, 90)
    ids = encoded(ENCODER, asked, 16)
    labels = [passage.label for passage in asked]
    counts = np.array([np.bincount(row, minlength=400) for row in ids])
    reference = MultinomialNB(alpha=1.0, fit_prior=False).fit(counts[:60], labels[:60])
    assert naive_bayes(ids[:60], labels[:60], ids[60:], 400).tolist() == reference.predict(counts[60:]).tolist()


def test_batches_are_a_function_of_seed_and_number() -> None:
    asked = passages(22, 22)
    ids = encoded(ENCODER, asked, 16)
    labels = list(range(22))
    batches = PassageBatches(ids, labels, 4, seed=5)
    first = [batches(number) for number in range(11)]
    assert sorted(label for batch in first for label in batch.targets.tolist()) == sorted(labels * 2)
    again = PassageBatches(ids, labels, 4, seed=5)(7)
    assert torch.equal(first[7].ids_BT, again.ids_BT)
    for batch in first:
        for row, label in zip(batch.ids_BT.tolist(), batch.targets.tolist(), strict=True):
            assert [token for token in row if token != PAD] == ids[label]


def test_padding_is_at_the_end() -> None:
    assert padded([[7, 8, 9], [10]]).tolist() == [[7, 8, 9], [10, PAD, PAD]]
