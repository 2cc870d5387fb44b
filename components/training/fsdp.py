"""Weights, gradients and optimizer state shared out over the processes: FSDP2 (Zhao et al. 2023, arXiv:2304.11277).

The network is trained in a sharded copy: each process holds a slice of every parameter, gathers a block's weights just
before it needs them, and gets its slice of the summed gradients. The plain network beside it holds whole weights for
evaluation and export, and is brought up to date where those happen (`gather_full_weights`). Checkpoints hold whole
tensors, so any number of processes can read them.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from components.model.transformer import Block


def shard(model: nn.Module, processes: int) -> nn.Module:
    """A copy of `model`, a network or one with a head, whose parameters are spread over all processes of the group."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (processes,))
    spread = copy.deepcopy(model)
    for block in [module for module in spread.modules() if isinstance(module, Block)]:
        fully_shard(block, mesh=mesh)
    fully_shard(spread, mesh=mesh)
    if hasattr(spread, "hidden"):  # else it has a head, and its `forward` is what is called
        register_fsdp_forward_method(spread, "hidden")
    for module in spread.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # losses are divided by the whole batch's targets: sum, no mean
            module.set_force_sum_reduction_for_comms(True)  # gloo cannot divide while it sums
    return spread


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be a slice. Every process must ask for it."""
    return cast(Any, tensor).full_tensor() if is_slice(tensor) else tensor


def is_slice(tensor: Tensor) -> bool:
    """Whether a tensor is spread over processes."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def sliced_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's slice of a whole tensor, spread as `parameter` is; the tensor itself if that is whole."""
    if not is_slice(parameter) or tensor.ndim == 0:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    spread = cast(Any, parameter)
    return distribute_tensor(tensor, spread.device_mesh, spread.placements)


@torch.no_grad()
def gather_full_weights(spread: nn.Module, model: nn.Module) -> None:
    """Bring the plain network up to date with the sharded one. Every process must call it."""
    for target, source in zip(model.parameters(), spread.parameters(), strict=True):
        target.copy_(whole(source))
