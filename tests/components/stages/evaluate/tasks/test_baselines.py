"""Baselines: probabilities that add up, the text a model was trained on, a compressor that knows its primer."""

import numpy as np
import pytest

from components.stages.evaluate.tasks.baselines import (
    CacheNGram,
    CommonestFollower,
    NGram,
    best_rule,
    compressed_bits,
)
from tests.components.stages.evaluate.conftest import CONTEXT, STEPS, World


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_of_all_next_tokens_add_up_to_one(order: int) -> None:
    ids = np.random.default_rng(1).integers(0, 12, 400) // 2
    ngram = NGram([ids], order, vocab_size=8)
    for context in ([1, 2, 3], [0, 0, 7], [5, 5, 5]):
        total = sum(np.exp(ngram.logp([*context, token])[-1]) for token in range(8))
        assert total == pytest.approx(1.0)


def test_bigram_probability_by_hand() -> None:
    """Pairs: 1>2 twice, 2>1 twice, 1>3 once. Of the lower order each of 1, 2, 3 has one pair that ends in it."""
    ngram = NGram([np.array([1, 2, 1, 2, 1, 3])], 2, vocab_size=4)
    discount, lower_discount = (1 + 1) / (1 + 2 * 2 + 2), (3 + 1) / (3 + 2)
    unigram = (1 - lower_discount) / 3 + lower_discount * 3 / 3 / 4
    assert np.exp(ngram.logp([1, 2])[0]) == pytest.approx((2 - discount) / 3 + discount * 2 / 3 * unigram)


def test_a_longer_context_predicts_a_repeated_text_better() -> None:
    ids = np.tile(np.random.default_rng(2).integers(0, 50, 60), 20)
    scores = [NGram([ids], order, 50).logp(ids[:60]).sum() for order in (1, 2, 3)]
    assert scores == sorted(scores)


def test_with_a_cache_probabilities_add_up_too_and_nothing_is_read_ahead_or_from_another_window() -> None:
    draw = np.random.default_rng(1)
    windows = [draw.integers(0, 8, 41) for _ in range(40)]
    model = CacheNGram(windows, 3, vocab_size=8, context=5)
    for context in ([1], [1, 2, 1, 2, 1], [1, 2, 3, 4, 5, 6, 7, 1, 2]):
        total = sum(np.exp(model.logp([*context, token])[-1]) for token in range(8))
        assert total == pytest.approx(1.0)
    ids = windows[0].tolist()
    assert model.logp(ids)[:7] == pytest.approx(model.logp(ids[:8]))
    other = [*(7 - np.array(ids[:5])).tolist(), *ids[5:]]  # another first window
    cached = model.logp(ids) - model.ngram.logp(ids)
    assert cached[7:] == pytest.approx((model.logp(other) - model.ngram.logp(other))[7:])


def test_a_cache_knows_what_its_window_has_shown() -> None:
    """Windows that each repeat some words of their own, as names in a play: the n-gram model cannot know which."""
    draw = np.random.default_rng(2)
    windows = [draw.choice(draw.integers(0, 500, 4), 33) for _ in range(200)]
    model = CacheNGram(windows[1:], 2, vocab_size=500, context=32)
    assert model.logp(windows[0]).sum() > model.ngram.logp(windows[0]).sum() / 2
    assert model.weights.sum() == pytest.approx(1.0)
    assert model.weights[0] < 0.5


def test_the_training_text_is_what_the_data_order_gave(world: World) -> None:
    text = world.context().training_text
    assert len(text.ids) == STEPS * 8 * (CONTEXT + 1)
    assert text.share == 1.0
    masked = world.context().masked_training_text
    assert len(masked.ids) == STEPS * 8 * CONTEXT


def test_a_compressor_that_knows_the_text_needs_few_bits() -> None:
    text = "".join(map(chr, np.random.default_rng(3).integers(97, 123, 2000)))
    known, unknown = (compressed_bits([text], primer)[0] for primer in (text, "nothing of it"))
    assert known < unknown / 20


def test_the_best_rule_is_the_one_with_the_best_total() -> None:
    rules = {"first": [1.0, 0.0], "second": [0.0, 2.0]}
    assert best_rule(rules) == ("second", [0.0, 2.0])
    assert best_rule(rules, "lower") == ("first", [1.0, 0.0])


def test_the_commonest_follower_by_hand() -> None:
    rule = CommonestFollower([np.array([1, 2, 3, 1, 2, 3, 1, 2, 4, 5, 2, 4])])
    hit, sure = rule.guess([1, 2, 4, 9, 5, 2])
    # after 1: 2, three of three; after 1 2: 3, two of three; after 2 4: 5; 4 9 and 9 unseen: 2, the commonest; 5: 2.
    assert hit.tolist() == [True, False, False, False, True]
    assert sure.tolist() == pytest.approx([3 / 4, 2 / 4, 1 / 2, 4 / 13, 1 / 2])
