"""N-grams: probabilities that add up, nothing read ahead, the text a model was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.files import read_json, write_json
from components.corpus.corpus import read_corpus
from components.counting.ngrams import Mixture, NGram, before
from components.counting.training_text import TrainingText, WholeCorpus
from components.tokens.shards import TokenShards
from components.training.data_order import PretrainBatches
from tests.components.stages.evaluate.conftest import CONTEXT, STEPS, World


def test_bigram_probability_by_hand() -> None:
    """Pairs: 1>2 twice, 2>1 twice, 1>3 once. Of the lower order each of 1, 2, 3 has one pair that ends in it."""
    ngram = NGram([np.array([1, 2, 1, 2, 1, 3])], before(2), vocab_size=4)
    once, lower = (1 + 1) / (1 + 2 * 2 + 2), (3 + 1) / (3 + 2)  # what a count of one loses, of pairs and below
    twice = 2 - 3 * once * (0 + 1) / (2 + 1)
    unigram = (1 - lower) / 3 + lower / 4
    left = 1 - (2 - twice) / 3 - (1 - once) / 3
    assert np.exp(ngram.logp([1, 2])[0]) == pytest.approx((2 - twice) / 3 + left * unigram)


def test_a_distribution_is_that_of_all_next_tokens() -> None:
    draw = np.random.default_rng(4)
    windows = [draw.integers(0, 12, 41) // 2 for _ in range(40)]
    model = NGram(windows, before(4), vocab_size=8)
    for ids in ([1, 7], windows[0][:3].tolist(), windows[0].tolist()):  # 7 is never seen
        chances = model.distribution(np.array(ids), np.arange(1, len(ids)))
        assert chances[-1] == pytest.approx([np.exp(model.logp([*ids[:-1], token])[-1]) for token in range(8)])
        assert chances.sum(1) == pytest.approx(1.0)


def test_nothing_is_read_ahead_or_from_another_window() -> None:
    draw = np.random.default_rng(1)
    windows = [draw.integers(0, 8, 41) for _ in range(40)]
    model = Mixture(windows, [before(3)], vocab_size=8, context=5)
    ids = windows[0].tolist()
    other = [*(7 - np.array(ids[:5])).tolist(), *ids[5:]]  # another first window
    whole = model.logp(ids)
    assert len(whole) == len(ids) - 1
    assert whole[:7] == pytest.approx(model.logp(ids[:8]))
    assert whole[5:] == pytest.approx(model.logp(other)[5:])


def test_a_cache_by_hand() -> None:
    """At the last place of 3 1 2 1: one of three earlier ids is 1; none followed a 2; so the n-gram model speaks."""
    model = Mixture([np.arange(4)] * 40, [before(2)], vocab_size=4, context=4)
    known = np.exp(model.ngrams[0].logp([3, 1, 2, 1, 2]))
    parts, cases = model.parts(np.array([3, 1, 2, 1, 2]))
    assert parts[2].tolist() == pytest.approx([known[2], 1 / 3, *[known[2]] * 3])
    assert parts[3].tolist() == pytest.approx([known[3], 1 / 4, 1.0, *[known[3]] * 2]), "2 followed 1, and nothing 2 1"
    assert (cases % (model.CACHED + 1)).tolist() == [1, 1, 1, 2]


def test_a_context_may_stand_on_both_sides() -> None:
    """8 stands between 5 and 6 twice, though 9 follows 5 more often; what is beyond the window is not known."""
    seen = np.array([5, 8, 6, 5, 8, 6, 5, 9, 7, 5, 9, 7, 5, 9, 7, 4, 3, 6])
    model = NGram([seen], (-1, 1), 10)
    asked = np.array([5, 0, 6, 0])
    assert model.distribution(asked, np.array([1])).argmax() == 8
    for places in (np.array([1]), np.array([3])):
        assert model.distribution(asked, places).sum() == pytest.approx(1.0)
    unknown = NGram([seen], (1, -1), 10).distribution(np.array([5, 0, 2]), np.array([1]))[0]
    assert set(unknown.argsort()[-2:].tolist()) == {8, 9}, "of what follows 5, each before one other id"


def training_text(world: World, folder: Path, causal: bool = True, **changed: Any) -> TrainingText:
    """That of the world's model, had it been trained otherwise."""
    known = read_json(world.folders.causal / "greenhouse.json")
    training = known["training"] | changed
    write_json(folder / "greenhouse.json", known | {"training": training | {"tokens": training["steps"] * 8 * CONTEXT}})
    return TrainingText(folder, TokenShards.open(world.folders.tokens / "train"), causal)


def test_the_training_text_is_what_the_data_order_gave(world: World, tmp_path: Path) -> None:
    text = training_text(world, tmp_path, steps=STEPS // 2)
    assert len(text.ids) == STEPS // 2 * 8 * (CONTEXT + 1)
    assert text.share == 1.0
    phase, batches = text.order.phases[0], PretrainBatches(text.shards, text.order.phases, None, document_mask=False)
    assert np.array_equal(text.windows[9], batches.windows(phase).window(9))
    whole = WholeCorpus(world.folders.causal, text.shards).windows
    assert sum(len(window) - 1 for window in whole) == text.shards.num_tokens - 1, "read once"
    masked = training_text(world, tmp_path, causal=False, steps=STEPS // 2)
    assert len(masked.ids) == STEPS // 2 * 8 * CONTEXT


@pytest.mark.parametrize("length_warmup", [0.0, 0.6])
def test_text_that_was_read_several_times_is_counted_once(length_warmup: float, world: World, tmp_path: Path) -> None:
    """Counted as often as it was read, it made the rules worse with every epoch, and so the models look better."""
    once, often = (training_text(world, tmp_path, steps=steps, length_warmup=length_warmup, length_warmup_from=32)
                   for steps in (STEPS, 4 * STEPS))  # fmt: skip
    assert often.order.epochs > 4
    targets = sum(len(window) - 1 for window in often.windows)
    assert once.order.num_tokens - CONTEXT <= targets <= once.order.num_tokens
    assert len({window.tobytes() for window in often.windows}) == len(often.windows)
    heldout = [world.context().causal.encode(one.text) for one in read_corpus(world.folders.heldout)][:5]
    rules = [Mixture(text.windows, [before(5)], 600, CONTEXT) for text in (once, often)]
    bits = [-sum(rule.logp(ids).sum() for ids in heldout) for rule in rules]
    assert bits[1] < 1.01 * bits[0]


def test_a_document_cache_knows_what_stood_beyond_the_window() -> None:
    draw = np.random.default_rng(2)
    model = Mixture([np.tile(draw.integers(0, 8, 5), 4)[:11] for _ in range(60)], [before(2)], vocab_size=8, context=10)
    ids = np.tile(draw.integers(0, 8, 20), 3)
    assert model.logp(ids, 60)[20:].sum() > model.logp(ids)[20:].sum() + 10.0
