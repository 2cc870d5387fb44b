"""Facts of a base made elsewhere: its origin, and whether its tokenizer is its own.

A tokenizer of more ids than the model embeds does not load, nor does one that greenhouse.json
contradicts (export.py). In a folder made elsewhere one of another base with as many ids shows only
by this: the model predicts text, or hidden words of it, no better than a guess.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import read_fields
from components.model.export import Network
from components.params import Numerics
from components.tokens.hub_encoder import WHOLE_COPY, AnyEncoder
from components.training.likelihood import hidden_tokens, next_tokens, score

SOURCE = "source.json"
"""File beside a base from the hub, with its name and revision there."""
MOST_TEXTS = 32
"""Texts that a base is doubted by."""
HIDDEN = 7
"""Of a masked base one token in so many is hidden, about the 15% of BERT's training."""


def origin_of(base: Path, facts: dict[str, Any]) -> dict[str, str]:
    """Facts of a base made elsewhere: its name and revision on the hub, and the licence that its card states.

    Args:
        facts: its greenhouse.json, which has these of the base that it was tuned from itself.
    """
    known = {key: text for key, text in facts.get("finetuning", {}).items() if key.startswith("base_")}
    if (base / SOURCE).exists():
        fields = read_fields(base / SOURCE, WHOLE_COPY)
        known |= {f"base_{key}": str(fields.get(key, "")) for key in ("name", "revision")}
    if (base / "README.md").exists():
        from huggingface_hub import ModelCard

        with suppress(ValueError):  # no YAML at its top
            known |= {"base_licence": str(ModelCard.load(base / "README.md").data.get("license") or "")}
    return known


def untrained_warning(
    model: Network, base: Path, encoder: AnyEncoder, examples: Sequence[Any], numerics: Numerics
) -> str:
    """A sentence if a base predicts the text of examples no better than a uniform guess; else nothing.

    A masked one predicts tokens hidden behind the mask token of its tokenizer; without such a token
    nothing is known.
    """
    texts = [getattr(one, "text", "") or f"{one.prompt}\n{one.answer}" for one in examples[:MOST_TEXTS]]
    rows = [encoder.encode(text)[: model.shape.context] for text in texts]
    mask: int | None = getattr(encoder, "mask", None)
    if getattr(model, "fresh", None):  # no head came with it
        return ""
    if model.shape.causal:
        asked = [next_tokens(ids) for ids in rows if len(ids) > 1]
    elif mask is None:
        return ""
    else:
        asked = [hidden_tokens(ids, range(HIDDEN // 2, len(ids), HIDDEN), mask) for ids in rows if len(ids) >= HIDDEN]
    if not asked:
        return ""
    nats = -float(np.concatenate([scores.logp for scores in score(model, asked, numerics)]).mean())
    guess = math.log(encoder.vocab_size)
    if nats < guess:
        return ""
    return (f"{base.name} predicts the held-out text no better than a uniform guess ({nats:.1f} nats per token; the "
            f"guess: {guess:.1f}): it is untrained, or its tokenizer.json belongs to another base: its ids fit, "
            "and more the files do not tell.")  # fmt: skip
