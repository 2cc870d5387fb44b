"""LoRA: it starts at the base model, trains adapters alone, and merges into a plain model."""

import pytest
import torch

from components.model import cpu_kernels, lora
from components.params import Optimizer
from components.training import optimizer
from components.training.objectives import Batch, language_model_loss
from tests.components.model.test_transformer import network, some_ids


def test_adapters_train_and_merge() -> None:
    base, model, ids = network(), network(), some_ids(2, 30)
    lora.add_lora(model, rank=4, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), base(ids))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    optimizers = optimizer.build(model, Optimizer(name="adamw", matrix_lr=0.01))
    for _ in range(3):
        model(ids).square().mean().backward()
        optimizers.step(1.0)
    with torch.no_grad():
        changed = model(ids)
        assert (changed - base(ids)).abs().max() > 1e-3
        lora.merge_lora(model)
        assert not lora.has_lora(model)
        torch.testing.assert_close(model(ids), changed, rtol=1e-4, atol=1e-5)
    assert model.state_dict().keys() == base.state_dict().keys()


@pytest.mark.parametrize("targets", ["all", "attention"])
@pytest.mark.parametrize("causal", [True, False])
def test_fused_kernels_give_adapters_the_same_gradients(
    targets: str, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = network(causal), some_ids(2, 150)
    lora.add_lora(model, rank=3, seed=1, alpha=4.0, targets=targets)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_b" in name:
                parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)) * 0.05
    batch = Batch(ids, ids.roll(-1, 1))
    found = []
    for fused in (True, False):
        with monkeypatch.context() as patch:
            if not fused:
                patch.setattr(cpu_kernels, "use_cpu_kernels", lambda x: False)
            language_model_loss(model, batch).backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
        model.zero_grad()
    assert found[0].keys() == found[1].keys()
    assert all("attn" in name or targets == "all" for name in found[0])
    assert {name.rpartition(".")[2] for name in found[0]} == {"lora_a", "lora_b"}
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-4, msg=name)
