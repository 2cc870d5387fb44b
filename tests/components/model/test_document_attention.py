"""Attention by blocks computes what the dense mask computes, and is taken on CUDA alone."""

import pytest
import torch

from components.model import document_attention
from tests.components.model.test_transformer import network, some_ids

LENGTH = 4 * document_attention.BLOCK


def documents() -> torch.Tensor:
    """Two windows: a document longer than a block, short ones, one that ends with a block; and padding behind one."""
    packed = [0] * 300 + [1] * 10 + [2] * 74 + [3] * 128
    return torch.tensor([packed, [1] * 390 + [0] * 122])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kv_heads", [2, 1])
def test_blocks_give_the_logits_of_the_dense_mask(causal: bool, kv_heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = network(causal, LENGTH, kv_heads=kv_heads), some_ids(2, LENGTH)
    with torch.no_grad():  # on a CPU it has no gradient
        dense = model(ids, documents())
        monkeypatch.setattr(document_attention, "fits", lambda *_: True)
        monkeypatch.setattr(document_attention, "_compiled", document_attention._plain)
        torch.testing.assert_close(model(ids, documents()), dense, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_in_compiled_blocks_too_and_other_documents_are_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids, other = network(True, LENGTH, kv_heads=1), some_ids(2, LENGTH), documents().roll(1, 0)
    graphs = torch._dynamo.utils.counters["stats"]
    with torch.no_grad():
        dense = [model(ids, documents()), model(ids, other)]
        monkeypatch.setattr(document_attention, "fits", lambda *_: True)
        for block in model.layers:
            block.compile()
        torch.testing.assert_close(model(ids, documents()), dense[0], rtol=1e-4, atol=1e-5)
        compiled = graphs["unique_graphs"]
        torch.testing.assert_close(model(ids, other), dense[1], rtol=1e-4, atol=1e-5)
    assert 0 < compiled == graphs["unique_graphs"]


def test_it_is_taken_in_training_on_cuda_for_whole_blocks_and_common_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not document_attention.fits(documents(), 64)  # these lie on a CPU
    monkeypatch.setattr(document_attention, "on_gpu", lambda _: True)
    assert document_attention.fits(documents(), 64)
    assert not document_attention.fits(documents()[:, :-1], 64)
    assert not document_attention.fits(documents(), 48)
    with torch.no_grad():
        assert not document_attention.fits(documents(), 64)
    assert network(True, LENGTH).positions(some_ids(2, LENGTH), documents(), None).blocks is not None
