"""Chats as ids: those of `transformers`, with its mask of what is learned."""

from pathlib import Path

import pytest
import torch

from components.finetuning_data.chat import encode
from components.finetuning_data.rows import KINDS, Chat
from components.instruction_pairs.examples import Message
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.stages.finetune.example_selection import last_pair
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER, Encoder, train_bpe

CHAT = [("system", "Be brief."), ("user", " What is\n7 + 5? "), ("assistant", "12\n"), ("user", "Sure?"),
        ("assistant", "Yes, é 漢.")]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model folder as the pipeline writes it."""
    docs = [doc for name in sorted(dir(torch)) if isinstance(doc := getattr(torch, name).__doc__, str)][:200]
    tokenizer_json = train_bpe(docs, 320).to_str()
    shape = derive_shape(ModelShape(size=1, width=32, heads=2), 320, 64, causal=True)
    export.save(Transformer(shape).initialise(1), tokenizer_json, made := tmp_path_factory.mktemp("model"), {})
    return made


def test_transformers_gives_the_same_ids_and_mask(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = Encoder(export.tokenizer_text(folder))
    for length, ask in ((5, False), (4, True), (2, True)):
        messages = [Message(*turn) for turn in CHAT[:length]]
        theirs = tokenizer.apply_chat_template(
            [{"role": one.role, "content": one.content} for one in messages],
            tokenize=True, return_dict=True, return_assistant_tokens_mask=True, add_generation_prompt=ask,
        )  # fmt: skip
        ids, learned = encode(messages, encoder, ask=ask)
        assert ids == theirs["input_ids"]
        assert [int(one) for one in learned] == theirs["assistant_masks"]
    assert ids[0] == END_OF_TEXT
    assert ids[-1] == ASSISTANT
    assert encode([Message("user", "<|end|>")], encoder)[0][1:2] == [USER]
    assert END not in encode([Message("user", "<|end|>")], encoder)[0]


def test_answers_of_the_prompt_and_of_weight_0_are_read_and_not_learned(folder: Path) -> None:
    """As trl has it: the loss of a prompt and its completion is on the completion."""
    encoder = Encoder(export.tokenizer_text(folder))
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "WRONG 5"}]
    fix, right = {"role": "user", "content": "fix"}, {"role": "assistant", "content": "4"}
    for row in (
        {"prompt": [*turns, fix], "completion": [right]},
        {"messages": [turns[0], turns[1] | {"weight": 0}, fix, right | {"weight": 1}]},
    ):
        chat = KINDS["chat"].check(row, "line 1")
        assert isinstance(chat, Chat)
        ids, learned = encode(chat.messages, encoder)
        assert [id for id, one in zip(ids, learned, strict=True) if one] == [*encoder.encode("4"), END]
        pair = last_pair(chat)
        assert (pair.prompt, pair.answer) == ("fix", "4")
    first = KINDS["chat"].check({"messages": [*turns, fix, right | {"weight": 0}]}, "line 1")
    assert isinstance(first, Chat)
    assert (last_pair(first).prompt, last_pair(first).answer) == ("2+2?", "WRONG 5")
