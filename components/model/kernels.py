"""The few inner products of the network that eager PyTorch does slowly on a CPU, each as one function.

Plain definitions first: what `rotate` and `swiglu` compute is what their first lines say. How they are computed is
where the time goes, since matrix products on current CPUs are faster than the element-wise passes between them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100
"""A target that counts for nothing (PyTorch's convention)."""
ROWS = 1024
"""Rows of logits held at once: at a vocabulary of 4096 they are 16 MB in float32 instead of 64 for a whole batch."""


def rotate(x_BHTC: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
    """RoPE: turn each pair of channels (c, c + C/2) by its position's angle."""
    first, second = x_BHTC.chunk(2, dim=-1)
    return x_BHTC * cos_TC + torch.cat((-second, first), dim=-1) * sin_TC


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return F.silu(gate) * up


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which matrix products are computed now."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def linear_cross_entropy(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Summed cross entropy (nats, float32 scalar) of `targets_N` under softmax(x_ND weight_VD^T).

    The logits of a batch are its largest tensor by far. They are made in pieces, each is turned into its gradient in
    place at once, and none is kept: the forward pass does the backward pass's work. Rows whose target is IGNORE are
    dropped first.
    """
    keep_N = targets_N != IGNORE
    if not bool(keep_N.all()):
        x_ND, targets_N = x_ND[keep_N], targets_N[keep_N]
    dtype = autocast_dtype(x_ND)
    total: Tensor = _LinearCrossEntropy.apply(x_ND.to(dtype), weight_VD.to(dtype), targets_N)
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    """The loss, with both gradients computed on the way; products in the inputs' type, the softmax in float32."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        with torch.autocast(x_ND.device.type, enabled=False):
            total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
            needed = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
            dx_ND = torch.empty_like(x_ND) if needed else None
            dweight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if needed else None
            for start in range(0, len(x_ND), ROWS):
                x, targets = x_ND[start : start + ROWS], targets_N[start : start + ROWS, None]
                logprob = F.linear(x, weight_VD).float().log_softmax(-1)
                total -= logprob.gather(1, targets).sum()
                if dx_ND is not None and dweight_VD is not None:
                    gradient = logprob.exp_().scatter_add_(
                        1, targets, torch.full_like(targets, -1.0, dtype=torch.float32)
                    )
                    gradient = gradient.to(x.dtype)
                    dx_ND[start : start + ROWS] = gradient @ weight_VD
                    dweight_VD += gradient.T @ x
        if dx_ND is not None and dweight_VD is not None:
            ctx.save_for_backward(dx_ND, dweight_VD.to(weight_VD.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        dx_ND, dweight_VD = ctx.saved_tensors
        scale = outputs[0]
        return dx_ND * scale.to(dx_ND.dtype), dweight_VD * scale.to(dweight_VD.dtype), None
