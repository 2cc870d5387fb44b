"""A fresh network looks for what stood beside the same tokens earlier in its window."""

import pytest
import torch

from components.model.shape import derive_shape
from components.model.transformer import Transformer, captured_attention
from components.params import ModelShape

VOCABULARY, LENGTH = 2000, 100


def fresh(causal: bool = True, **model: int) -> Transformer:
    shape = derive_shape(ModelShape(**{"size": 2, "width": 128} | model), VOCABULARY, 256, causal)
    return Transformer(shape).initialise(1)


def attention(model: Transformer) -> list[torch.Tensor]:
    """Weights of each layer, (B, H, T, S), where texts of random tokens say the same again."""
    draws = (torch.Generator().manual_seed(seed) for seed in range(4))
    once_BT = torch.stack([torch.randperm(VOCABULARY, generator=draw)[:LENGTH] for draw in draws])
    with torch.no_grad(), captured_attention(model) as seen:
        model.eval()(torch.cat([once_BT, once_BT], 1))
    return [weights[:, :, LENGTH + 1 :] for weights in seen]


@pytest.mark.parametrize("model", [{}, {"size": 4, "width": 256}, {"size": 3, "width": 256, "heads": 4, "kv_heads": 2}])
def test_the_first_head_looks_one_back_and_the_second_at_what_followed(model: dict[str, int]) -> None:
    at_T = torch.arange(LENGTH + 1, 2 * LENGTH)
    previous, followed, *deeper = (weights.argmax(-1) for weights in attention(fresh(**model)))
    assert (previous[:, 0] == at_T - 1).float().mean() > 0.95
    assert (followed[:, 0] == at_T - LENGTH + 1).float().mean() > 0.5
    others = [(previous[:, 1:], at_T - 1), (followed[:, 1:], at_T - LENGTH + 1), *((one, at_T - 1) for one in deeper)]
    assert all((found == place).float().mean() < 0.1 for found, place in others)


@pytest.mark.parametrize(
    ("model", "sides"),
    [
        ({}, [-1, 1]),
        ({"size": 3, "width": 256, "heads": 4, "kv_heads": 2}, [-1, 1]),
        ({"heads": 2, "kv_heads": 1}, [-1]),
    ],
)
def test_masked_heads_look_at_the_neighbours_and_where_else_the_same_ones_stood(
    model: dict[str, int], sides: list[int]
) -> None:
    at_T = torch.arange(LENGTH + 1, 2 * LENGTH - 1)
    beside, alike, *_ = (weights[:, :, :-1] for weights in attention(fresh(causal=False, **model)))
    first = torch.arange(len(sides)) * beside.shape[1] // model.get("kv_heads", beside.shape[1])
    for head, side in zip(first.tolist(), sides, strict=True):
        assert (beside[:, head].argmax(-1) == at_T + side).float().mean() > 0.95
        elsewhere = alike[:, head, :, :LENGTH].argmax(-1)  # what is most alike is the place itself
        assert (elsewhere == at_T - LENGTH).float().mean() > 0.5
    others = [head for head in range(beside.shape[1]) if head not in first]
    assert all((beside[:, others].argmax(-1) == at_T + side).float().mean() < 0.1 for side in sides if others)
