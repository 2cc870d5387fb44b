"""LoRA: fine-tuning a low-rank change of each matrix (Hu et al. 2021, arXiv:2106.09685).

A wrapped matrix computes x W^T + (x A^T) (scale B)^T with W frozen; B starts at zero, so training starts at the base
model. `merge_lora` folds the change into W: the saved model is a plain one, and finetune's adapter.py saves the change.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TARGETS = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "all": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
"""`lora_targets` -> matrices of a block that get an adapter."""


class LoRALinear(nn.Linear):
    """A frozen linear layer with a trainable low-rank change beside it."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.scale = scale
        device = base.weight.device
        a_RD = torch.randn(rank, base.in_features, generator=generator) * base.in_features**-0.5
        self.lora_a = nn.Parameter(a_RD.to(device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return plus_low_rank(F.linear(x, self.weight), x, self.lora_a, self.lora_b * self.scale)

    def merged_weight(self) -> Tensor:
        """W with the change folded in, apart from the graph of gradients."""
        return self.weight.detach() + self.scale * (self.lora_b.detach() @ self.lora_a.detach())


def plus_low_rank(y: Tensor, x: Tensor, a_RD: Tensor, b_XR: Tensor) -> Tensor:
    """y + (x A^T) B^T, the sum a part of the second product: it costs no pass over memory."""
    low = F.linear(x, a_RD).flatten(0, -2)
    return torch.addmm(y.flatten(0, -2), low, b_XR.to(y.dtype).t()).view(y.shape)


def adapted(y: Tensor, x: Tensor, gain_D: Tensor, layers: Sequence[Any]) -> Tensor:
    """`y`, the products of x * gain with the matrices of `layers` side by side, with the changes of their adapters."""
    adapters = [layer for layer in layers if isinstance(layer, LoRALinear)]
    if not adapters:
        return y
    a_RD = torch.cat([layer.lora_a for layer in adapters]) * gain_D
    blocks = [
        layer.lora_b * layer.scale if isinstance(layer, LoRALinear) else y.new_zeros(layer.out_features, 0)
        for layer in layers
    ]
    return plus_low_rank(y, x, a_RD, torch.block_diag(*blocks))


def add_lora(model: nn.Module, rank: int, seed: int, alpha: float = 0.0, targets: str = "all") -> nn.Module:
    """Freeze `model` and give linear layers of its blocks an adapter of `rank`. Changes the model in place.

    Args:
        alpha: the change is multiplied by alpha / rank; 0 is twice the rank.
        targets: a key of `TARGETS`.
    """
    assert rank > 0
    generator, scale = torch.Generator().manual_seed(seed), (alpha or 2.0 * rank) / rank
    model.requires_grad_(False)
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear and "layers." in name and name.rpartition(".")[2] in TARGETS[targets]
    ]
    for name, module in layers:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, LoRALinear(module, rank, scale, generator))
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """Replace every adapter, in place, by a plain linear layer with the change folded in."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LoRALinear):
            parent, _, leaf = name.rpartition(".")
            plain = nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
            plain.weight = nn.Parameter(module.merged_weight())
            setattr(model.get_submodule(parent), leaf, plain)
    return model.requires_grad_(True)


def has_lora(model: nn.Module) -> bool:
    """Whether any layer has an adapter."""
    return any(isinstance(module, LoRALinear) for module in model.modules())
