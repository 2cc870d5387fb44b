"""The best for a budget, and the same loss for less, by a made-up law."""

from pathlib import Path

import pytest

from components.carbon.optimum import cheapest, frontier, plot
from components.train.scaling_law import Candidate, Law, best

LAW = Law(floor=1.5, size_scale=40.0, size_exponent=0.35, token_scale=120.0, token_exponent=0.3)
CANDIDATES = [Candidate(str(width), 30.0 * width**2, 200.0 * width**2) for width in range(64, 2049, 64)]


@pytest.mark.parametrize("size", [1_000_000.0, 20_000_000.0])
def test_a_lopsided_choice_reaches_its_loss_for_less(size: float) -> None:
    """Twenty times too few tokens for its size: the law knows a cheaper way to the same loss."""
    tokens = size
    flops, loss = 20.0 / 3 * size * tokens, LAW.loss(size, tokens)
    found = cheapest(LAW, loss, CANDIDATES)
    assert found
    assert found.loss <= loss
    assert found.flops < flops
    assert best(LAW, found.flops * 0.98, CANDIDATES).loss > loss


def test_below_the_laws_floor_nothing_helps() -> None:
    assert cheapest(LAW, 1.4, CANDIDATES) is None


def test_the_frontier_falls_with_every_gram(tmp_path: Path) -> None:
    plans = frontier(LAW, 1e13, CANDIDATES)
    assert plans[0].flops == pytest.approx(1e13 / 30)
    assert plans[-1].flops == pytest.approx(3e14)
    losses = [plan.loss for plan in plans]
    assert losses == sorted(losses, reverse=True)
    plot(plans, (1.0, 4.0), 1e-13, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
