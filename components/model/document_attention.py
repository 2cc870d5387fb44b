"""Document-masked attention for training on CUDA: FlexAttention (Dong et al. 2024, arXiv:2412.05496), block by block.

A dense mask makes attention compute all pairs of a window, and keeps it from the fast kernels. Here the pairs are cut
into blocks of `BLOCK` x `BLOCK`: those of two documents are passed over, those inside one document need no mask, and
only the few on a border are masked one by one. The kind of a block follows from the first and last document of each
block, so no mask of all pairs is ever made. PyTorch has a gradient of it on CUDA alone.

Legend: B batch, T positions, H query heads, K key heads, C channels, N blocks in a window.
"""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

BLOCK = 128
"""Positions of a block, the size that the kernels support."""


def fits(documents_BT: Tensor, head_dim: int) -> bool:
    """Whether block attention applies: training on CUDA, with sizes that the kernels support."""
    whole_blocks, power_of_two = documents_BT.shape[1] % BLOCK == 0, head_dim >= 16 and head_dim & (head_dim - 1) == 0
    return whole_blocks and power_of_two and torch.is_grad_enabled() and on_gpu(documents_BT)


def on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor is on a CUDA device."""
    return tensor.device.type == "cuda"


def block_mask(documents_BT: Tensor, causal: bool) -> Any:
    """FlexAttention's mask of: same document and, if `causal`, not later."""
    from torch.nn.attention.flex_attention import BlockMask

    blocks_BNX = documents_BT.unflatten(1, (-1, BLOCK))
    low_BN, high_BN = blocks_BNX.amin(-1), blocks_BNX.amax(-1)
    meet_BNN = (low_BN[:, :, None] <= high_BN[:, None]) & (low_BN[:, None] <= high_BN[:, :, None])
    one_BN = low_BN == high_BN
    whole_BNN = one_BN[:, :, None] & one_BN[:, None] & (low_BN[:, :, None] == low_BN[:, None])
    if causal:
        at_N = torch.arange(low_BN.shape[1], device=low_BN.device)
        meet_BNN, whole_BNN = meet_BNN & (at_N[:, None] >= at_N), whole_BNN & (at_N[:, None] > at_N)

    def visible(b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = documents_BT[b, query] == documents_BT[b, key]
        return same & (query >= key) if causal else same

    border, inside = _listed(meet_BNN & ~whole_BNN), _listed(whole_BNN)
    return BlockMask.from_kv_blocks(*border, *inside, BLOCK_SIZE=BLOCK, mask_mod=visible)


def _listed(chosen_BNN: Tensor) -> tuple[Tensor, Tensor]:
    """For each block of queries: how many blocks of keys are chosen, and which, those first. The same for all heads."""
    order_BNN = chosen_BNN.int().argsort(dim=-1, descending=True, stable=True)
    return chosen_BNN.sum(-1, dtype=torch.int32)[:, None], order_BNN.int()[:, None]


def attend(q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, mask: Any) -> Tensor:
    """softmax(q k^T / sqrt(C)) v where `mask` allows: (B, H, T, C)."""
    flex = _compiled() if not torch.compiler.is_compiling() else _plain()
    grouped = k_BKTC.shape[1] < q_BHTC.shape[1]
    return cast(Tensor, flex(q_BHTC, k_BKTC, v_BKTC, block_mask=mask, enable_gqa=grouped))


def _plain() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@cache
def _compiled() -> Any:
    """FlexAttention is a kernel only when compiled; inside a compiled block it is so already."""
    return torch.compile(_plain())
