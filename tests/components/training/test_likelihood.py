"""Scores are those of one token at a time, whatever shares the batch."""

import numpy as np
import pytest
import torch

from components.model.transformer import Transformer
from components.training import likelihood
from components.training.likelihood import hidden_tokens, next_tokens, score
from tests.components.model.test_transformer import network

MASK = 2


def texts(*sizes: int) -> list[list[int]]:
    """Ids of texts of these sizes."""
    draw = np.random.default_rng(0)
    return [draw.integers(7, 60, size).tolist() for size in sizes]


def by_hand(model: Transformer, shown: list[int], place: int) -> torch.Tensor:
    """Log-probabilities (V,) at a place of a text alone."""
    with torch.no_grad():
        return model(torch.tensor([shown]))[0, place].double().log_softmax(-1)


def test_the_last_tokens_of_causal_texts_are_asked_after_those_before() -> None:
    model, rows = network(), texts(30, 3, 17)
    for ids, count, found in zip(rows, (4, 2, 16), score(model, [*map(next_tokens, rows, (4, 2, 16))]), strict=True):
        expected = [by_hand(model, ids[:end], -1)[ids[end]].item() for end in range(len(ids) - count, len(ids))]
        assert found.logp == pytest.approx(expected, abs=1e-4)
        assert np.array_equal(found.hit, np.isclose(found.top, found.logp, rtol=0, atol=0))
        assert found.total == pytest.approx(sum(expected), abs=1e-3)


def test_hidden_tokens_of_masked_texts_are_asked_at_their_places_and_padding_is_unseen() -> None:
    model, rows = network(causal=False), texts(30, 9)
    for ids, found in zip(rows, score(model, [hidden_tokens(ids, [1, 7]) for ids in rows]), strict=True):
        shown = [MASK if place in (1, 7) else id for place, id in enumerate(ids)]
        expected = [by_hand(model, shown, place)[ids[place]].item() for place in (1, 7)]
        assert found.logp == pytest.approx(expected, abs=1e-4)


def test_few_logits_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = network(), [next_tokens(ids) for ids in texts(30, 3, 17)]
    whole = score(model, rows)
    monkeypatch.setattr(likelihood, "MAX_LOGITS", 3 * model.shape.vocab_size)
    for one, other in zip(whole, score(model, rows), strict=True):
        assert one.logp == pytest.approx(other.logp, abs=1e-5)
