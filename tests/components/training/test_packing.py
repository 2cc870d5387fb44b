"""Chats packed into rows: each is predicted as if it stood alone."""

import pytest
import torch

from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.training.objectives import IGNORE, packed

LENGTHS = (30, 5, 17, 64, 9, 33)


def chats() -> list[tuple[list[int], list[bool]]]:
    draw = torch.Generator().manual_seed(1)
    made = []
    for length in LENGTHS:
        ids = torch.randint(7, 100, (length,), generator=draw).tolist()
        made.append((ids, [place % 3 > 0 for place in range(length)]))
    return made


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(derive_shape(ModelShape(size=2, width=64, heads=2), 100, 64, causal=True)).initialise(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    return made


def test_a_packed_chat_has_the_logits_it_has_alone(model: Transformer) -> None:
    batch, alone = packed(chats(), 64, 32), [packed([chat], 64, 1) for chat in chats()]
    assert batch.ids_BT.shape == (3, 64)
    with torch.inference_mode():
        logits = model(batch.ids_BT, batch.documents_BT)[batch.targets != IGNORE]
        expected = {len(one.ids_BT[0]): model(one.ids_BT)[one.targets != IGNORE] for one in alone}
    order = torch.cat([batch.targets[row][batch.targets[row] != IGNORE] for row in range(3)])
    sizes = [[63], [32, 29], [16, 8, 4]]
    assert torch.allclose(logits, torch.cat([expected[size] for row in sizes for size in row]), atol=1e-5)
    assert sorted(order.tolist()) == sorted(
        id for ids, learned in chats() for id, is_learned in zip(ids[1:], learned[1:], strict=True) if is_learned
    )
