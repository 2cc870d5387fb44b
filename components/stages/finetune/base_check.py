"""Whether the tokenizer in a base's folder is the one that the model was trained with.

A tokenizer of more ids than the model embeds does not load. One of another base with as many does, and its ids mean
nothing to the model. What was made here says what its tokenizer was. Of a folder made elsewhere nothing does: all that
shows is that a causal model predicts text no better than a guess.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.model import export
from components.model.transformer import Transformer
from components.params import Numerics
from components.stages.finetune.instruct import answer_nats
from components.tokens.hub_encoder import AnyEncoder

MOST_TEXTS = 32
"""Texts that a base is doubted by."""


def raise_if_retokenized(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse a model whose greenhouse.json, `facts`, names another tokenizer than its folder has.

    Raises:
        UserError: as said.
    """
    found = sha256_bytes(export.tokenizer_text(folder).encode())
    for key in ("training", "finetuning"):
        made_with = str(facts.get(key, {}).get("tokenizer_sha256", found))
        if made_with != found:
            raise UserError(
                f"{folder}: tokenizer.json has sha256 {found[:12]}..., and the model was trained with "
                f"{made_with[:12]}... (greenhouse.json), so the tokenizer belongs to another base; put the model's own "
                "there"
            )


def doubt(model: Transformer, base: Path, encoder: AnyEncoder, examples: Sequence[Any], numerics: Numerics) -> str:
    """A sentence if a causal base predicts the text of examples no better than a uniform guess; else nothing."""
    texts = [getattr(one, "text", "") or f"{one.prompt}\n{one.answer}" for one in examples[:MOST_TEXTS]]
    rows = [encoder.encode(text)[: model.shape.context] for text in texts]
    asked = [(ids[:1], ids[1:]) for ids in rows if len(ids) > 1]
    if not asked:
        return ""
    nats = float(answer_nats(model, asked, numerics).sum()) / sum(len(ids) for _, ids in asked)
    guess = math.log(encoder.vocab_size)
    if nats < guess:
        return ""
    return (f"{base.name} predicts the held-out text no better than a uniform guess ({nats:.1f} nats per token; the "
            f"guess: {guess:.1f}): it is untrained, or its tokenizer.json belongs to another base.")  # fmt: skip
