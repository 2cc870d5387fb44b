"""What cannot fit in memory is refused before the first step, and what is refused really cannot."""

import numpy as np
import pytest
import torch

from components.model import cpu_kernels
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer, Pretrain
from components.stages.pretrain import memory_check
from components.training import numerics as floats
from components.training import objectives, optimizer
from tests.components.small_corpus import small
from tests.errors import refused

VOCABULARY, BATCH = 400, 3


def parts(**changes: object) -> tuple[Pretrain, Transformer]:
    params = small(context=128, batch=BATCH, **changes)
    return params, Transformer(derive_shape(params.model, VOCABULARY, params.context, causal=True)).initialise(1)


def held_bytes(model: Transformer, params: Pretrain, numerics: Numerics) -> int:
    """Bytes that a forward pass really keeps for the backward pass, each piece of memory once."""
    random = np.random.default_rng(1)
    batch = objectives.causal(random.integers(6, VOCABULARY, (BATCH, params.context + 1)))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), floats.autocast(numerics):
        loss = objectives.language_model_loss(model, batch)
    assert loss.isfinite()
    return sum(storage.nbytes() for pointer, storage in held.items() if pointer not in weights)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("by_kernels", [True, False])
@pytest.mark.parametrize("kv_heads", [2, 1])
def test_a_sequence_holds_at_least_what_is_said(
    dtype: str, by_kernels: bool, kv_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_kernels, "use_cpu_kernels", lambda x: by_kernels)
    params, model = parts(model=ModelShape(size=2, width=128, heads=2, kv_heads=kv_heads))
    numerics = Numerics(dtype=dtype)
    said = BATCH * memory_check.sequence_bytes(params, model.shape, numerics)
    assert said <= held_bytes(model, params, numerics) <= 4 * said


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_state_is_what_weights_gradients_and_optimizer_hold(name: str) -> None:
    params, model = parts(optimizer=Optimizer(name=name))
    optimizers = optimizer.build(model, params.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    held = 2 * sum(parameter.nbytes for parameter in model.parameters())
    optimizers.step(1.0)
    held += sum(tensor.nbytes for tensor in optimizers.state().values())
    assert memory_check.state_bytes(params, model.shape) == pytest.approx(held, rel=0.02)


def test_too_large_a_batch_is_refused_with_one_that_fits() -> None:
    params, model = parts()
    numerics = Numerics()
    limit = memory_check.state_bytes(params, model.shape) + 2 * memory_check.sequence_bytes(
        params, model.shape, numerics
    )
    with refused("refuse_what_cannot_fit.2", "pretrain.causal: 3", 128, "pretrain.causal.micro_batch to 2"):
        memory_check.refuse_what_cannot_fit("pretrain.causal", params, model.shape, numerics, limit)
    memory_check.refuse_what_cannot_fit("p", params.model_copy(update={"micro_batch": 2}), model.shape, numerics, limit)
    two = Numerics(processes=2)  # each has two sequences at most, but both are on this machine
    with refused("refuse_what_cannot_fit.1", "GB on cpu for each process"):
        memory_check.refuse_what_cannot_fit("p", params, model.shape, two, limit)
    memory_check.refuse_what_cannot_fit("p", params, model.shape, two, 2 * limit)


def test_too_large_a_network_is_refused_with_what_to_lower() -> None:
    params, model = parts()
    with refused("refuse_what_cannot_fit.1", "pretrain.masked.model.size"):
        memory_check.refuse_what_cannot_fit("pretrain.masked", params, model.shape, Numerics(), 1_000_000)
