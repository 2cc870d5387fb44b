"""The network: its shape from one dial, what a position may see, and that the fast kernels compute the plain thing."""

import pytest
import torch
import torch.nn.functional as F

from components.model import cpu_kernels
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.training.objectives import IGNORE, Batch, language_model_loss
from tests.errors import refused

VOCABULARY = 300


def network(causal: bool = True, context: int = 160, **model: object) -> Transformer:
    """A small network whose every weight is random (fresh ones have zeros, and heads that look at one place)."""
    shape = derive_shape(ModelShape(**{"size": 2} | model), VOCABULARY, context, causal)
    result = Transformer(shape)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in result.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.06 + (parameter.ndim == 1))
    return result.eval()


def some_ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(6, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(3))


def test_one_dial_gives_the_shape_of_gpt2_small() -> None:
    shape = derive_shape(ModelShape(size=12), 50_304, 1024, causal=True)
    assert (shape.width, shape.heads, shape.head_dim, shape.feed_forward) == (768, 12, 64, 2048)
    assert 120e6 < shape.num_block_parameters + shape.vocab_size * shape.width < 125e6


@pytest.mark.parametrize(
    ("model", "number"),
    [({"width": 100, "heads": 3}, 1), ({"width": 20, "heads": 4}, 1), ({"heads": 4, "kv_heads": 3}, 2)],
)
def test_sizes_that_do_not_divide_are_refused(model: dict, number: int) -> None:
    with refused(f"shape.derive_shape.{number}", *model.values()):
        derive_shape(ModelShape(size=4, **{"width": 256} | model), 512, 64, causal=True)


def test_a_causal_network_does_not_see_what_follows_and_a_bidirectional_one_does() -> None:
    ids = some_ids(1, 20)
    changed = ids.clone()
    changed[0, 10] = 7
    for causal in (True, False):
        model = network(causal)
        with torch.no_grad():
            same = (model(ids)[0, :10] == model(changed)[0, :10]).all()
        assert bool(same) is causal


@pytest.mark.parametrize("causal", [True, False])
def test_with_a_document_mask_packed_documents_do_not_see_each_other(causal: bool) -> None:
    model, ids = network(causal), some_ids(1, 24)
    documents = torch.tensor([[0] * 10 + [1] * 14])
    other = ids.clone()
    other[0, :10] = some_ids(1, 10).flip(1)
    with torch.no_grad():
        assert torch.equal(model(ids, documents)[0, 10:], model(other, documents)[0, 10:])
        assert not torch.equal(model(ids)[0, 10:], model(other)[0, 10:])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("length", [31, 128, 150])
def test_kernels_give_the_plain_loss_and_gradients(causal: bool, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids, targets = network(causal), some_ids(2, length), some_ids(2, length).flip(1)
    targets[:, :5] = IGNORE
    fast = language_model_loss(model, Batch(ids, targets))
    fast_gradients = torch.autograd.grad(fast, list(model.parameters()))
    monkeypatch.setattr(cpu_kernels, "use_cpu_kernels", lambda x: False)
    plain = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), reduction="sum")
    plain_gradients = torch.autograd.grad(plain, list(model.parameters()))
    torch.testing.assert_close(fast, plain, rtol=1e-6, atol=0)
    for (name, _), ours, theirs in zip(model.named_parameters(), fast_gradients, plain_gradients, strict=True):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm(), name


def test_the_loss_works_in_pieces_and_with_nothing_to_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = network(), some_ids(2, 64)
    hidden = model.hidden(ids).flatten(0, 1).detach().requires_grad_()
    whole = torch.autograd.grad(cpu_kernels.linear_cross_entropy(hidden, model.head_weight, ids.flatten()), hidden)[0]
    monkeypatch.setattr(cpu_kernels, "LOGITS_CHUNK", 50 * VOCABULARY)
    pieces = torch.autograd.grad(cpu_kernels.linear_cross_entropy(hidden, model.head_weight, ids.flatten()), hidden)[0]
    torch.testing.assert_close(pieces, whole)
    assert cpu_kernels.logit_rows(50304, "cuda") > 10_000 > 1000 > cpu_kernels.logit_rows(50304, "cpu"), "by device"
    assert language_model_loss(model, Batch(ids, torch.full_like(ids, IGNORE))).item() == 0.0


def test_fresh_weights_are_a_function_of_the_seed() -> None:
    shape = network().shape
    torch.manual_seed(99)
    first, again, other = (Transformer(shape).initialise(seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embed_tokens.weight, other.embed_tokens.weight)
