"""Adapter folders: peft computes our logits with them, and they go with their own base alone."""

import json
from pathlib import Path

import pytest
import torch

from components.model import export, lora
from components.model.transformer import Transformer
from components.stages.finetune import adapter
from components.tokens.tokenizer import train_bpe
from tests.components.model.test_transformer import network, some_ids
from tests.errors import refused, refuses

ROWS = [one.__doc__ for one in vars(torch).values() if callable(one) and isinstance(one.__doc__, str)]


@pytest.fixture(scope="module")
def tokenizer_json() -> str:
    """Content of a tokenizer.json of 300 tokens."""
    return train_bpe(ROWS[:200], 300).to_str()


def tuned(causal: bool = True, **settings: object) -> Transformer:
    """A network with adapters whose change is no longer zero."""
    model = network(causal)
    lora.add_lora(model, 4, seed=1, **settings)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_b" in name:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.05
    return model


def written(model: Transformer, root: Path, tokenizer_json: str) -> Path:
    export.save(network(model.shape.causal), tokenizer_json, root / "base", {"training": {"steps": 3}})
    adapter.save(model, root / "base", str(root / "base"), root / "adapter", facts={"task": {"chat": True}})
    return root / "adapter"


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("settings", [{}, {"alpha": 6.0, "targets": "attention"}])
@torch.no_grad()
def test_peft_computes_the_same_logits(causal: bool, settings: dict, tokenizer_json: str, tmp_path: Path) -> None:
    import transformers
    from peft import PeftModel

    model, ids = tuned(causal, **settings), some_ids(2, 40)
    folder = written(model, tmp_path, tokenizer_json)
    config = json.loads((folder / "adapter_config.json").read_text())
    others = set() if settings else {"gate_proj", "up_proj", "down_proj"}
    assert set(config["target_modules"]) == {"q_proj", "k_proj", "v_proj", "o_proj"} | others
    assert config["lora_alpha"] == settings.get("alpha", 8)
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM
    theirs = PeftModel.from_pretrained(kind.from_pretrained(tmp_path / "base"), folder).eval()
    assert sum("lora_" in name for name, _ in theirs.named_parameters()) == sum(
        "lora_" in name for name, _ in model.named_parameters()
    )
    assert (theirs(ids).logits - network(causal)(ids)).abs().max() > 1e-2
    assert (theirs(ids).logits - model(ids)).abs().max() < 1e-4
    merged, _, facts = adapter.load(folder)
    assert facts["task"] == {"chat": True}
    assert facts["training"] == {"steps": 3}
    assert (merged(ids) - model(ids)).abs().max() < 1e-4


@torch.no_grad()
def test_an_adapter_that_peft_wrote_is_read(tokenizer_json: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    export.save(network(), tokenizer_json, tmp_path / "base", {})
    theirs = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    ).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    ids = some_ids(2, 40)
    ours, _, _ = adapter.load(tmp_path / "adapter")
    assert (theirs(ids).logits - ours(ids)).abs().max() < 1e-4


def test_an_adapter_of_another_base_or_tokenizer_is_refused(tokenizer_json: str, tmp_path: Path) -> None:
    folder = written(tuned(), tmp_path, tokenizer_json)
    other = tokenizer_json.replace('"added_tokens"', ' "added_tokens"', 1)
    for weights, text, part in ((1.0, other, "tokenizer"), (2.0, tokenizer_json, "weights")):
        model = network()
        with torch.no_grad():
            model.norm.weight *= weights
        export.save(model, text, tmp_path / "base", {})
        with refused("adapter.base_of.2", part):
            adapter.load(folder)
    (tmp_path / "base" / "model.safetensors").unlink()
    refuses(lambda: adapter.load(folder), "adapter.base_of.1")


def test_an_adapter_that_is_not_whole_is_refused_before_its_base_is_read(tokenizer_json: str, tmp_path: Path) -> None:
    folder = written(tuned(), tmp_path, tokenizer_json)
    (tmp_path / "base" / "model.safetensors").unlink()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    refuses(lambda: adapter.load(folder), "adapter.config.2", folder, "adapter_model.safetensors")
    weights.unlink()
    refuses(lambda: adapter.load(folder), "adapter.config.1", folder, "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{")
    refuses(lambda: adapter.load(folder), "files.read_fields", folder, "adapter_config.json")
    refuses(lambda: export.load(folder), "export.inspected.1", folder)


def test_a_base_is_found_below_the_project_from_any_folder(tokenizer_json: str, tmp_path: Path) -> None:
    folder, base = tmp_path / "models" / "tuned" / "adapter", tmp_path / "models" / "base"
    export.save(network(), tokenizer_json, base, {})
    adapter.save(tuned(), base, "models/base", folder)
    assert adapter.base_of(folder) == base


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"use_rslora": True}, ["adapter.merge.1", "use_rslora"]),
        ({"peft_type": "IA3"}, ["adapter.merge.1", "IA3"]),
        ({}, ["adapter.merge.3"]),
        ({"use_dora": True}, ["adapter.merge.1", "adapter_config.json", "use_dora"]),
    ],
)
def test_what_cannot_be_merged_is_named(change: dict, says: list[str], tokenizer_json: str, tmp_path: Path) -> None:
    folder = written(tuned(), tmp_path, tokenizer_json)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    model = network() if change else network(width=64, heads=1)
    refuses(lambda: adapter.merge(model, folder), *says)
