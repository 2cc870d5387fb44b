"""Muon with the matrices of equal shape orthogonalised together: fewer and larger products than one by one.

The update is that of `torch.optim.Muon` (Jordan et al. 2024, kellerjordan.github.io/posts/muon): Nesterov momentum,
five steps of a Newton-Schulz iteration in bfloat16 towards the nearest orthogonal matrix, and a rate that grows with
sqrt(rows / columns) where there are more rows. State and its names are the same too, so checkpoints of either fit both.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from components.train.sharding import sliced_like, whole

A, B, C = 3.4445, -4.7750, 2.0315
"""Of the iteration X <- a X + (b G + c G^2) X, G = X X^T: steepest at zero with singular values staying near 1."""
STEPS = 5
EPSILON = 1e-7


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrix of each of (n, rows, columns), roughly: singular values from 0.7 to 1.2."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.transpose(1, 2).contiguous() if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
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
