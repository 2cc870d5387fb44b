"""The classifier: what we save is what `transformers` loads, with the same logits."""

from pathlib import Path

import pytest
import torch

from components.core.files import read_json
from components.model import export
from components.model.lora import add_lora
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.stages.finetune import adapter
from components.stages.finetune.classifier import Classifier, save_classifier
from components.tokens.tokenizer import PAD, train_bpe

LABELS = ["docs", "plays", "tales"]
TOKENIZER = train_bpe([Path(torch.functional.__file__).read_text()], 400).to_str()


def model(tied: bool = True, seed: int = 3, causal: bool = False) -> Classifier:
    """A classifier whose head and blocks are no longer at their first, partly zero, values."""
    shape = derive_shape(ModelShape(size=2, width=64, heads=2, tied=tied), 400, 64, causal=causal)
    made = Classifier(Transformer(shape).initialise(seed), len(LABELS)).initialise_head(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return made.eval()


def padded_ids() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(6, 400, (4, 20), generator=generator)
    ids_BT[1, 12:] = PAD
    ids_BT[2, 3:] = PAD
    return ids_BT


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_transformers_computes_the_same_logits(tied: bool, causal: bool, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    ours = model(tied, causal=causal)
    save_classifier(ours, LABELS, TOKENIZER, tmp_path, {"task": {"name": "source"}})
    theirs, loading = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(theirs).__name__ == ("Qwen3" if causal else "EuroBert") + "ForSequenceClassification"
    ids_BT = padded_ids()
    logits = theirs.eval()(ids_BT, attention_mask=(ids_BT != PAD).long()).logits
    torch.testing.assert_close(ours(ids_BT), logits, atol=2e-5, rtol=1e-5)
    assert list(theirs.config.id2label.values()) == LABELS
    facts = read_json(tmp_path / "greenhouse.json")
    parameters = dict(ours.named_parameters())
    parameters.pop(f"backbone.{export.HEAD}", None)  # it predicts words
    assert facts["num_parameters"] == sum(parameter.numel() for parameter in parameters.values())
    assert facts["task"] == {"name": "source"}


@torch.inference_mode()
def test_a_causal_model_can_have_the_head_over_the_mean() -> None:
    shape = derive_shape(ModelShape(size=1, width=32, heads=1), 400, 64, causal=True)
    made = Classifier(Transformer(shape).initialise(1), 3, mean=True).initialise_head(1)
    torch.nn.init.normal_(made.classifier.weight, generator=torch.Generator().manual_seed(1))
    ids_BT = padded_ids()
    hidden_BTD = made.backbone.hidden(ids_BT[1:2, :12])
    pooled = made.classifier(torch.nn.functional.gelu(made.dense(hidden_BTD.mean(1))))
    torch.testing.assert_close(made(ids_BT)[1:2], pooled, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_peft_loads_the_adapter_of_a_causal_model_with_its_head(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    ours, ids_BT = model(causal=True), padded_ids()
    export.save(ours.backbone, TOKENIZER, tmp_path / "base", {})
    add_lora(ours.backbone, rank=4, seed=1)
    for name, parameter in ours.named_parameters():
        if "lora_b" in name:
            parameter += 0.05
    adapter.save(ours, tmp_path / "base", str(tmp_path / "base"), tmp_path / "adapter")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=len(LABELS))
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    logits = theirs(input_ids=ids_BT, attention_mask=(ids_BT != PAD).long()).logits
    torch.testing.assert_close(logits, ours(ids_BT), atol=2e-5, rtol=1e-4)
