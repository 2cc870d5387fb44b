"""Files left of a run that nobody recorded, read without the code of its trainer.

Of the Trainers of transformers (5.24) and TRL (1.16), and of what writes the same files, config,
state, log and card are read; of any other, which files there are. No pickle is opened. What a
trainer does not keep is not guessed: `Found.not_known` says it, with the reason.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import safetensors
from safetensors import SafetensorError

from components.core.errors import UserError, clause
from components.core.files import read_json

ORDER = "the order in which data was read"
DATA = "what it was trained on"
SETTINGS = "its settings"
SIZE = "its number of parameters"
TASKS = {
    "ForSequenceClassification": "text-classification", "SEQ_CLS": "text-classification",
    "ForMaskedLM": "fill-mask", "ForCausalLM": "text-generation", "CAUSAL_LM": "text-generation",
}  # fmt: skip
"""End of an architecture's name, or PEFT's name of a task -> task, as the Hugging Face hub names it."""
FIGURES = r"(train_)?loss|(eval_)?mean_token_accuracy|eval_(loss|accuracy|f1)"
"""Those of the Trainer's log that are about the model."""
PICKLES = (".pt", ".pth", ".bin", ".ckpt")
WEIGHTS = (".safetensors", *PICKLES, ".npz", ".gguf")
FOR_RESUMING = re.compile(r"(optimizer|scheduler|rng_state|training_args|scaler).*")
"""Files of transformers that no model needs; all are pickles."""


@dataclass(frozen=True)
class Found:
    """Facts of a run that its files tell.

    Attributes:
        trainer: who wrote the folder, with its version if that is there; "" if not known.
        tool, call: how Python loads the model, as in `LoadAnswer`; `{}` stands for the folder.
        files: the model's files, by the name that each has in its folder.
        pipeline_tag: its task as the Hugging Face hub names it. base: the model that was tuned, and
            licence: of the model; "" for none, or if nothing says.
        shape: depth, width, context, as far as they are known. parameters: 0 if not known.
        steps, tokens: of the training; 0 if not known.
        config: settings that the trainer kept. figures: the last of its log; None for
            one that is not there.
        not_known: what -> why.
    """

    trainer: str
    tool: str
    call: str
    files: dict[str, Path]
    pipeline_tag: str = "text-generation"
    base: str = ""
    licence: str = ""
    shape: dict[str, int] = field(default_factory=dict)
    parameters: int = 0
    steps: int = 0
    tokens: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    not_known: dict[str, str] = field(default_factory=dict)


def read(folder: Path) -> Found:
    """Content of the folder of a model.

    Raises:
        UserError: it holds no weights, or a file of the trainer is damaged.
    """
    try:
        if leftovers := transformers(folder):
            return leftovers
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(f"{folder}: a file of its trainer cannot be read ({clause(error)}); get a whole copy") from None
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: path for name, path in names.items() if not re.search(r"(^|/)\.", name)}  # .git, .greenhouse
    if not any(name.endswith(WEIGHTS) for name in files):
        raise UserError(f"{folder}: no weights there ({', '.join(WEIGHTS)}); name the folder of a trained model")
    size = _parameters(files.values())
    unknown = dict.fromkeys(
        (DATA, ORDER, SETTINGS, *(() if size else (SIZE,))), "nothing here says who wrote this folder"
    )
    call = "# not known: nothing says who its trainer is"
    return Found("", "", call, files, pipeline_tag="other", parameters=size, not_known=unknown)


def dangers(files: dict[str, Path]) -> list[str]:
    """Sentences about what whoever loads these files of a model should know first."""
    sentences = []
    for name, path in files.items():
        if path.suffix == ".json" and b'"auto_map"' in path.read_bytes():
            sentences.append(f"{name} names code of its own (auto_map), which runs where trust_remote_code is set.")
        if path.suffix in PICKLES:
            sentences.append(f"{name} may be a pickle, which runs code when opened; open it with weights_only alone.")
    return sentences


def _newest(paths: Iterable[Path]) -> Path | None:
    """The path with the largest number at the end of its name."""
    return max(paths, key=lambda path: int(re.findall(r"\d+", path.stem)[-1]), default=None)


def _shape(config: dict[str, Any], depth: str, width: str, context: str) -> dict[str, int]:
    names = {"depth": depth, "width": width, "context": context}
    return {name: config[key] for name, key in names.items() if isinstance(config.get(key), int)}


def transformers(folder: Path) -> Found | None:
    """The Trainers of transformers and TRL: the model or adapter saved at the end, else the newest checkpoint."""
    from huggingface_hub.repocard import metadata_load

    checkpoint = _newest(folder.glob("checkpoint-[0-9]*"))
    folders = [parent for parent in (folder, checkpoint) if parent]
    configs = [parent / name for parent in folders for name in ("config.json", "adapter_config.json")]
    if not (config_path := next((path for path in configs if path.exists() and _is_of_transformers(path)), None)):
        return None
    states = [path for parent in folders if (path := parent / "trainer_state.json").exists()]
    state, config, card = read_json(states[-1]) if states else {}, read_json(config_path), folder / "README.md"
    head = (metadata_load(card) if card.exists() else None) or {}
    last = {name: value for row in state.get("log_history", []) for name, value in row.items()}
    files = {path.name: path for path in (*sorted(config_path.parent.iterdir()), *states) if path.is_file()}
    named = config.get("task_type") or "".join(config.get("architectures") or [])
    task = next((task for end, task in TASKS.items() if named.endswith(end)), "feature-extraction")
    tuned = config_path.name == "adapter_config.json"
    version = f"transformers {config.get('transformers_version', 'of an unknown version')}"
    is_trl = "trl" in (head.get("tags") or []) or "num_tokens" in last
    return Found(
        f"TRL ({version})" if is_trl else version, "PEFT" if tuned else "Transformers",
        'AutoPeftModel.from_pretrained("{}")' if tuned else f'pipeline("{task}", model="{{}}")',
        {name: path for name, path in files.items() if not FOR_RESUMING.fullmatch(name)},
        pipeline_tag=task, base=str(config.get("base_model_name_or_path") or head.get("base_model") or ""),
        licence=str(head.get("license") or ""), parameters=_parameters(files.values()),
        shape=_shape(config, "num_hidden_layers", "hidden_size", "max_position_embeddings"),
        steps=state.get("global_step", 0), tokens=int(last.get("num_tokens", state.get("num_input_tokens_seen", 0))),
        config={name: state[name] for name in ("max_steps", "num_train_epochs", "train_batch_size") if name in state},
        figures={name: value for name, value in last.items() if re.fullmatch(FIGURES, name)},
        not_known={ORDER: "this trainer keeps no data order", DATA: "this trainer keeps no list of its data",
                   SETTINGS: "this trainer keeps them in training_args.bin, a pickle, which is not opened"},
    )  # fmt: skip


def _is_of_transformers(config: Path) -> bool:
    """Whether a file is of an adapter, or names a model of theirs: any program may write a config.json."""
    fields = read_json(config)
    return config.name == "adapter_config.json" or bool({"model_type", "architectures"} & {*fields})


def _parameters(files: Iterable[Path]) -> int:
    """Parameters in these files of safetensors, by their headers."""
    total = 0
    for path in files:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, "np") as file:
                total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total
