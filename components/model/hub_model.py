"""Models of `transformers` behind the interface of our own network, so that one loop trains, scores and saves both.

What is asked of a network: its `shape`, `hidden` states, `logits` and `cross_entropy` of such states, a `cache` for
generation. Here a module that `transformers` builds from a folder's config.json and safetensors gives them. No code of
the folder is run and no pickle is read. What holds for known architectures is checked for each model before work: that
its head reads the final states of its backbone, and that texts in a row, or padding, leave each other alone.

Legend: B rows, T positions, N positions that are asked for, D width, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.core.errors import UserError, clause
from components.core.files import read_json, write_json
from components.model.cpu_kernels import linear_cross_entropy
from components.model.shape import Shape

SAME = 1e-3
"""Two computations of the same states or logits differ by less, in float32."""
NO_PEFT = "LoRA on such a base needs the extra `peft`: .venv/bin/pip install -c constraints.txt -e '.[peft]'"


class HubModel(nn.Module):
    """A causal or masked language model.

    Attributes:
        module: of `transformers`, which reads a checkpoint of it.
        fresh: names of parameters that the folder has no weights for.
        packs: whether several texts may stand in a row.
        plain_head: whether the head is a product with one matrix.
        peft: the module with adapters, as `peft` sees it; in a tuple, since its parameters are the module's.
    """

    def __init__(self, module: Any, shape: Shape, fresh: list[str]) -> None:
        super().__init__()
        self.module, self.shape, self.fresh = module, shape, fresh
        self.output: type[Any] = dict
        self.packs, self.plain_head, self.peft = True, False, tuple[Any]()

    @property
    def num_parameters(self) -> int:
        """All parameters; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def hidden(self, ids_BT: Tensor, documents_BT: Tensor | None = None, cache: Any = None) -> Tensor:
        """Final states of the backbone, (B, T, D).

        Args:
            documents_BT: which text of its row each position of a causal model belongs to; of a masked one, 1 where
                there is text and 0 where there is padding.
            cache: of earlier positions, as `cache` makes it.
        """
        given: dict[str, Any] = {"use_cache": cache is not None} if self.shape.causal else {}
        if cache is not None:  # renamed in transformers 5.24
            renamed = "cache" in signature(type(self.module.base_model).forward).parameters
            given["cache" if renamed else "past_key_values"] = cache
        if documents_BT is not None and self.shape.causal:
            assert self.packs, "one text to a row"
            given["position_ids"] = positions_in(documents_BT)  # by their new beginnings `transformers` masks the rest
        elif documents_BT is not None:
            given["attention_mask"] = documents_BT
        output = self.module.base_model(input_ids=ids_BT, **given)
        self.output = type(output)
        state_BTD: Tensor = output.last_hidden_state
        return state_BTD

    def logits(self, state_ND: Tensor) -> Tensor:
        """Logits (N, V) of final states: what the module does after its backbone, which is made to return them."""
        backbone, output = self.module.base_model, self.output(last_hidden_state=state_ND[None])
        nothing = torch.zeros(1, len(state_ND), dtype=torch.long, device=state_ND.device)
        backbone.forward = lambda *_, **__: output
        try:
            logits_NV: Tensor = self.module(input_ids=nothing).logits[0]
        finally:
            del backbone.forward
        return logits_NV

    def cross_entropy(self, state_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Summed cross entropy in nats; by a plain head in chunks of logits."""
        if self.plain_head:
            return linear_cross_entropy(state_ND, self.module.get_output_embeddings().weight, targets_N)
        return F.cross_entropy(self.logits(state_ND).float(), targets_N, reduction="sum")

    def cache(self) -> Any:
        """An empty cache of keys and values, for generation."""
        from transformers import DynamicCache

        return DynamicCache(config=self.module.config)

    def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Logits (B, T, V)."""
        state_BTD = self.hidden(ids_BT, documents_BT)
        return self.logits(state_BTD.flatten(0, 1)).unflatten(0, ids_BT.shape)

    @torch.no_grad()
    def checked(self, folder: Path) -> "HubModel":
        """The model, in eval mode, once its parts are known to make the whole.

        Raises:
            UserError: its head reads something else than the final states, or padding changes a text.
        """
        self.eval()
        ids_BT = torch.arange(16).view(2, 8) % (self.shape.vocab_size - 3) + 3
        states = self.hidden(ids_BT)
        whole = self.module(input_ids=ids_BT).logits
        logits = self.logits(states.flatten(0, 1)).view_as(whole)
        head = self.module.get_output_embeddings()
        if type(head) is nn.Linear and head.bias is None:
            self.plain_head = same(F.linear(states, head.weight), whole)
        documents_BT = (torch.arange(8) >= 5).long().expand(2, 8)
        if self.shape.causal:
            self.packs = same(self.hidden(ids_BT, documents_BT)[:, 5:], self.hidden(ids_BT[:, 5:]))
            left = same(self.hidden(ids_BT[:, :5]), states[:, :5])
        else:
            left = same(self.hidden(ids_BT, 1 - documents_BT)[:, :5], self.hidden(ids_BT[:, :5]))
        if not (left and same(logits, whole)):
            raise UserError(f"{folder}: {type(self.module).__name__} is built in a way that this loop can't train; "
                            "take a base of another architecture")  # fmt: skip
        return self

    # -- adapters and files --------------------------------------------------------------------------------------------

    def add_lora(self, rank: int, seed: int, alpha: float, targets: str) -> None:
        """Freeze all but fresh parameters; linear layers of the blocks get an adapter of `peft`."""
        peft: Any = peft_library()
        heads = sorted({name.rpartition(".")[0] for name in self.fresh})
        config = peft.LoraConfig(
            r=rank, lora_alpha=alpha or 2.0 * rank, lora_dropout=0.0, modules_to_save=heads or None,
            target_modules=sorted(linear_layers(self.module, targets, heads)),
        )  # fmt: skip
        with seeded(seed):
            self.peft = (peft.get_peft_model(self.module, config),)

    def save_adapter(self, folder: Path, base: str, task: str) -> None:
        """Write the adapter as `peft` does, lists sorted: equal weights give equal bytes."""
        (adapted,) = self.peft
        adapted.save_pretrained(folder, save_embedding_layers=False)
        path = folder / "adapter_config.json"
        fields = read_json(path) | {"base_model_name_or_path": base, "task_type": task, "inference_mode": True}
        write_json(path, {name: sorted(one) if isinstance(one, list) else one for name, one in fields.items()})
        (folder / "README.md").unlink(missing_ok=True)

    def merge_lora(self) -> None:
        """Fold the adapters into the weights."""
        (adapted,) = self.peft
        self.module, self.peft = adapted.merge_and_unload(), ()
        self.requires_grad_(True)

    def load_adapter(self, folder: Path) -> None:
        """Fold an adapter that lies in a folder into the weights."""
        self.peft = (peft_library().PeftModel.from_pretrained(self.module, str(folder)),)
        self.merge_lora()


class HubClassifier(HubModel):
    """Logits (B, num_labels) of texts (B, T), by the head that `transformers` has for it."""

    def __init__(self, module: Any, shape: Shape, fresh: list[str]) -> None:
        super().__init__(module, shape, fresh)
        self.num_labels, self.pad = int(module.config.num_labels), int(module.config.pad_token_id)

    def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        inside_BT = ids_BT != self.pad
        padded = not (self.shape.causal or bool(inside_BT.all()))
        logits: Tensor = self.module(input_ids=ids_BT, attention_mask=inside_BT.long() if padded else None).logits
        return logits


def positions_in(documents_BT: Tensor) -> Tensor:
    """Position of each token in its text: int64 (B, T), from the text's number in the row."""
    at_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return at_T - torch.where(begins_BT, at_T, 0).cummax(1).values


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal but for rounding."""
    return a.shape == b.shape and bool((a - b).abs().max() <= SAME * (1 + b.abs().max()))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which PyTorch's random numbers on the CPU are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def linear_layers(module: Any, targets: str, heads: list[str]) -> Iterator[str]:
    """Names of the linear layers of the blocks, all or those of attention; embeddings and heads are none of them."""
    from transformers.pytorch_utils import Conv1D

    backbone = f"{module.base_model_prefix}."
    for name, layer in module.named_modules():
        inside = name.startswith(backbone) and any(part.isdigit() for part in name.split(".")) and name not in heads
        if inside and isinstance(layer, nn.Linear | Conv1D) and (targets == "all" or "att" in name):
            yield name


def peft_library() -> Any:
    """The module `peft`. Raises `UserError`: it is not installed."""
    try:
        import peft
    except ImportError:
        raise UserError(NO_PEFT) from None
    return peft


# -- folders -----------------------------------------------------------------------------------------------------------


def shape_of(fields: dict[str, Any], folder: Path) -> tuple[Shape, int]:
    """The shape that a config.json describes, and how many parameters its backbone has; no weights are read.

    Raises:
        UserError: `transformers` has no such causal or masked model, or would need code of the folder.
    """
    quiet()
    from transformers import AutoConfig, AutoModel

    causal = is_causal(fields, folder)
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModel.from_config(config, trust_remote_code=False)
        width, depth, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
        shape = Shape(
            vocab_size=config.vocab_size, depth=depth, width=width, heads=heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or width // heads,
            feed_forward=getattr(config, "intermediate_size", None) or 4 * width,
            context=context_of(config, skeleton), causal=causal, qk_norm=False, tied=bool(config.tie_word_embeddings),
        )  # fmt: skip
    except Exception as error:  # whatever a configuration of a stranger's makes `transformers` raise
        raise UserError(f"{folder}: `transformers` builds no model from its config.json ({clause(error)}); take "
                        "another base, or get a whole copy of the folder") from None  # fmt: skip
    kept = (parameter.numel() for name, parameter in skeleton.named_parameters() if "pooler" not in name)
    return shape, sum(kept)


def is_causal(fields: dict[str, Any], folder: Path) -> bool:
    """Whether a config.json is of a causal model, and not of a masked one.

    Raises `UserError`: of neither, or its code lies in the folder.
    """
    from transformers.models.auto import modeling_auto as auto

    kind, named = str(fields.get("model_type")), str(fields.get("architectures"))
    refuse_code(fields, folder, "config.json")
    causal, masked = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind), auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(kind)
    if fields.get("is_encoder_decoder") or not (causal or masked):
        raise UserError(f"{folder}: config.json has model_type {kind!r}, of which `transformers` has no causal and no "
                        "masked model; take a base such as llama, qwen2, gpt2, bert or modernbert")  # fmt: skip
    return masked is None or (causal is not None and str(causal) in named)


def refuse_code(fields: dict[str, Any], folder: Path, name: str) -> None:
    """Refuse a base whose file `name`, with these fields, names code of the folder.

    Raises `UserError`: it does.
    """
    if "auto_map" in fields:
        raise UserError(f"{folder}: {name} names code in the folder (auto_map), which is never run; take a base that "
                        "`transformers` has the code of")  # fmt: skip


def context_of(config: Any, skeleton: nn.Module) -> int:
    """Positions that a model has: RoBERTa's kind loses those up to its padding's id. 2048 where nothing bounds them."""
    most = getattr(config, "max_position_embeddings", None) or 2048
    tables = [module for name, module in skeleton.named_modules() if name.endswith("position_embeddings")]
    lost = [table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None]
    return int(most) - max(lost, default=0)


def load(folder: Path, shape: Shape, device: str = "cpu") -> HubModel:
    """The language model of a folder, in float32.

    Raises:
        UserError: weights are missing, of another shape or not finite, or the loop can't train it.
    """
    module, fresh = _read(folder, "CausalLM" if shape.causal else "MaskedLM")
    return HubModel(module, shape, fresh).checked(folder).to(device)


def load_classifier(
    folder: Path, shape: Shape, pad: int, seed: int, labels: list[str], problem: str, device: str = "cpu"
) -> HubClassifier:
    """The backbone of a folder with a head for these labels: the folder's if of as many, else a function of the seed.

    Raises `UserError`: as `load`.
    """
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    with seeded(seed):
        module, fresh = _read(folder, "SequenceClassification", problem_type=problem, pad_token_id=pad, **names)
    if labels_of(read_json(folder / "config.json")):  # a head that came with it is trained too
        backbone = f"{module.base_model_prefix}."
        fresh = [name for name, _ in module.named_parameters() if not name.startswith(backbone)]
    return HubClassifier(module, shape, fresh).to(device)


def labels_of(fields: dict[str, Any]) -> list[str]:
    """Names of a classifier's classes in the order of its logits, from its config.json; none of another model's."""
    if "SequenceClassification" not in str(fields.get("architectures")):
        return []
    names = fields.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return [names[key] for key in sorted(names, key=int)]


def _read(folder: Path, kind: str, **fields: Any) -> tuple[Any, list[str]]:
    """The module of a kind that `transformers` reads, and the names of the parameters that the folder lacks."""
    quiet()
    import transformers

    settings = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True, "dtype": torch.float32}
    settings["ignore_mismatched_sizes"] = True  # of a head for other labels; all others are refused below
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **fields)
        auto = getattr(transformers, f"AutoModelFor{kind}")
        attention = "sdpa" if auto._model_mapping[type(config)]._supports_sdpa else "eager"
        module, report = auto.from_pretrained(
            folder, config=config, attn_implementation=attention, output_loading_info=True, **settings
        )
    except Exception as error:  # whatever weights of a stranger's make `transformers` raise
        raise UserError(f"{folder}: `transformers` loads no {kind} from it ({clause(error)}); take another base, or "
                        "get a whole copy of the folder") from None  # fmt: skip
    fresh = sorted({*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])})
    wrong = [name for name in fresh if name.startswith(f"{module.base_model_prefix}.") and "pooler" not in name]
    wrong += [name for name in sorted(report["unexpected_keys"]) if any(part.isdigit() for part in name.split("."))]
    if wrong:  # a head may be another, but all of the blocks must be there
        raise UserError(f"{folder}: model.safetensors and config.json disagree on {wrong[0]}; the folder is damaged")
    if wrong := [name for name, parameter in module.named_parameters() if not parameter.isfinite().all()]:
        raise UserError(f"{folder}: {wrong[0]} holds numbers that are not finite, so the model says nothing; get a "
                        "whole copy of the folder, or take another model")  # fmt: skip
    return module, fresh


def quiet() -> None:
    """Have `transformers` say nothing of its own accord: what matters is raised."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
