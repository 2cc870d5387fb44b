"""Initial weights of induction heads: "these tokens stood here before; what stood beside them then may stand here now".

It takes two layers (Olsson et al. 2022, arXiv:2209.11895). Heads of the first look at a neighbouring token and write
it beside the present one. Heads of the second look for places whose note reads alike:

    causal   one head notes the token before; one asks where the present token is that note, and so finds what followed
    masked   two heads note the tokens before and after; two ask where else the same stood before, or after

Through them a model uses the whole of its window, on names and terms that no corpus has taught it.

Training finds them late: the demo's 900 steps never did, and counts of n-grams beat both its models. Heads that look at
neighbours are what trained masked models have too (Clark et al. 2019, arXiv:1906.04341). Weights that begin with a
structure trained models have (as Trockman & Kolter 2023, arXiv:2305.09828) need no finding. They are weights like all
others from then on: training sharpens, moves or drops them, and an export knows no difference. Only the looking is laid
down; what the heads of the second layer say of the places found is left to learn.
"""

from typing import Any

import torch
from torch import Tensor, nn

from components.model.shape import Shape

CONSTANT = 0
"""The channel of the residual stream that is 1 for every token: what a head reads that looks at positions alone."""

USUAL = 0.02
"""Standard deviation of fresh embeddings in a network of one layer."""
NOISE = 0.1
"""What is left of the random part of these heads' queries and keys."""
BACK, MATCH = 2.0, 1.3
"""Gains of the norms of queries and keys, in the fast channels of the first layer and all of the second: how sharply a
head tells the place it looks for from others. A masked network has no such norms. Its second layer begins blunt: most
alike is the place itself, and sharper heads never look elsewhere."""


def fit(shape: Shape) -> bool:
    """Whether the heads have a place: two layers or more."""
    return shape.depth > 1


def neighbours(shape: Shape) -> list[int]:
    """Where the heads of the first layer look, relative to their own place: of a masked network to both sides, if it
    has keys for two heads."""
    return [-1] if shape.causal else [-1, 1][: shape.kv_heads]


@torch.no_grad()
def initialise(model: Any, shape: Shape, generator: torch.Generator) -> None:
    """Set the embeddings of a fresh Transformer, and the first heads of its first and of its second layer.

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
    # RoPE turns channels (c, c + pairs) by position times an angle of that pair: fast pairs tell neighbours apart, slow
    # ones hardly turn within a window.
    fast = torch.arange(max(1, pairs // 4))
    slow = torch.cat([torch.arange(pairs // 2, pairs), torch.arange(pairs // 2, pairs) + pairs])
    angle = model.frequency_C[fast]
    # Where queries and keys are not normed, weights make the first layer sharp; CONSTANT, normed, is sqrt(width / 2).
    looking = 1 if shape.qk_norm else BACK * (channels / len(fast) * 2 / shape.width) ** 0.5

    def directions() -> Tensor:
        return nn.init.orthogonal_(torch.empty(channels, shape.width), generator=generator)

    for number, neighbour in enumerate(neighbours(shape)):
        query, key = (i * channels + torch.arange(channels) for i in (number * shape.heads // shape.kv_heads, number))
        for layer in (first, second):
            layer.q_proj.weight[query] *= NOISE
            layer.k_proj.weight[key] *= NOISE
        # Queries are the same everywhere, keys are turned back by the neighbour's distance: they meet where it stands.
        first.q_proj.weight[query[fast], CONSTANT] = looking
        first.k_proj.weight[key[fast], CONSTANT] = looking * (angle * neighbour).cos()
        first.k_proj.weight[key[fast] + pairs, CONSTANT] = -looking * (angle * neighbour).sin()
        # The neighbour is read as one set of channels, and noted in others: nearly a right angle to the token itself.
        read_CD, note_CD = directions(), directions()
        read_CD[:, CONSTANT] = note_CD[:, CONSTANT] = 0
        first.v_proj.weight[key] = read_CD
        first.o_proj.weight[:, query] = size * note_CD.T
        # A causal network asks with the present token; at a hidden place there is none, so a masked one with its note.
        second.q_proj.weight[query[slow]] = (read_CD if shape.causal else note_CD)[slow]
        second.k_proj.weight[key[slow]] = note_CD[slow]
    if shape.qk_norm:
        for norm in (first.q_norm, first.k_norm):
            norm.weight[fast] = norm.weight[fast + pairs] = BACK
        for norm in (second.q_norm, second.k_norm):
            norm.weight[:] = MATCH
