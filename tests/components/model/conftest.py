"""A small tokenizer, trained on docstrings that every installation has."""

import pytest
import tokenizers
import torch

from components.tokens.tokenizer import train_bpe


@pytest.fixture(scope="session")
def tokenizer() -> tokenizers.Tokenizer:
    """A byte-level BPE of 300 tokens."""
    docs = (getattr(torch, name).__doc__ for name in sorted(dir(torch)) if callable(getattr(torch, name)))
    return train_bpe([text for text in docs if isinstance(text, str)][:200], 300)


@pytest.fixture(scope="session")
def tokenizer_json(tokenizer: tokenizers.Tokenizer) -> str:
    """Content of its tokenizer.json."""
    return tokenizer.to_str()
