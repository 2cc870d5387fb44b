"""Adapter folders: peft computes our logits with them, and they go with their own base alone."""

import json
from pathlib import Path

import pytest
import torch

from components.core.errors import UserError
from components.model import export, lora
from components.model.transformer import Transformer
from components.stages.finetune import adapter
from components.tokens.tokenizer import train_bpe
from tests.components.model.test_transformer import network, some_ids

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
    for weights, text, says in (
        (1.0, other, "another base: the tokenizer"),
        (2.0, tokenizer_json, "base: the weights"),
    ):
        model = network()
        with torch.no_grad():
            model.norm.weight *= weights
        export.save(model, text, tmp_path / "base", {})
        with pytest.raises(UserError, match=says):
            adapter.load(folder)
    (tmp_path / "base" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="is no folder here"):
        adapter.load(folder)


def test_an_adapter_that_is_not_whole_is_refused_before_its_base_is_read(tokenizer_json: str, tmp_path: Path) -> None:
    folder = written(tuned(), tmp_path, tokenizer_json)
    (tmp_path / "base" / "model.safetensors").unlink()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    todo = "copy the whole folder again, or train the adapter again"
    with pytest.raises(UserError, match=rf"{folder}: adapter_model\.safetensors is damaged \(.*\); {todo}"):
        adapter.load(folder)
    weights.unlink()
    with pytest.raises(
        UserError, match=rf"{folder}: no adapter_model\.safetensors, so this is no whole adapter; {todo}"
    ):
        adapter.load(folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match=r"adapter_config\.json is damaged \(.*\)"):
        adapter.load(folder)
    with pytest.raises(UserError, match="an adapter, no model; give its base"):
        export.load(folder)


def test_a_base_is_found_below_the_project_from_any_folder(tokenizer_json: str, tmp_path: Path) -> None:
    folder, base = tmp_path / "models" / "tuned" / "adapter", tmp_path / "models" / "base"
    export.save(network(), tokenizer_json, base, {})
    adapter.save(tuned(), base, "models/base", folder)
    assert adapter.base_of(folder) == base


@pytest.mark.parametrize(
    ("change", "says"),
    [({"use_rslora": True}, "use_rslora"), ({"peft_type": "IA3"}, "IA3"), ({}, "another shape"),
     ({"use_dora": True}, "adapter_config.json has use_dora; only plain LoRA")],
)  # fmt: skip
def test_what_cannot_be_merged_is_named(change: dict, says: str, tokenizer_json: str, tmp_path: Path) -> None:
    folder = written(tuned(), tmp_path, tokenizer_json)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    model = network() if change else network(width=64, heads=1)
    with pytest.raises(UserError, match=says):
        adapter.merge(model, folder)
