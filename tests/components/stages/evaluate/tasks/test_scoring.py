"""Log-probabilities are the model's, whatever shares the batch."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from components.model.export import save
from components.model.generate import generate
from components.model.transformer import Transformer
from components.stages.evaluate.tasks.scoring import MIN_SHARED, LanguageModel, batches
from components.tokens.tokenizer import Encoder, train_bpe
from tests.components.real_text import modules
from tests.components.stages.evaluate.conftest import trained

LINES = ("The array is returned.", "copy: q d x m = q d x m", "A function of two points.")
RECALL = ("recall: k B, d M ? d", (" B", " M", " D"))
"""A prompt whose choices are one token each."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A model of three short lines, which it writes one after the other."""
    torch.set_num_threads(1)
    tokenizer = train_bpe([*(one.text for one in modules("scipy", 8)), RECALL[0] * 100, *RECALL[1] * 100], 600).to_str()
    ids = np.array([0, *Encoder(tokenizer).encode("\n".join(LINES * 100))])
    folder = tmp_path_factory.mktemp("model")
    save(trained(ids, causal=True, steps=40, width=32), tokenizer, folder, {})
    return LanguageModel.load(folder)


def slow_logps(model: LanguageModel, ids: list[int]) -> np.ndarray:
    """One token at a time, nothing shared."""
    found = []
    for end in range(1, len(ids)):
        with torch.inference_mode():
            logits_V = model.model(torch.tensor([ids[:end]]))[0, -1]
        found.append(float(logits_V.double().log_softmax(-1)[ids[end]]))
    return np.array(found)


def test_scores_are_those_of_a_token_by_token_loop(model: LanguageModel) -> None:
    texts = ["The array is returned.", "x", "A function of two variables, evaluated at each of the given points."]
    sequences = [model.encode(text) for text in texts]
    for ids, scores in zip(sequences, model.score(sequences), strict=True):
        assert scores.logp == pytest.approx(slow_logps(model, ids), abs=1e-4)
        assert np.all(scores.top >= scores.logp - 1e-12)
        assert np.array_equal(scores.hit, np.isclose(scores.top, scores.logp, rtol=0, atol=0))


def test_the_order_of_the_sequences_does_not_matter(model: LanguageModel) -> None:
    sequences = [model.encode("word " * n) for n in (1, 30, 7, 30, 2)]
    forward = model.score(sequences)
    for one, other in zip(forward, reversed(model.score(sequences[::-1])), strict=True):
        assert one.logp == pytest.approx(other.logp, abs=1e-5)


def test_choices_by_one_pass_and_by_whole_continuations_agree(model: LanguageModel) -> None:
    prompt, choices = RECALL
    assert model._plan(prompt, choices) is not None
    quick = model.choose([(prompt, choices)])[0]
    whole = [one.logp for one in model.answers([(prompt, choice) for choice in choices])]
    assert np.diff(quick) == pytest.approx(np.diff(whole), abs=1e-4)  # what choices share cancels


def test_choices_of_several_tokens_are_scored_whole(model: LanguageModel) -> None:
    choices = (" returns the value", " xylophone", " returns")
    whole = model.answers([("This function", choice) for choice in choices])
    assert model.choose([("This function", choices)])[0] == pytest.approx([one.logp for one in whole])
    assert whole[0].num_tokens > whole[2].num_tokens


def test_a_continuation_without_ids_of_its_own_is_scored_by_the_last_one(model: LanguageModel) -> None:
    """Some tokenizers drop a blank at the end."""
    (found,) = model.answers([("The array is", "")])
    assert found.num_tokens == 1
    assert found.logp == pytest.approx(slow_logps(model, model.encode("The array is"))[-1], abs=1e-4)


def test_random_weights_are_all_random_and_of_one_size(model: LanguageModel) -> None:
    """Also those that training starts at zero, without which every layer would pass on what it gets."""
    one, same, other = (model.random_weights(seed).model for seed in (1, 1, 2))
    for first, again, another in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, again)
        assert first.ndim < 2 or not torch.equal(first, another)
    for matrix in one.layers.parameters():
        if matrix.ndim == 2:
            assert matrix.std().item() == pytest.approx(matrix.shape[1] ** -0.5, rel=0.1)


def test_a_random_head_of_its_own_does_not_call_all_tokens_equally_likely(model: LanguageModel) -> None:
    untied = LanguageModel(Transformer(replace(model.model.shape, tied=False)), model.tokenizer, model.context)
    logits = untied.random_weights().model(torch.tensor([[1, 2, 3]]))
    alike = model.random_weights().model(torch.tensor([[1, 2, 3]]))
    assert logits.std(dim=-1).mean().item() == pytest.approx(alike.std(dim=-1).mean().item(), rel=0.5)


def test_endings_of_one_beginning_are_scored_as_if_each_stood_alone(model: LanguageModel) -> None:
    """Alone, with a long shared beginning, and with long endings that begin alike after different beginnings."""
    begin = model.encode("The array is returned as a new view of the data, unless the shape differs")
    other = model.encode("Another text altogether that has as many words as it needs to be long enough here")
    endings = [model.encode(text)[1:] for text in (" and more", " xylophone", " of the whole array that was given")]
    rows = [(begin + ending, len(ending)) for ending in endings]
    rows += [(other[: MIN_SHARED - 2] + endings[2] + ending, len(endings[2]) + len(ending)) for ending in endings]
    rows += [(other[:MIN_SHARED] + ending, len(ending)) for ending in endings]
    rows += [(begin[:9] + other[at : at + 5] + begin[9:18], 9) for at in (0, 5)]
    sequences, counts = [ids for ids, _ in rows], [n for _, n in rows]
    assert max(counts) > MIN_SHARED
    for (ids, n), found in zip(rows, model.continuations(sequences, counts), strict=True):
        (scores,) = model.score([ids])
        assert found.logp == pytest.approx(scores.logp[-n:].sum(), abs=1e-4)
        assert (found.num_tokens, found.greedy) == (n, bool(scores.hit[-n:].all()))


def test_greedy_writes_what_generate_writes(model: LanguageModel) -> None:
    prompts = ["copy: q d x m =", "sum: 47+38=", "The array", "A"]
    for prompt, text in zip(prompts, model.greedy(prompts, 12, "\n"), strict=True):
        expected, _, _ = generate(model.model, model.tokenizer, prompt, max_tokens=12, stop_ids=(0,))
        assert text == expected.split("\n")[0]


def test_special_tokens_in_text_are_plain_text(model: LanguageModel) -> None:
    assert all(index > 5 for index in model.encode("<|endoftext|><|mask|>")[1:])


def test_token_bytes_add_up_to_the_text(model: LanguageModel) -> None:
    text = "Naïve café, x ≤ y:\n    return 1\n"
    assert model.token_bytes()[model.encode(text)].sum() == len(text.encode())


def test_batches_hold_every_index_once_and_stay_small() -> None:
    lengths = list(np.random.default_rng(0).integers(2, 200, 500))
    found = list(batches(lengths, 1000))
    assert sorted(index for batch in found for index in batch) == list(range(500))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 1000 for batch in found)
    longest = [max(lengths[i] for i in batch) for batch in found]
    assert all(a >= b for a, b in pairwise(longest))
    assert list(batches([2000, 10, 0], 1000)) == [[0], [1, 2]]
    assert list(batches([1] * 5, 4)) == [[0, 1, 2, 3], [4]]


@pytest.mark.parametrize(("vocabulary", "tokens"), [(600, 1024), (48_000, 500), (1_000_000, 256)])
def test_a_pass_is_bounded_by_its_tokens_and_by_their_logits(
    model: LanguageModel, vocabulary: int, tokens: int
) -> None:
    sized: Any = SimpleNamespace(get_vocab_size=lambda: vocabulary)
    assert replace(model, tokenizer=sized).batch_tokens == tokens


def test_a_text_longer_than_the_context_loses_its_beginning_alone(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    score = LanguageModel.score
    monkeypatch.setattr(LanguageModel, "score", lambda self, rows: seen.extend(rows) or score(self, rows))
    prompt, end = LINES[0] * 100, " A function"
    (found,) = model.answers([(prompt, end)])
    assert seen == [model.encode(prompt + end)[-model.context - 1 :]]
    assert found.logp == pytest.approx(slow_logps(model, seen[0])[-found.num_tokens :].sum(), abs=1e-3)
