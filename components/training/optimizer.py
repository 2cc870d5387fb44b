"""Optimizers: Muon for the matrices of the blocks, AdamW for embeddings, head and gains.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a matrix by the nearest
orthogonal one, so that every direction of it learns at the same pace (muon.py). AdamW is Loshchilov & Hutter 2017
(arXiv:1711.05101). At this project's sizes Muon saves more than half of the steps (docs/results.md).

The rates that ship serve all widths within 1% of the loss (docs/results.md, 3 widths): Muon's updates have the same
spectral norm whatever the width (Yang et al. 2023, arXiv:2310.17813), and AdamW's rate of an embedding does not depend
on the width in muP (Yang et al. 2022, arXiv:2203.03466). With `name: adamw` the matrices' best rate falls with the
width, and nothing here corrects for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.params import Optimizer
from components.training.muon import Muon

BETA2 = 0.95
"""Of AdamW."""
EPSILON = 1e-10


@dataclass
class Optimizers:
    """Several optimizers that act as one.

    Attributes:
        optimizers: the optimizers; each parameter belongs to one.
        names: of every trained parameter, as in the model.
    """

    optimizers: list[torch.optim.Optimizer]
    names: dict[nn.Parameter, str]

    def step(self, rate: float) -> None:
        """Update all parameters at `rate` times their peak learning rate; clear the gradients."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            optimizer.step()
        self.clear_gradients()

    def clear_gradients(self) -> None:
        """Set all gradients to None."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """All state as tensors, `<parameter>/<field>`."""
        return {f"{self.names[p]}/{field}": tensor for p, fields in self._states() for field, tensor in fields.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Load tensors of `state`; a fused AdamW has its count of steps on the device too."""
        for optimizer in self.optimizers:
            optimizer.state.clear()
        owner = {
            self.names[p]: (optimizer, p)
            for optimizer in self.optimizers
            for g in optimizer.param_groups
            for p in g["params"]
        }
        for key, tensor in tensors.items():
            name, _, field = key.rpartition("/")
            optimizer, parameter = owner[name]
            optimizer.state[parameter][field] = tensor.to(parameter.device, copy=True)

    def _states(self) -> Iterator[tuple[Any, dict[str, Tensor]]]:
        for optimizer in self.optimizers:
            yield from optimizer.state.items()


def build(model: nn.Module, params: Optimizer) -> Optimizers:
    """Optimizers for all parameters of `model` that require a gradient."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    matrices = [p for name, p in trained.items() if "layers." in name and p.ndim == 2]
    chosen = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in trained.values() if id(parameter) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices and params.name == "muon":
        muon = {"params": matrices, "lr": params.matrix_lr, "peak_lr": params.matrix_lr}
        decay = params.weight_decay
        optimizers.append(Muon([muon], lr=params.matrix_lr, weight_decay=decay, momentum=params.momentum))
        matrices = []
    # Embeddings are not decayed when Muon has the matrices; with AdamW everything two-dimensional is.
    decay = params.weight_decay if params.name == "adamw" else 0.0
    groups = [
        {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decayed}
        for parameters, rate, decayed in (
            (matrices, params.matrix_lr, decay),
            ([p for p in rest if p.ndim >= 2], params.embedding_lr, decay),
            ([p for p in rest if p.ndim < 2], params.embedding_lr, 0.0),
        )
    ]
    groups = [group for group in groups if group["params"]]
    if groups:
        optimizers.append(torch.optim.AdamW(groups, betas=(params.beta1, BETA2), eps=EPSILON, fused=True))
    return Optimizers(optimizers, {parameter: name for name, parameter in trained.items()})
