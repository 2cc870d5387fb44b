"""A model with a classification head, in the layout of `transformers`' ...ForSequenceClassification.

    masked (EuroBert):  ids -> backbone -> mean over the tokens -> dense -> GELU -> classifier -> logits of the classes
    causal (Qwen3):     ids -> backbone -> the last token       -> score                       -> logits of the classes

Of texts with several classes each logit says whether its class is one of them.
Their layout is kept so that `pipeline("text-classification", folder)` reads the folder as it is, with the same logits.
A causal model can have the masked one's head (`mean`), for a comparison: `transformers` has no layout for it.
Padding stands at the end. In a masked model it is a document of its own: attention stays inside documents, so no token
sees it, and the mean leaves it out. In a causal one nothing sees what comes later.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.core.files import read_json, write_json
from components.instruction_pairs.examples import ProblemType
from components.model import export
from components.model.hub_model import HubClassifier
from components.model.transformer import Shape, Transformer
from components.tokens.tokenizer import PAD


class Classifier(nn.Module):
    """Logits (B, num_labels) of texts (B, T); see the module docstring."""

    def __init__(self, backbone: Transformer, num_labels: int, pad: int = PAD, mean: bool = False) -> None:
        super().__init__()
        self.backbone, self.num_labels, self.pad = backbone, num_labels, pad
        self.mean = mean or not backbone.shape.causal
        width = backbone.shape.width
        if self.mean:
            self.dense = nn.Linear(width, width)
            self.classifier = nn.Linear(width, num_labels)
        else:
            self.score = nn.Linear(width, num_labels, bias=False)

    @property
    def shape(self) -> Shape:
        """Shape of the backbone."""
        return self.backbone.shape

    def initialise_head(self, seed: int) -> "Classifier":
        """A fresh head, a function of the seed and the shape alone; it begins by giving every class the same logit."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.head().items():
            if name == "dense.weight":
                nn.init.normal_(parameter, std=self.shape.width**-0.5, generator=generator)
            else:
                nn.init.zeros_(parameter)
        return self

    def head(self) -> dict[str, Tensor]:
        """Parameters of the head by name, which is theirs in `transformers` too."""
        return {name: tensor for name, tensor in self.named_parameters() if not name.startswith("backbone.")}

    def forward(self, ids_BT: Tensor) -> Tensor:
        inside_BT = ids_BT != self.pad
        if not self.mean:
            last_B = (inside_BT * torch.arange(ids_BT.shape[1], device=ids_BT.device)).argmax(1)
            hidden_BTD = self.backbone.hidden(ids_BT)
            return self.score(hidden_BTD[torch.arange(len(ids_BT), device=ids_BT.device), last_B])
        # A GPU is not asked whether there is padding: the answer would be waited for.
        padded = not self.shape.causal and (ids_BT.is_cuda or not bool(inside_BT.all()))
        hidden_BTD = self.backbone.hidden(ids_BT, inside_BT.long() if padded else None)
        weight_BT1 = inside_BT[..., None].to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1)
        return self.classifier(F.gelu(self.dense(mean_BD)))


AnyClassifier = Classifier | HubClassifier


def save_classifier(
    model: AnyClassifier,
    labels: list[str],
    tokenizer_json: str,
    folder: Path,
    facts: dict[str, Any],
    like: Path | None = None,
    problem: ProblemType = "single_label_classification",
) -> None:
    """Write a model folder that `AutoModelForSequenceClassification` loads; `labels` in the order of the logits."""
    if isinstance(model, HubClassifier):
        export.save(model, tokenizer_json, folder, facts, like)
        return
    export.save(model.backbone, tokenizer_json, folder, facts, like)
    parameters = dict(model.named_parameters())
    parameters.pop(f"backbone.{export.HEAD}", None)  # it predicts words
    tensors = {_hub_name(name): parameter for name, parameter in parameters.items()}
    export.save_tensors(tensors, folder / "model.safetensors")
    fields = {
        "architectures": [
            "Qwen3ForSequenceClassification" if model.shape.causal else "EuroBertForSequenceClassification"
        ],
        "problem_type": problem,
        "pad_token_id": model.pad,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    write_json(folder / "config.json", read_json(folder / "config.json") | fields)
    num_parameters = sum(tensor.numel() for tensor in tensors.values())
    write_json(folder / "greenhouse.json", read_json(folder / "greenhouse.json") | {"num_parameters": num_parameters})


def _hub_name(name: str) -> str:
    return export.hub_name(name.removeprefix("backbone.")) if name.startswith("backbone.") else name
