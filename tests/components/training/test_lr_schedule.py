"""The learning rate over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.params import Optimizer
from components.training.lr_schedule import rate


@given(
    name=st.sampled_from(["wsd", "cosine", "linear"]),
    steps=st.integers(1, 400),
    warmup=st.floats(0, 0.5),
    decay=st.floats(0.01, 0.5),
)
def test_it_rises_to_the_peak_once_and_falls(name: str, steps: int, warmup: float, decay: float) -> None:
    optimizer = Optimizer(schedule=name, warmup=warmup, decay=decay)
    rates = [rate(step, steps, optimizer) for step in range(steps)]
    assert all(0 < value <= 1 for value in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(("name", "middle", "last"), [("wsd", 1.0, 0.02), ("linear", 0.5, 0.01), ("cosine", 0.55, 0.1)])
def test_shapes(name: str, middle: float, last: float) -> None:
    optimizer = Optimizer(schedule=name, warmup=0.0, decay=0.5)
    assert rate(50, 100, optimizer) == pytest.approx(middle, abs=0.01)
    assert rate(99, 100, optimizer) == pytest.approx(last, abs=0.01)
