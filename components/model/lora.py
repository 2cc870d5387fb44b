"""LoRA: fine-tuning a low-rank change of each matrix (Hu et al. 2021, arXiv:2106.09685).

A wrapped matrix computes x W^T + (x A^T) B^T * scale with W frozen; B starts at zero, so training starts at the base
model. `merged` folds the change into W, and the saved model is a plain one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 2.0
"""alpha / rank: alpha is twice the rank, as is common."""


class LoRALinear(nn.Linear):
    """A frozen linear layer with a trainable low-rank change beside it."""

    def __init__(self, base: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        device = base.weight.device
        a_RD = torch.randn(rank, base.in_features, generator=generator) * base.in_features**-0.5
        self.lora_a = nn.Parameter(a_RD.to(device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.lora_a), self.lora_b) * SCALE

    def merged_weight(self) -> Tensor:
        """W with the change folded in."""
        return self.weight.detach() + SCALE * (self.lora_b.detach() @ self.lora_a.detach())


def add_lora(model: nn.Module, rank: int, seed: int) -> nn.Module:
    """Freeze `model` and give every linear layer of its blocks an adapter of `rank`. Changes the model in place."""
    assert rank > 0
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    found = [
        (name, module) for name, module in model.named_modules() if type(module) is nn.Linear and "layers." in name
    ]
    for name, module in found:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, LoRALinear(module, rank, generator))
    _mark(model, adapted=True)
    return model


def merge_lora(model: nn.Module) -> nn.Module:
    """Replace every adapter by a plain linear layer with the change folded in. Changes the model in place."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LoRALinear):
            parent, _, leaf = name.rpartition(".")
            plain = nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
            plain.weight = nn.Parameter(module.merged_weight())
            setattr(model.get_submodule(parent), leaf, plain)
    _mark(model, adapted=False)
    return model.requires_grad_(True)


def _mark(model: nn.Module, adapted: bool) -> None:
    """Tell the blocks, which otherwise multiply by their matrices directly."""
    for module in model.modules():
        if hasattr(module, "adapted"):
            setattr(module, "adapted", adapted)  # noqa: B010 - typed as a tensor or module otherwise


def has_lora(model: nn.Module) -> bool:
    """Whether any layer has an adapter."""
    return any(isinstance(module, LoRALinear) for module in model.modules())


def merged(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name as of `merge_lora`, the model left as it is."""
    folded = {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        if owner not in folded:
            tensors[name] = parameter
        elif leaf == "weight":
            tensors[name] = folded[owner].merged_weight()
    return tensors
