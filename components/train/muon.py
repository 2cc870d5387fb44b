"""Muon with the matrices of equal shape orthogonalised together: fewer and larger products than one by one.

The update is that of `torch.optim.Muon` (Jordan et al. 2024, kellerjordan.github.io/posts/muon): Nesterov momentum, an
iteration in bfloat16 towards the nearest orthogonal matrix, and a rate that grows with sqrt(rows / columns) where there
are more rows. The iteration is three steps with polynomials of their own instead of five with one: the composition of
odd quintics that is nearest to 1 on [0.01, 1] (Amsel et al. 2025, Polar Express, arXiv:2505.16932). It is about as
near, at three fifths of the products (figures: docs/pretrain.md). State and its names are those of torch.optim.Muon.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from components.train.sharding import sliced_like, whole

POLYNOMIALS = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))
"""Of the iteration X <- a X + (b G + c G^2) X, G = X X^T: singular values from 0.01 to 1 end between 0.73 and 1.27."""
EPSILON = 1e-7


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrix of each of (n, rows, columns), roughly: singular values from 0.7 to 1.3."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.transpose(1, 2).contiguous() if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for a, b, c in POLYNOMIALS:
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """See the module docstring. For matrices alone.

    Slices of FSDP2 are gathered for the iteration, which every process then does for all: it must see whole matrices.

    Args:
        params: parameter groups.
        momentum: of the running mean of gradients.
        weight_decay: decoupled.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for matrices in shapes.values():
                self._update(matrices, group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        gradients: Any = [matrix.grad for matrix in matrices]
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
        buffers = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
        together = orthogonalised(torch.stack([whole(one) for one in ahead])).to(matrices[0].dtype)
        updates = [sliced_like(update, matrix) for update, matrix in zip(together, matrices, strict=True)]
        rows, columns = matrices[0].shape
        if group["weight_decay"]:
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, updates, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
