"""Encoding by remembered units gives the ids of `tokenizers`, whatever came before."""

import random
from pathlib import Path

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from components.tokens import cached_encoder
from components.tokens.cached_encoder import BLOCK_BYTES, UnitEncoder, blocks
from components.tokens.tokenizer import Encoder, reference, train_bpe

TEXTS = [path.read_text() for path in sorted(Path(scipy.__file__).parent.glob("stats/_*.py"))[:25]]
SIGNS = "aZé'ü1٣ \t\n\r\v\x1c\u00a0\u2003.,(_-§漢字\u0301😀\0"
"""Letters, digits, white space and signs, in ASCII and outside."""


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    return train_bpe(TEXTS, 1200).to_str()


@pytest.fixture(scope="module")
def encoder(tokenizer_json: str) -> Encoder:
    return Encoder(tokenizer_json)


def slow(tokenizer_json: str, texts: list[str]) -> list[list[int]]:
    """Ids by `tokenizers`."""
    return [found.ids for found in reference(tokenizer_json).encode_batch_fast(texts, add_special_tokens=False)]


def test_real_texts_twice_over(tokenizer_json: str, encoder: Encoder) -> None:
    texts = TEXTS + TEXTS[::-1]
    expected = slow(tokenizer_json, texts)
    for workers in (1, 2):
        assert [ids.tolist() for ids in encoder.encode_many(texts, workers)] == expected


def test_every_neighbourhood_of_kinds(tokenizer_json: str, encoder: Encoder) -> None:
    chance = random.Random(1)
    texts = ["".join(chance.choice(SIGNS) for _ in range(chance.randrange(12))) for _ in range(30_000)]
    texts += [first + second + third for first in SIGNS for second in SIGNS for third in SIGNS]
    expected = slow(tokenizer_json, texts)
    found = [ids.tolist() for ids in encoder.encode_many(texts)]
    assert [text for text, one, other in zip(texts, found, expected, strict=True) if one != other] == []


@settings(deadline=None, max_examples=80)
@given(st.lists(st.text(st.sampled_from(SIGNS + " \n don't"), max_size=80), max_size=8))
def test_any_texts(tokenizer_json: str, encoder: Encoder, texts: list[str]) -> None:
    assert [ids.tolist() for ids in encoder.encode_many(texts)] == slow(tokenizer_json, texts)


def test_a_full_memory_begins_anew(tokenizer_json: str, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = max(len(block[0].encode()) for block in ([text] for text in TEXTS))
    monkeypatch.setattr(cached_encoder, "_POOL_IDS", longest + 100)
    lengths = np.array([len(encoder.token_bytes(id)) for id in range(encoder.vocab_size)])
    small = UnitEncoder(encoder.encode_array, lengths)
    found = [small.encode([text])[0].tolist() for text in TEXTS]
    assert found == slow(tokenizer_json, TEXTS)


def test_blocks_hold_all_texts_in_order() -> None:
    parts = list(blocks(TEXTS))
    assert [text for part in parts for text in part] == TEXTS
    assert all(sum(map(len, part[:-1])) < BLOCK_BYTES for part in parts)
