"""Log-probabilities are the model's, whatever shares the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from components.model.export import save
from components.model.generate import generate
from components.model.transformer import Transformer
from components.stages.evaluate.tasks.scoring import LanguageModel
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


def test_choices_by_one_pass_and_by_whole_continuations_agree(model: LanguageModel) -> None:
    prompt, choices = RECALL
    assert len(model._choices(prompt, choices)) == 1
    quick = model.choose([(prompt, choices)])[0]
    whole = [one.total for one in model.answers([(prompt, choice) for choice in choices])]
    assert np.diff(quick) == pytest.approx(np.diff(whole), abs=1e-4)  # what choices share cancels
    long = LINES[0] * 100
    assert model._choices(long, choices)[0].ids == model.encode(long + choices[0])[-model.context - 1 : -1]


@pytest.mark.parametrize(
    "choices", [(" returns the value", " xylophone", " returns"), (" B M", " D M"), (" B",), (" B", " B M")]
)
def test_choices_that_differ_before_their_last_token_are_scored_whole(
    model: LanguageModel, choices: tuple[str, ...]
) -> None:
    whole = model.answers([("This function", choice) for choice in choices])
    assert model.choose([("This function", choices)])[0] == pytest.approx([one.total for one in whole])
    lengths = [len(model.encode(f"This function{choice}")) - len(model.encode("This function")) for choice in choices]
    assert [len(one.logp) for one in whole] == lengths


def test_a_continuation_without_ids_of_its_own_is_scored_by_the_last_one(model: LanguageModel) -> None:
    """Some tokenizers drop a blank at the end."""
    (found,) = model.answers([("The array is", "")])
    assert len(found.logp) == 1
    assert found.total == pytest.approx(slow_logps(model, model.encode("The array is"))[-1], abs=1e-4)


def test_random_weights_are_all_random_and_of_one_size(model: LanguageModel) -> None:
    """Also those that training starts at zero, without which every layer would pass on what it gets."""
    one, same, other = model.random_weights().model, model.random_weights(1).model, model.random_weights(2).model
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


def test_greedy_writes_what_generate_writes(model: LanguageModel) -> None:
    prompts = ["copy: q d x m =", "sum: 47+38=", "The array", "A"]
    for prompt, text in zip(prompts, model.greedy(prompts, 12, "\n"), strict=True):
        expected, _, _ = generate(model.model, model.tokenizer, prompt, max_tokens=12, stop_ids=(0,))
        assert text == expected.split("\n")[0]


def test_greedy_asks_for_no_token_after_the_last_stop(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, hidden = list[int](), model.model.hidden
    monkeypatch.setattr(model.model, "hidden", lambda *rows, **more: asked.append(len(rows)) or hidden(*rows, **more))
    (text,) = model.greedy(["The array"], 40, "\n")
    assert text == LINES[0].removeprefix("The array")
    assert len(asked) == len(model.encode(f"{LINES[0]}\n")) - len(model.encode("The array"))


def test_a_text_longer_than_the_context_loses_its_beginning_alone(model: LanguageModel) -> None:
    prompt, end = LINES[0] * 100, " A function"
    (found,) = model.answers([(prompt, end)])
    seen = model.encode(prompt + end)[-model.context - 1 :]
    assert found.logp == pytest.approx(slow_logps(model, seen)[-len(found.logp) :], abs=1e-3)
