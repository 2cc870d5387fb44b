"""Model folders that `transformers` reads unchanged, with the same logits: save and load.

    model.safetensors, config.json            Qwen3ForCausalLM (causal) or EuroBertForMaskedLM (masked)
    tokenizer.json, tokenizer_config.json     PreTrainedTokenizerFast
    generation_config.json                    causal only
    greenhouse.json                           shape, training facts, task, which config.json has no fields for

Our network is theirs, parameter by parameter: Qwen3 has QK-norm, EuroBERT is the same block without
it and without the causal mask. So an export renames nothing but the prefix `model.`. No pickle is
written or read.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import tokenizers
import torch
from torch import Tensor, nn

from components.core.errors import UserError, clause
from components.core.files import read_fields, read_json, sha256_bytes, write_json, write_text, written_whole
from components.model import hub_model
from components.model.hub_model import HubClassifier, HubModel
from components.model.transformer import Shape, Transformer
from components.tokens.hub_encoder import WHOLE_COPY, encoder_of
from components.tokens.tokenizer import (
    ASSISTANT,
    CHAT,
    END,
    END_OF_TEXT,
    MASK,
    PAD,
    SPECIAL_TOKENS,
    SYSTEM,
    USER,
)

HEAD = "lm_head.weight"
Network = Transformer | HubModel
"""Our own network, or a module of `transformers` with the same interface."""
Loaded = tuple[Network, tokenizers.Tokenizer, dict[str, Any]]
SIZES = ("vocab_size", "depth", "width", "heads", "kv_heads", "head_dim", "feed_forward", "context")


def save(model: Network, tokenizer_json: str, folder: Path, facts: dict[str, Any], like: Path | None = None) -> None:
    """Write a model folder.

    Args:
        model: any device, adapters merged; weights are written as they are (float32).
        tokenizer_json: content of a tokenizer.json; its special tokens are those of
            components/tokens/tokenizer.py, or those of `like`.
        folder: made if missing.
        facts: anything JSON for greenhouse.json (`training`, `task`); `shape` and `num_parameters`
            are added.
        like: folder of a model made elsewhere, whose tokenizer and special tokens this one keeps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, HubModel):
        model.module.save_pretrained(folder)
        _keep_rope(like, folder)
    else:
        tensors = {hub_name(name): parameter for name, parameter in model.named_parameters()}
        save_tensors(tensors, folder / "model.safetensors")
        write_json(folder / "config.json", config(model.shape))
    write_text(folder / "tokenizer.json", tokenizer_json)
    write_json(folder / "tokenizer_config.json", tokenizer_config(model.shape))
    if like is not None:
        _keep_tokens(like, folder, model)
    elif model.shape.causal:
        ids = {"bos_token_id": END_OF_TEXT, "eos_token_id": [END_OF_TEXT, END], "pad_token_id": PAD}
        write_json(folder / "generation_config.json", ids | {"max_length": model.shape.context})
    objective = "causal" if model.shape.causal else "masked"
    ours = {"objective": objective, "shape": asdict(model.shape), "num_parameters": model.num_parameters}
    write_json(folder / "greenhouse.json", facts | ours)


def _keep_rope(like: Path | None, folder: Path) -> None:
    """Give the model in `folder` its rotary positions also in the keys that readers of transformers 4 know alone."""
    fields, original = read_json(folder / "config.json"), read_json(like / "config.json") if like else {}
    kept = {name: one for name, one in original.items() if "rope" in name or "rotary" in name}
    rope = dict(fields.get("rope_parameters") or {})
    if theta := rope.pop("rope_theta", None):
        scaled = rope.get("rope_type", "default") != "default"
        kept |= {"rope_theta": theta, "rope_scaling": rope if scaled else None}
    write_json(folder / "config.json", kept | fields)


def _keep_tokens(like: Path, folder: Path, model: Network) -> None:
    """Give the model in `folder` the tokenizer and special tokens of `like`, and the template of its chats."""
    fields, original = read_json(folder / "config.json"), read_json(like / "config.json")
    if isinstance(model, Transformer):
        names = [name for name in (*fields, "mask_token_id") if name.endswith("_token_id")]
        write_json(folder / "config.json", fields | {name: original.get(name) for name in names})
    for name in ("special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt"):
        if (like / name).exists():
            write_text(folder / name, (like / name).read_text(encoding="utf-8"))
    kept = read_json(like / "tokenizer_config.json") if (like / "tokenizer_config.json").exists() else {}
    if model.shape.causal and not isinstance(model, HubClassifier):
        encoder = encoder_of(like)
        kept["chat_template"] = encoder.chat.template
        ids = {name: original.get(name) for name in ("bos_token_id", "pad_token_id")}
        ends = {"eos_token_id": list(encoder.stops), "max_length": model.shape.context}
        write_json(folder / "generation_config.json", ids | ends)
    write_json(folder / "tokenizer_config.json", kept)


def load(folder: Path, device: str = "cpu", any_head: bool = False) -> Loaded:
    """Read a model folder that `save` or `transformers` wrote; `any_head` as in `inspected`.

    Returns:
        The model (in eval mode), its tokenizer, and greenhouse.json (empty if there is none).

    Raises `UserError`: a file is missing, or the folder holds another kind of model.
    """
    shape, tokenizer = inspected(folder, any_head)
    facts = read_fields(folder / "greenhouse.json", WHOLE_COPY) if (folder / "greenhouse.json").exists() else {}
    _refuse_retokenized(folder, facts)
    if not is_own(read_fields(folder / "config.json", WHOLE_COPY)):
        return hub_model.load(folder, shape, device), tokenizer, facts
    model, tensors = Transformer(shape), dict[str, Tensor]()
    for path in weight_files(folder):
        tensors |= safetensors.torch.load_file(path)
    load_tensors(model, tensors, folder)
    return model.to(device).eval(), tokenizer, facts


def _refuse_retokenized(folder: Path, facts: dict[str, Any]) -> None:
    """Raise `UserError` if a model's greenhouse.json, `facts`, names another tokenizer than its own.

    One of another base with as many ids would load, and its ids mean nothing to the model.
    """
    present = sha256_bytes(tokenizer_text(folder).encode())
    for facts_of in (facts.get("training"), facts.get("finetuning")):
        made_with = str(facts_of.get("tokenizer_sha256", present)) if isinstance(facts_of, dict) else present
        if made_with != present:
            raise UserError(
                f"{folder}: tokenizer.json has sha256 {present[:12]}..., and the model was trained with "
                f"{made_with[:12]}... (greenhouse.json), so the tokenizer belongs to another base; put the model's own "
                "there"
            )


def inspected(folder: Path, any_head: bool = False) -> tuple[Shape, tokenizers.Tokenizer]:
    """Facts of a folder that `load` can know without reading its weights.

    Args:
        any_head: take a classifier too, which is then without the head that predicts text.

    Raises:
        UserError: a file is missing or damaged, they do not belong together, or the folder holds
            another kind of model.
    """
    if (folder / "adapter_config.json").exists():
        raise UserError(f"{folder}: an adapter, no model; give its base, or the folder that has it merged in")
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).exists():
            lacks = f"no {name}, so this is no model folder" if folder.exists() else "no such folder"
            raise UserError(f"{folder}: {lacks}; {WHOLE_COPY}, or give one that a training stage wrote")
    fields, path, stored = read_fields(folder / "config.json", WHOLE_COPY), folder / "tokenizer.json", 0
    if (of_tokens := folder / "tokenizer_config.json").exists():
        hub_model.refuse_code(read_fields(of_tokens, WHOLE_COPY), folder, of_tokens.name)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        for path in weight_files(folder):
            with safetensors.safe_open(path, "pt") as file:
                stored += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        path = folder / "config.json"
        if is_own(fields):
            shape = shape_of(fields, folder)
            needed = shape.num_block_parameters + shape.vocab_size * shape.width
        else:
            shape, needed = hub_model.shape_of(fields, folder)
    except UserError:
        raise
    except Exception as error:  # `tokenizers` raises nothing narrower
        if "Cannot allocate memory" in str(error):
            raise UserError(f"{folder}: {path.name} of {path.stat().st_size / 1e9:.1f} GB finds no room in memory; "
                            "take a smaller base, or a larger machine") from None  # fmt: skip
        raise UserError(f"{folder}: {path.name} is damaged ({clause(error)}); {WHOLE_COPY}") from None
    if needed > stored:  # it may be any number
        raise UserError(f"{folder}: is damaged (config.json is of {needed} weights or more, and there are {stored}); "
                        f"{WHOLE_COPY}")  # fmt: skip
    if hub_model.labels_of(fields) and not any_head:
        raise UserError(
            f"{folder}: it holds a classifier, which writes no text; give the model that it was tuned from, or another "
            "such as models/pretrain/causal"
        )
    if unfit := _contradiction(folder, fields, tokenizer, shape.vocab_size):
        raise UserError(f"{folder}: {unfit}, so the tokenizer belongs to another base; put the model's own there")
    return shape, tokenizer


def _contradiction(folder: Path, fields: dict[str, Any], tokenizer: tokenizers.Tokenizer, embedded: int) -> str:
    """Evidence that tokenizer.json is not of the model beside it, whose config.json has these fields; else empty."""
    vocab = tokenizer.get_vocab()
    if (most := max(vocab.values(), default=0)) >= embedded:
        return f"tokenizer.json has the id {most} and the model embeds {embedded}"
    for path in filter(Path.exists, (folder / "vocab.json", folder / "vocab.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        listed = read_fields(path, WHOLE_COPY) if path.suffix == ".json" else {one: n for n, one in enumerate(lines)}
        if 2 * sum(vocab.get(token) == id for token, id in listed.items()) < len(listed):
            return f"most tokens of {path.name} have other ids in tokenizer.json"
    return ""


def weight_files(folder: Path) -> list[Path]:
    """The files with a folder's tensors: one, or the shards that an index names.

    Raises `UserError`: one of them is not there.
    """
    index = folder / "model.safetensors.index.json"
    named = read_fields(index, WHOLE_COPY).get("weight_map") if index.exists() else {"": "model.safetensors"}
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UserError(f"{folder}: {index.name} names no files of weights; {WHOLE_COPY}")
    names, present = sorted({*named.values()}), {path.name for path in folder.glob("*")}
    if missing := [name for name in names if name not in present]:
        pickled = ""
        if any(folder.glob("*.bin")):
            pickled = " (weights in a pickle, such as pytorch_model.bin, are never read)"
        raise UserError(f"{folder}: no {missing[0]}, so this is no model folder; give one with safetensors{pickled}")
    return [folder / name for name in names]


# -- tensors -----------------------------------------------------------------------------------------------------------


def hub_name(name: str) -> str:
    """The name `transformers` gives one of our parameters."""
    return name if name == HEAD else f"model.{name}"


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Fill `model` from tensors named as `transformers` names them.

    Raises `UserError`: one is missing, superfluous or of another shape.
    """
    expected = {hub_name(name): parameter for name, parameter in model.named_parameters()}
    tensors = {name: tensor for name, tensor in tensors.items() if name != HEAD or HEAD in expected}
    if wrong := sorted(expected.keys() ^ tensors.keys()):
        raise UserError(f"{where}: model.safetensors and config.json disagree on {wrong[0]}; the folder is damaged")
    with torch.no_grad():
        for name, parameter in expected.items():
            if parameter.shape != tensors[name].shape:
                raise UserError(
                    f"{where}: {name} has shape {tuple(tensors[name].shape)} where config.json says "
                    f"{tuple(parameter.shape)}; the folder is damaged"
                )
            if not tensors[name].isfinite().all():
                raise UserError(f"{where}: {name} holds numbers that are not finite, so the model says nothing; get a "
                                "whole copy of the folder, or take another model")  # fmt: skip
            parameter.copy_(tensors[name])


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole. Equal tensors and metadata give equal bytes.

    Args:
        metadata: one entry at most, for safetensors writes several in an order that changes;
            default: `format`.
    """
    assert metadata is None or len(metadata) == 1
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    with written_whole(path) as temporary:
        safetensors.torch.save_file(on_cpu, temporary, metadata or {"format": "pt"})


# -- what transformers reads -------------------------------------------------------------------------------------------


def config(shape: Shape) -> dict[str, Any]:
    """config.json for a shape."""
    fields = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rope_theta": shape.rope_theta,  # where transformers 4 and older readers look; without it they take 10,000
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": END_OF_TEXT,
        "pad_token_id": PAD,
        "dtype": "float32",
    }
    if shape.causal:
        return fields | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    extra = {"mask_token_id": MASK, "mlp_bias": False, "classifier_pooling": "mean"}
    return fields | extra | {"architectures": ["EuroBertForMaskedLM"], "model_type": "eurobert"}


def is_own(fields: dict[str, Any]) -> bool:
    """Whether a config.json describes a form of our own network; all others `transformers` runs."""
    rope, plain = _rope(fields), fields.get("hidden_act", "silu") == "silu" and "auto_map" not in fields
    biased = fields.get("attention_bias") or fields.get("mlp_bias") or fields.get("use_sliding_window")
    scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
    changed = biased or scaled or hub_model.labels_of(fields)
    return fields.get("model_type") in ("qwen3", "eurobert") and plain and not changed


def _rope(fields: dict[str, Any]) -> dict[str, Any]:
    return fields.get("rope_parameters") or fields.get("rope_scaling") or {}


def shape_of(fields: dict[str, Any], where: Path) -> Shape:
    """The shape a config.json describes.

    Raises `UserError`: it is no form of our network (`is_own`), or a size is none.
    """
    kind = fields.get("model_type")
    if not is_own(fields):
        raise UserError(f"{where}: its architecture ({kind}) is not that of our own network (a plain Qwen3 or "
                        "EuroBERT), for which alone this is; take a model that comes from models/pretrain")  # fmt: skip
    rope = _rope(fields)
    heads, width = fields["num_attention_heads"], fields["hidden_size"]
    shape = Shape(
        vocab_size=fields["vocab_size"],
        depth=fields["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=fields.get("num_key_value_heads") or heads,
        head_dim=fields.get("head_dim") or width // heads,
        feed_forward=fields["intermediate_size"],
        context=fields["max_position_embeddings"],
        causal=kind == "qwen3",
        qk_norm=kind == "qwen3",
        tied=bool(fields.get("tie_word_embeddings")),
        rope_theta=float(rope.get("rope_theta", fields.get("rope_theta", 10_000.0))),
        norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
    )
    for name, size in asdict(shape).items():
        if name in SIZES and (type(size) is not int or size < 1):
            raise UserError(f"{where}: config.json gives {size!r} as {name}, no size; {WHOLE_COPY}")
    return shape


def tokenizer_config(shape: Shape) -> dict[str, Any]:
    """tokenizer_config.json: which tokens are special, and how a chat is written."""
    fields = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL_TOKENS[END_OF_TEXT],
        "eos_token": SPECIAL_TOKENS[END_OF_TEXT],
        "pad_token": SPECIAL_TOKENS[PAD],
        "mask_token": SPECIAL_TOKENS[MASK],
        "additional_special_tokens": [  # 5's own name for it is a mapping in 4, which then reads no tokenizer
            SPECIAL_TOKENS[token] for token in (SYSTEM, USER, ASSISTANT, END)
        ],
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape.context,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    return fields | ({"chat_template": CHAT.template} if shape.causal else {})


def tokenizer_text(folder: Path) -> str:
    """Content of a folder's tokenizer.json, checked to be JSON.

    Raises `UserError`: it is missing or damaged.
    """
    try:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'tokenizer.json'}: not readable ({error}); run the tokenize stage again") from None
    return text
