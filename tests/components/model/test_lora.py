"""LoRA: it starts at the base model, trains adapters alone, and merges into a plain model."""

import pytest
import torch

from components.model import cpu_kernels, lora
from components.model.export import hub_tensors
from components.params import Optimizer
from components.training import optimizer
from components.training.objectives import Batch, language_model_loss
from tests.components.model.test_transformer import network, some_ids


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_train_and_merge(dora: bool) -> None:
    base, model, ids = network(), network(), some_ids(2, 30)
    lora.add_lora(model, rank=4, seed=1, dora=dora)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), base(ids))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert any("magnitude" in name for name in trained) is dora
    optimizers = optimizer.build(model, Optimizer(name="adamw", matrix_lr=0.01))
    for _ in range(3):
        model(ids).square().mean().backward()
        optimizers.step(1.0)
    with torch.no_grad():
        changed = model(ids)
        assert (changed - base(ids)).abs().max() > 1e-3
        exported = hub_tensors(model)
        lora.merge_lora(model)
        assert not lora.has_lora(model)
        torch.testing.assert_close(model(ids), changed, rtol=1e-4, atol=1e-5)
    assert exported.keys() == hub_tensors(base).keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in hub_tensors(model).items())


def test_adapters_count_in_training_mode_too() -> None:
    model, ids = network(), some_ids(2, 30)
    lora.add_lora(model, rank=2, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_b" in name:
                parameter += 0.05
        quiet = model(ids)
    torch.testing.assert_close(model(ids).detach(), quiet, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targets", ["all", "attention"])
@pytest.mark.parametrize(("causal", "dora"), [(True, False), (False, False), (True, True)])
def test_fused_kernels_give_adapters_the_same_gradients(
    targets: str, causal: bool, dora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = network(causal), some_ids(2, 150)
    lora.add_lora(model, rank=3, seed=1, alpha=4.0, targets=targets, dora=dora)
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
    kinds = {"lora_a", "lora_b", "lora_magnitude_X"} if dora else {"lora_a", "lora_b"}
    assert {name.rpartition(".")[2] for name in found[0]} == kinds
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-4, msg=name)


def test_dora_has_the_gradients_of_peft() -> None:
    """Of one layer: the length of a changed row is a constant in both, and 1 is what its magnitude is over."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    plain, x = torch.nn.Linear(6, 5, bias=False), torch.randn(7, 6)
    ours = lora.LoRALinear(plain, 2, 1.5, torch.Generator().manual_seed(2), dora=True)
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["0"], use_dora=True)
    theirs = get_peft_model(torch.nn.Sequential(plain), config)
    layer = theirs.base_model.model[0]
    pairs = (
        (ours.lora_a, layer.lora_A.default.weight), (ours.lora_b, layer.lora_B.default.weight),
        (ours.lora_magnitude_X, layer.lora_magnitude_vector.default.weight),
    )  # fmt: skip
    with torch.no_grad():
        for own, other in pairs:
            assert own is not None
            own += torch.rand(own.shape)
            other.copy_(own)
    for model in (ours, theirs):
        model(x).square().sum().backward()
    for own, other in pairs:
        assert own is not None
        torch.testing.assert_close(own.grad, other.grad)
