"""Baselines: probabilities that add up, the text a model was trained on, a compressor that knows its primer."""

import numpy as np
import pytest

from components.stages.evaluate.tasks.baselines import CommonestFollower, NGram, best_rule, compressed_bits
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


def test_the_training_text_is_what_the_data_order_gave(world: World) -> None:
    text = world.context().training_text
    assert len(text.ids) == STEPS * 8 * (CONTEXT + 1)
    assert text.share == 1.0


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
