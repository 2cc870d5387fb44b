"""Shape of a network, derived from one dial: its sizes, parameter count, FLOPs per token; without importing torch."""

import math
from dataclasses import dataclass

from components.core.errors import UserError
from components.model.derived import HEAD_DIM, width_of
from components.params import ModelShape


@dataclass(frozen=True)
class Shape:
    """Sizes and options that determine the network's parameters and its function."""

    vocab_size: int
    depth: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    context: int
    causal: bool = True
    qk_norm: bool = True
    tied: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    @property
    def num_block_parameters(self) -> int:
        """Parameters of the blocks' matrices: the N of scaling laws."""
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.depth * (attention + 3 * self.width * self.feed_forward)

    @property
    def flops_per_token(self) -> int:
        """FLOPs per token of a training step, both passes: 6 per weight in a product, and attention's two products.

        A causal query meets half the context on average (PaLM's appendix B counts all of it; we count what is needed).
        """
        products = self.num_block_parameters + self.vocab_size * self.width
        seen = self.context // 2 if self.causal else self.context
        return 6 * products + 12 * self.depth * self.heads * self.head_dim * seen


def derive_shape(model: ModelShape, vocab_size: int, context: int, causal: bool) -> Shape:
    """Shape of the network of `model.size`; what `model` sets itself takes precedence over what is derived.

    Raises `UserError`: the numbers do not fit each other.
    """
    # 1) Depth is the dial.
    depth = model.size
    # 2) Width grows with depth, 64 per block: 4 blocks are 256 wide, 12 are 768 wide (the shape of GPT-2 small).
    width = model.width or width_of(depth)
    # 3) Heads of 64 channels fill the width.
    heads = model.heads or max(1, width // HEAD_DIM)
    if width % heads or width // heads % 2:
        raise UserError(
            f"pretrain model: width {width} does not divide into {heads} heads of an even number of channels; "
            f"set model.width to a multiple of {2 * heads}, or change model.heads"
        )
    # 4) Every query head has its own keys and values, unless told to share.
    kv_heads = model.kv_heads or heads
    if heads % kv_heads:
        raise UserError(
            f"pretrain model: kv_heads {kv_heads} must divide heads {heads}; set model.kv_heads to a divisor"
        )
    # 5) SwiGLU has three matrices where an MLP has two: 8/3 of the width keeps the parameters of the classic factor 4.
    feed_forward = model.feed_forward or 32 * math.ceil(8 * width / 3 / 32)
    return Shape(
        vocab_size, depth, width, heads, kv_heads, width // heads, feed_forward, context, causal, causal, model.tied
    )
