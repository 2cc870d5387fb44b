"""Muon with the matrices of equal shape orthogonalised together: fewer and larger products than one by one.

The update is that of `torch.optim.Muon` (Jordan et al. 2024, kellerjordan.github.io/posts/muon): Nesterov momentum,
five steps of a Newton-Schulz iteration in bfloat16 towards the nearest orthogonal matrix, and a rate that grows with
sqrt(rows / columns) where there are more rows. State and its names are the same too, so checkpoints of either fit both.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor

from components.training.numerics import product_dtype

A, B, C = 3.4445, -4.7750, 2.0315
"""Coefficients of the iteration X <- a X + (b G + c G^2) X, G = X X^T: steep at zero, singular values stay near 1."""
STEPS = 5
EPSILON = 1e-7


def orthogonalised(matrices_NRC: Tensor) -> Tensor:
    """The nearest orthogonal matrix of each of N with R <= C, roughly: singular values from 0.7 to 1.2.

    In bfloat16, or float32 where the processor has no such products.
    """
    x = matrices_NRC.to(product_dtype(matrices_NRC.device.type))
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x


class Muon(torch.optim.Optimizer):
    """See the module docstring. For matrices alone.

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
        # Matrix by matrix up to the stack and from it: what one needs stays in the processor's cache meanwhile.
        rows, columns = matrices[0].shape
        shape = len(matrices), min(rows, columns), max(rows, columns)
        device = matrices[0].device
        stack = torch.empty(shape, dtype=product_dtype(device.type), device=device)
        for matrix, wide in zip(matrices, stack, strict=True):
            ahead = self._ahead(matrix, group["momentum"])
            wide.copy_(ahead.T if rows > columns else ahead)
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        for matrix, wide in zip(matrices, orthogonalised(stack), strict=True):
            update = wide.T.contiguous() if rows > columns else wide
            if group["weight_decay"]:
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(update.to(matrix.dtype), alpha=-rate)

    def _ahead(self, matrix: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum: the updated running mean of gradients, looked past."""
        state, gradient = self.state[matrix], cast(Tensor, matrix.grad)
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum_buffer"], momentum)
