"""Adapter folders that `peft` loads with the same logits: save, and load merged into their base.

    adapter_model.safetensors, adapter_config.json     as peft writes a LoRA adapter
    greenhouse.json                                    sha256 of the base's weights and of its tokenizer

A few megabytes say how a model differs from its base. On any other base they mean nothing, and peft
would not notice: here the hashes are compared.
"""

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from components.core.errors import UserError, clause
from components.core.files import fingerprint, read_fields, sha256_bytes, sha256_file, write_json
from components.model import export
from components.model.hub_model import HubClassifier, HubModel
from components.model.lora import LoRALinear
from components.stages.finetune.classifier import Classifier
from components.tokens.hub_encoder import WHOLE_COPY

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
PLAIN = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "lora_bias", "layer_replication", "modules_to_save")
"""Options of peft that must be off: what they add is not in our network."""


def save(model: nn.Module, base: Path, name: str, folder: Path, facts: dict[str, Any] | None = None) -> None:
    """Write the adapters of `model`, with the head of a classifier.

    Args:
        base: folder of the model they were added to; its hashes go into greenhouse.json.
        name: what peft is told of where the base is: an absolute path, or one relative to the
            project.
        facts: for greenhouse.json, such as the task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "greenhouse.json", (facts or {}) | {"base": {"path": name} | hashes(base)})
    if isinstance(model, HubModel):
        model.save_adapter(folder, name, _task(isinstance(model, HubClassifier), model.shape.causal))
        return
    adapters = {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    layer, head = next(iter(adapters.values())), model.head() if isinstance(model, Classifier) else {}
    tensors = {f"{PREFIX}{name}": tensor for name, tensor in head.items()}
    for path, module in adapters.items():
        key = PREFIX + export.hub_name(path.removeprefix("backbone."))
        tensors |= {f"{key}.lora_A.weight": module.lora_a, f"{key}.lora_B.weight": module.lora_b}
    export.save_tensors(tensors, folder / WEIGHTS)
    rank = len(layer.lora_a)
    shape: Any = model.shape
    fields = {
        "peft_type": "LORA",
        "task_type": _task(bool(head), shape.causal),
        "base_model_name_or_path": name,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank * layer.scale,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({path.rpartition(".")[2] for path in adapters}),
        "modules_to_save": sorted({name.rpartition(".")[0] for name in head}) or None,
    }
    write_json(folder / CONFIG, fields)


def _task(classifies: bool, causal: bool) -> str:
    """Name that peft has for the task. For masked models it has none; this one adds nothing."""
    if classifies:
        return "SEQ_CLS"
    return "CAUSAL_LM" if causal else "FEATURE_EXTRACTION"


def hashes(base: Path) -> dict[str, str]:
    """Sha256 of what an adapter depends on in its base's folder."""
    tokenizer = sha256_bytes(export.tokenizer_text(base).encode())
    files = [sha256_file(path) for path in export.weight_files(base)]
    return {"model_sha256": files[0] if len(files) == 1 else fingerprint(files), "tokenizer_sha256": tokenizer}


def config(folder: Path) -> dict[str, Any]:
    """adapter_config.json of an adapter that is whole.

    Raises `UserError`: it or the weights are missing or damaged.
    """
    path, todo = folder / CONFIG, "copy the whole folder again, or train the adapter again"
    try:
        fields = read_fields(path, todo)
        with safetensors.safe_open(path := folder / WEIGHTS, "pt"):
            return fields
    except FileNotFoundError:
        raise UserError(f"{folder}: no {path.name}, so this is no whole adapter; {todo}") from None
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder}: {path.name} is damaged ({clause(error)}); {todo}") from None


def base_of(folder: Path) -> Path:
    """The folder of an adapter's base, which must be the one it was made for.

    Raises:
        UserError: the adapter is not whole, its base is not there, or has other weights or another
            tokenizer.
    """
    name = config(folder).get("base_model_name_or_path")
    is_name = isinstance(name, str) and 0 < len(name) < 1000 and "\0" not in name
    paths = (root / str(name) for root in (Path(), *folder.resolve().parents))  # a name is relative to the project
    base = next((path for path in paths if is_name and any(path.glob("*.safetensors"))), None)
    if base is None:
        raise UserError(f"{folder}: its base {name!r} is no folder here; put it there, or correct "
                        f"base_model_name_or_path in {CONFIG}")  # fmt: skip
    expected = _fields(folder).get("base")
    expected = {name: str(value) for name, value in expected.items()} if isinstance(expected, dict) else {}
    for key, sha256 in hashes(base).items():
        if expected.get(key, sha256) != sha256:
            part = "tokenizer" if key.startswith("tokenizer") else "weights"
            raise UserError(f"{folder}: this adapter belongs to another base: the {part} in {base} have sha256 "
                            f"{sha256[:12]}..., it was made for {expected[key][:12]}...; give that model")  # fmt: skip
    return base


def merge(model: nn.Module, folder: Path) -> None:
    """Fold an adapter into the weights of its base, in place.

    Raises `UserError`: it is not whole, uses an option we lack, or has a tensor that does not fit.
    """
    fields = config(folder)
    if isinstance(model, HubModel):
        model.load_adapter(folder)
        return
    if fields.get("peft_type") != "LORA" or (used := [name for name in PLAIN if fields.get(name)]):
        option = used[0] if fields.get("peft_type") == "LORA" else f"peft_type {fields.get('peft_type')}"
        raise UserError(f"{folder}: {CONFIG} has {option}; only plain LoRA of a language model can be merged")
    alpha, rank = fields.get("lora_alpha"), fields.get("r")
    if not isinstance(alpha, int | float) or not isinstance(rank, int | float) or not rank:
        raise UserError(f"{folder}: {CONFIG} has lora_alpha {alpha!r} and r {rank!r}, no numbers; {WHOLE_COPY}")
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    weights = {PREFIX + export.hub_name(name): parameter for name, parameter in model.named_parameters()}
    modules = {name.rpartition(".lora_")[0] for name in tensors}
    for path in sorted(modules):
        weight = weights.get(f"{path}.weight")
        a_RD, b_XR = tensors.get(f"{path}.lora_A.weight"), tensors.get(f"{path}.lora_B.weight")
        if weight is None or a_RD is None or b_XR is None or not _fits(a_RD, b_XR, weight):
            raise UserError(f"{folder}: {path} does not fit the base; the adapter is of a model of another shape")
        with torch.no_grad():
            weight.add_(b_XR @ a_RD, alpha=alpha / rank)


def _fits(a_RD: Tensor, b_XR: Tensor, weight: Tensor) -> bool:
    """Whether the product of both matrices has the shape of the weight."""
    is_product = a_RD.ndim == b_XR.ndim == 2 and b_XR.shape[1] == len(a_RD)
    return is_product and (len(b_XR), a_RD.shape[1]) == tuple(weight.shape)


def load(folder: Path, device: str = "cpu") -> export.Loaded:
    """`export.load` of a model folder, or of an adapter's, merged into its base; with the tokenizer it was made with.

    Raises `UserError`: as `export.load`, `base_of` and `merge` do, or the tokenizer is another.
    """
    is_adapter = (folder / CONFIG).exists()
    base = base_of(folder) if is_adapter else folder
    model, tokenizer, facts = export.load(base, device)
    if not is_adapter:
        return model, tokenizer, facts
    merge(model, folder)
    return model, tokenizer, facts | {key: value for key, value in _fields(folder).items() if key != "base"}


def _fields(folder: Path) -> dict[str, Any]:
    """greenhouse.json of an adapter; empty for one that `peft` wrote."""
    path = folder / "greenhouse.json"
    return read_fields(path, WHOLE_COPY) if path.exists() else {}
