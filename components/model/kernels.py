"""The few inner products of the network that eager PyTorch does slowly on a CPU, each as one function.

Plain definitions first: what `rotate` and `swiglu` compute is what their first lines say. How they are computed is
where the time goes, since matrix products on current CPUs are faster than the element-wise passes between them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(x_BHTC: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
    """RoPE: turn each pair of channels (c, c + C/2) by its position's angle."""
    first, second = x_BHTC.chunk(2, dim=-1)
    return x_BHTC * cos_TC + torch.cat((-second, first), dim=-1) * sin_TC


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return F.silu(gate) * up
