"""Initial weights of an induction head: "this token stood here before; what followed it then may follow it now".

It takes two heads in two layers (Olsson et al. 2022, arXiv:2209.11895). The first looks at the token before and writes
it beside the present one. The second looks for places whose note reads as the token at hand, and so finds those that
came after it. Through them a model uses the whole of its window, on names and terms that no corpus has taught it.

Training finds them late: the demo's 900 steps never did, and a count of n-grams with a cache of the window beat it.
Weights that begin with a structure trained models have (as Trockman & Kolter 2023, arXiv:2305.09828) need no finding.
They are weights like all others from then on: training sharpens, moves or drops them, and an export knows no
difference. Only the looking is laid down; what the second head says of the places found is left to learn.
"""

from typing import Any

import torch
from torch import nn

from components.model.shape import Shape

CONSTANT = 0
"""The channel of the residual stream that is 1 for every token: what a head reads that looks at positions alone."""

USUAL = 0.02
"""Standard deviation of fresh embeddings in all other networks."""
NOISE = 0.1
"""What is left of the random part of both heads' queries and keys."""
BACK, MATCH = 2.0, 1.3
"""Gains of the norms of queries and keys, in the fast channels of the first layer and all of the second: how sharply a
head tells the place it looks for from others."""


def fit(shape: Shape) -> bool:
    """Whether both heads have a place: a causal network (a masked one sees both neighbours) of two layers or more."""
    return shape.causal and shape.depth > 1


@torch.no_grad()
def initialise(model: Any, shape: Shape, generator: torch.Generator) -> None:
    """Set the embeddings of a fresh Transformer, and the first head of its first and of its second layer.

    Embeddings have length 1 or so: the first steps would turn round those of `USUAL` size, and heads lose their way.
    """
    channels, pairs, size = shape.head_dim, shape.head_dim // 2, shape.width**-0.5
    first, second = (layer.self_attn for layer in model.layers[:2])
    embedding_VD = model.embed_tokens.weight
    nn.init.normal_(embedding_VD, std=size, generator=generator)
    embedding_VD[:, CONSTANT] = 1
    if shape.tied:
        # Logits as small as of the usual embeddings: else a fresh model is sure that every token comes twice.
        model.norm.weight[:] = USUAL / size
    for looking in (first.q_proj, first.k_proj, second.q_proj, second.k_proj):
        looking.weight[:channels] *= NOISE
    # RoPE turns channels (c, c + pairs) by position times an angle of that pair. Queries are the same everywhere, keys
    # are turned by one position more: they meet where the key stands one before. Fast pairs tell neighbours apart.
    fast = torch.arange(max(1, pairs // 4))
    angle = model.frequency_C[fast]
    first.q_proj.weight[fast, CONSTANT] = 1
    first.k_proj.weight[fast, CONSTANT] = angle.cos()
    first.k_proj.weight[fast + pairs, CONSTANT] = angle.sin()
    for norm in (first.q_norm, first.k_norm):
        norm.weight[fast] = norm.weight[fast + pairs] = BACK
    # The token before is read as one set of channels, and noted in others: nearly a right angle to the token itself.
    read_CD, note_CD = (nn.init.orthogonal_(torch.empty(channels, shape.width), generator=generator) for _ in range(2))
    read_CD[:, CONSTANT] = note_CD[:, CONSTANT] = 0
    first.v_proj.weight[:channels] = read_CD
    first.o_proj.weight[:, :channels] = size * note_CD.T
    # The second head asks with the present token, and keys are the notes. Slow pairs hardly turn within a window.
    slow = torch.cat([torch.arange(pairs // 2, pairs), torch.arange(pairs // 2, pairs) + pairs])
    second.q_proj.weight[slow] = read_CD[slow]
    second.k_proj.weight[slow] = note_CD[slow]
    for norm in (second.q_norm, second.k_norm):
        norm.weight[:] = MATCH
