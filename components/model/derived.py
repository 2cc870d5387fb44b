"""Values that follow from a network's depth, the one dial `size`, where params.yaml leaves them null. No imports.

They were chosen so that depth 2 is the demo, and grow as is usual: a width of 64 for each block (GPT-2 small has 12 and
768), a batch in proportion to the depth, a number of tokens in proportion to the parameters (Hoffmann et al. 2022), and
rates of the embeddings that fall with the square root of the width.
"""

HEAD_DIM = 64
"""Channels of a head unless set otherwise: the size that attention kernels are made for."""
TOKENS_PER_PARAMETER = 4.7
"""Tokens trained on per parameter of the blocks: what fits into the demo's minutes. Hoffmann et al. take about 20."""


def width_of(size: int) -> int:
    """Residual width in channels of a network of so many blocks."""
    return HEAD_DIM * size


def batch_of(size: int) -> int:
    """Sequences of an optimizer step."""
    return 4 * size


def embedding_rate_of(width: int) -> float:
    """Peak learning rate of embeddings and head at a width in channels."""
    return 0.02 * (width_of(2) / width) ** 0.5


def steps_of(size: int, width: int, tokens_per_step: int) -> int:
    """Optimizer steps in hundreds, 100 at least, for `TOKENS_PER_PARAMETER`; a block has 12 width^2 parameters."""
    return max(1, round(TOKENS_PER_PARAMETER * 12 * size * width**2 / tokens_per_step / 100)) * 100
