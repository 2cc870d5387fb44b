"""A masked model with a classification head, in the layout of `transformers`' EuroBertForSequenceClassification.

    ids -> backbone -> mean over the tokens -> dense -> GELU -> classifier -> logits of the classes

Their layout is kept so that `pipeline("text-classification", folder)` reads the folder as it is, with the same logits.
Padding is a document of its own: attention stays inside documents, so no token sees it, and the mean leaves it out.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.core.files import read_json, write_json
from components.model import export
from components.model.lora import merged
from components.model.transformer import Shape, Transformer
from components.tokens.tokenizer import PAD


class EncoderClassifier(nn.Module):
    """Logits (B, num_labels) of texts (B, T); see the module docstring."""

    def __init__(self, backbone: Transformer, num_labels: int) -> None:
        super().__init__()
        assert not backbone.shape.causal
        self.backbone = backbone
        width = backbone.shape.width
        self.dense = nn.Linear(width, width)
        self.classifier = nn.Linear(width, num_labels)

    @property
    def shape(self) -> Shape:
        """Shape of the backbone."""
        return self.backbone.shape

    def initialise_head(self, seed: int) -> "EncoderClassifier":
        """A fresh head, a function of the seed and the shape alone; it begins by giving every class the same logit."""
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.dense.weight, std=self.shape.width**-0.5, generator=generator)
        for parameter in (self.dense.bias, self.classifier.weight, self.classifier.bias):
            nn.init.zeros_(parameter)
        return self

    def forward(self, ids_BT: Tensor) -> Tensor:
        inside_BT = ids_BT != PAD
        padded = not bool(inside_BT.all())
        hidden_BTD = self.backbone.hidden(ids_BT, inside_BT.long() if padded else None)
        weight_BT1 = inside_BT[..., None].to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1)
        return self.classifier(F.gelu(self.dense(mean_BD)))


def save_classifier(
    model: EncoderClassifier, labels: list[str], tokenizer_json: str, folder: Path, facts: dict[str, Any]
) -> None:
    """Write a model folder that `AutoModelForSequenceClassification` loads; `labels` in the order of the logits."""
    export.save(model.backbone, tokenizer_json, folder, facts)
    tensors = {_hub_name(name): tensor for name, tensor in merged(model).items() if name != f"backbone.{export.HEAD}"}
    export.save_tensors(tensors, folder / "model.safetensors")
    fields = {
        "architectures": ["EuroBertForSequenceClassification"],
        "problem_type": "single_label_classification",
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    write_json(folder / "config.json", export.config(model.shape) | fields)
    num_parameters = sum(tensor.numel() for tensor in tensors.values())
    write_json(folder / "greenhouse.json", read_json(folder / "greenhouse.json") | {"num_parameters": num_parameters})


def _hub_name(name: str) -> str:
    return export.hub_name(name.removeprefix("backbone.")) if name.startswith("backbone.") else name
