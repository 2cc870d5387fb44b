"""Muon takes the steps of its formula, one matrix at a time, with every update near the orthogonal one."""

import pytest
import torch
from torch import Tensor

from components.train.muon import POLYNOMIALS, Muon, orthogonalised

SHAPES = ((64, 64), (176, 64), (64, 64), (64, 176), (176, 64))


def polar(matrix: Tensor) -> Tensor:
    """The iteration of `muon.py` by singular values in double precision: its polynomials on each of them."""
    left, values, right = torch.linalg.svd(matrix.double() / matrix.double().norm(), full_matrices=False)
    for a, b, c in POLYNOMIALS:
        values = a * values + b * values**3 + c * values**5
    return left @ torch.diag(values) @ right


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_takes_the_steps_of_its_formula(weight_decay: float) -> None:
    random = torch.Generator().manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in SHAPES]
    theirs = [parameter.detach().double() for parameter in ours]
    momenta = [torch.zeros_like(matrix) for matrix in theirs]
    muon = Muon([{"params": ours, "lr": 0.02}], lr=0.02, weight_decay=weight_decay, momentum=0.95)
    for _ in range(4):
        for at, matrix in enumerate(ours):
            matrix.grad = torch.randn(matrix.shape, generator=random)
            momenta[at] = 0.95 * momenta[at] + 0.05 * matrix.grad.double()
            ahead = 0.95 * momenta[at] + 0.05 * matrix.grad.double()
            rate = 0.02 * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            theirs[at] = theirs[at] * (1 - 0.02 * weight_decay) - rate * polar(ahead)
        muon.step()
    for at, matrix in enumerate(ours):
        moved = (theirs[at] - matrix.double()).norm() / (theirs[at].norm() + 1)
        assert moved < 2e-3, "beyond what an iteration in bfloat16 may round"
        assert torch.allclose(muon.state[matrix]["momentum_buffer"].double(), momenta[at], atol=1e-6)


def test_its_state_is_that_of_pytorchs_muon() -> None:
    """So that a checkpoint of either is read by the other."""
    one, other = torch.nn.Parameter(torch.ones(8, 4)), torch.nn.Parameter(torch.ones(8, 4))
    ours, theirs = Muon([one], lr=0.1, momentum=0.95, weight_decay=0.1), torch.optim.Muon([other], lr=0.1)
    one.grad = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    other.grad = one.grad.clone()
    ours.step()
    theirs.step()
    assert ours.state[one].keys() == theirs.state[other].keys()
    assert torch.equal(ours.state[one]["momentum_buffer"], theirs.state[other]["momentum_buffer"])


def test_all_directions_of_an_update_are_of_like_size() -> None:
    matrices = torch.randn(3, 96, 32, generator=torch.Generator().manual_seed(1))
    found = torch.linalg.svdvals(orthogonalised(matrices).float())
    assert found.min() > 0.7
    assert found.max() < 1.3
    assert torch.linalg.svdvals(matrices).max() > 10


def test_a_matrix_without_gradient_stays() -> None:
    matrix = torch.nn.Parameter(torch.ones(8, 8))
    Muon([{"params": [matrix], "lr": 0.1}], lr=0.1, weight_decay=0.1, momentum=0.9).step()
    assert torch.equal(matrix, torch.ones(8, 8))
