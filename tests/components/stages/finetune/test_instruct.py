"""Instruction pairs as ids, batches, and the two measures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.finetuning_data.chat import encode
from components.instruction_pairs.examples import Message, PromptPair
from components.model import document_attention
from components.stages.finetune.instruct import (
    CHOICES,
    Format,
    InstructionScores,
    chosen,
    packed_batches,
    pair_batches,
    right_by_rule,
)
from components.stages.finetune.training import drawn, neighbours
from components.tokens.hub_encoder import encoder_of
from components.tokens.tokenizer import ASSISTANT, END, PAD, Encoder, train_bpe
from components.training.objectives import IGNORE
from tests.components.stages.finetune.test_own_rows import foreign_tokenizer

ENCODER = Encoder(train_bpe([Path(torch.functional.__file__).read_text()], 300).to_str())
PAIRS = [
    PromptPair(f"What is {number} times {number}?", f"It is {number * number}, I think.", str(number // 3))
    for number in range(22)
]


def test_an_answer_is_cut_only_where_the_pair_is_too_long() -> None:
    """Half of the context is what a long answer keeps at least, not what it may have."""
    answer = "a long answer " * 5
    ids = ENCODER.encode(answer)
    assert 20 < len(ids) < 55
    form = Format(ENCODER, 64, chat=True)
    assert form(PromptPair("Why?", answer, ""))[1] == [*ids, END]
    prompt, cut = form(PromptPair("Why is it " * 40, answer, ""))
    assert len(prompt) + len(cut) == 64
    assert len(cut) == min(len(ids), 32) + 1


def test_what_is_judged_is_what_was_trained_on(tmp_path: Path) -> None:
    """A format that strips does so in both: an answer is often written with a space before it."""
    foreign_tokenizer([str(Path.__doc__)], tmp_path)
    encoder = encoder_of(tmp_path)
    pair = PromptPair("Is the sky blue? ", " yes\n", "", (Message("user", "Hello. "), Message("assistant", " Hi.")))
    prompt, answer = Format(encoder, 128, chat=True)(pair)
    whole = encode(pair.messages, encoder)[0]
    assert whole[: len(prompt) + len(answer)] == prompt + answer
    assert encoder.chat.end not in answer[:-1]


def test_long_pairs_fit_the_context() -> None:
    for chat in (True, False):
        form = Format(ENCODER, 32, chat)
        prompt, answer = form(PromptPair("beginning " * 50 + "the end?", "answer " * 50, ""))
        assert len(prompt) + len(answer) == 32
        assert len(answer) in (16, 17)
        assert "the end?" in ENCODER.decode(prompt)


def test_loss_is_on_the_answer_alone() -> None:
    form = Format(ENCODER, 64, chat=True)
    batch = pair_batches([form(pair) for pair in PAIRS], 4, 64, seed=1)(0)
    assert batch.ids_BT.shape[1] % 32 == 0
    for ids, targets in zip(batch.ids_BT.tolist(), batch.targets.tolist(), strict=True):
        start = ids.index(ASSISTANT)
        assert all(target == IGNORE for target in targets[:start])
        answer = [target for target in targets if target != IGNORE]
        assert targets[start : start + len(answer)] == answer
        assert answer[-1] == END
        assert ENCODER.decode(answer[:-1]).startswith("It is ")
        assert set(ids[start + len(answer) :]) <= {PAD, END}


def test_choice_ignores_how_likely_an_answer_is_by_itself() -> None:
    right = np.eye(CHOICES)[None] - 3.0
    habit = np.array([5.0, -40.0, 0.0, 2.0])  # some answers are likelier whatever the prompt
    style = np.array([[1.0], [0.0], [-7.0], [3.0]])
    assert chosen(right + habit + style).tolist() == [1.0] * CHOICES
    assert chosen(np.zeros((2, CHOICES, CHOICES)) + habit).tolist() == [0.25] * 2 * CHOICES
    assert chosen(-right + habit).sum() == 0


@pytest.mark.parametrize(("context", "by_blocks"), [(256, True), (64, False)])
def test_packed_chats_take_the_attention_of_pretraining_on_cuda(
    context: int, by_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [(list(range(10, 10 + size)), [False] * 3 + [True] * (size - 3)) for size in (9, 17, 33, 60)]
    batch = packed_batches(chats, batch=7, context=context, seed=1)(0)
    assert not document_attention.fits(batch.documents_BT, 32), "on a CPU"
    monkeypatch.setattr(document_attention, "on_gpu", lambda tensor: True)
    assert document_attention.fits(batch.documents_BT, 32) == by_blocks


def test_the_answer_that_shares_letters_with_its_prompt_is_found_without_a_model() -> None:
    words = ("herons", "lanterns", "marbles", "teapots")
    pairs = [PromptPair(f"What of the {word}?", f"All {word} are old.", "w") for word in words]
    assert right_by_rule([*pairs, pairs[0]])["overlap"][1].tolist() == [1.0] * 4
    alike = [PromptPair(f"What of {number}?", "Nothing is known.", "w") for number in range(4)]
    assert all(right.tolist() == [0.25] * 4 for _, right in right_by_rule(alike).values())


def test_choices_are_resampled_by_work() -> None:
    right = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    works = ["a", "a", "b", "b", "a", "a", "b", "b", "c"]
    scores = InstructionScores(np.ones(9), np.ones(9), right, works, ["one source"] * 9)
    found = scores.choice
    assert (found.value, found.clusters) == (0.5, 2)


def test_every_epoch_draws_every_example_in_an_order_of_its_seed() -> None:
    one, other = ([int(place) for number in range(11) for place in drawn(number, 4, 22, seed)] for seed in (1, 2))
    assert sorted(one[:22]) == sorted(one[22:]) == sorted(other[:22]) == list(range(22))
    assert one[:22] != one[22:]
    assert one != other
    assert {place for number in range(6, 12) for place in neighbours(number, 4, 22, 1)} == set(range(22))
