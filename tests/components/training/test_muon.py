"""Muon on stacks of matrices takes the steps of PyTorch's, one matrix at a time."""

import pytest
import torch

from components.training.muon import Muon

SHAPES = ((64, 64), (176, 64), (64, 64), (64, 176), (176, 64))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_takes_the_steps_of_pytorchs_muon(weight_decay: float) -> None:
    random = torch.Generator().manual_seed(1)
    theirs = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in SHAPES]
    ours = [torch.nn.Parameter(parameter.detach().clone()) for parameter in theirs]
    one = torch.optim.Muon([{"params": theirs, "lr": 0.02}], weight_decay=weight_decay, momentum=0.95)
    other = Muon([{"params": ours, "lr": 0.02}], lr=0.02, weight_decay=weight_decay, momentum=0.95)
    for _ in range(4):
        for a, b in zip(theirs, ours, strict=True):
            a.grad = torch.randn(a.shape, generator=random)
            b.grad = a.grad.clone()
        one.step()
        other.step()
    for a, b in zip(theirs, ours, strict=True):
        assert torch.allclose(a, b, atol=1e-3), "beyond what an iteration in bfloat16 may round"
        assert torch.equal(one.state[a]["momentum_buffer"], other.state[b]["momentum_buffer"])
