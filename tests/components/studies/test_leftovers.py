"""What is left of other trainers: files as nanochat, LitGPT 0.4, transformers 5.24, TRL 1.16 and axolotl write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from components.studies.leftovers import DATA, ORDER, SETTINGS, dangers, read
from tests.errors import refuses

CARD = "---\nbase_model: org/base\nlicense: mit\ntags:\n- trl\n---\n"
AXOLOTL = (
    "axolotl version: `0.9.1`\n```yaml\nbase_model: org/phi\ndatasets:\n  - path: rows.jsonl\nlearning_rate: 0.1\n```"
)
CONFIG = {"architectures": ["Qwen3ForCausalLM"], "transformers_version": "5.24.0"}
CONFIG |= {"num_hidden_layers": 2, "hidden_size": 32, "max_position_embeddings": 128}
STATE = {"global_step": 12, "max_steps": 12, "num_input_tokens_seen": 0}
STATE |= {"log_history": [{"loss": 3.0, "num_tokens": 336.0, "step": 12}, {"eval_loss": 2.5, "eval_runtime": 0.1}]}
NANOCHAT = {"val_bpb": 2.1, "total_batch_size": 256, "user_config": {"depth": 2}}
NANOCHAT |= {"model_config": {"n_layer": 2, "n_embd": 32, "sequence_len": 64}}
METRICS = "loss,samples,step,tokens,total_tokens,val_loss\n4.5,64,31,4096,4096,\n,,31,,,4.4\n"
HYPERPARAMETERS = "seed: 5\ntrain:\n  global_batch_size: 4\n"


def write(folder: Path, files: dict[str, object]) -> Path:
    """The files in a folder: text, JSON of other values; weights of ten numbers for None."""
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if value is None:
            save_file({"a": np.zeros((2, 5), np.float32)}, path)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def hub(**more: object) -> dict[str, object]:
    """What transformers' Trainer leaves."""
    state = {"checkpoint-5/trainer_state.json": STATE | {"global_step": 5}, "checkpoint-12/trainer_state.json": STATE}
    return {"config.json": CONFIG, "model.safetensors": None, "training_args.bin": "pickle", **state, **more}


STEPS, UNKNOWN = (12, 336, {"loss": 3.0, "eval_loss": 2.5}), {DATA, ORDER}
LEFT: dict[str, tuple[dict[str, object], Any, str, set[str]]] = {
    "TRL (transformers 5.24.0)": (hub(**{"README.md": CARD}), STEPS, "org/base", UNKNOWN | {SETTINGS}),
    "axolotl 0.9.1": (hub(**{"README.md": AXOLOTL}), STEPS, "org/phi", UNKNOWN),
    "nanochat": (
        {"meta_000004.json": {}, "meta_000006.json": NANOCHAT, "model_000006.pt": "pickle"},
        (6, 1536, {"val_bpb": 2.1, "train_loss": None}), "", UNKNOWN,
    ),
    "LitGPT": (
        {"final/model_config.yaml": "n_layer: 2\nn_embd: 32\nblock_size: 128\n", "final/lit_model.pth": "pickle",
         "final/hyperparameters.yaml": HYPERPARAMETERS, "logs/csv/version_0/metrics.csv": METRICS},
        (16, 4096, {"val_loss": 4.4, "train_loss": 4.5}), "", UNKNOWN,
    ),
}  # fmt: skip
"""Trainer -> what it left; steps, tokens and figures of it; the base; what is not known."""


@pytest.mark.parametrize("trainer", LEFT)
def test_an_adapter_reads_what_its_trainer_left_and_says_what_it_did_not(tmp_path: Path, trainer: str) -> None:
    left, training, base, unknown = LEFT[trainer]
    found = read(write(tmp_path, left))
    assert (found.trainer, found.base) == (trainer, base)
    assert (found.steps, found.tokens, found.figures) == training
    assert found.not_known.keys() & {DATA, ORDER, SETTINGS} == unknown
    assert (found.shape["depth"], found.shape["width"]) == (2, 32)
    assert all(path.exists() for path in found.files.values())
    assert "training_args.bin" not in found.files


def test_an_adapter_of_peft_is_loaded_with_its_base(tmp_path: Path) -> None:
    config = {"base_model_name_or_path": "org/base", "task_type": "SEQ_CLS"}
    found = read(write(tmp_path, {"adapter_config.json": config, "adapter_model.safetensors": None}))
    assert (found.tool, found.base, found.pipeline_tag) == ("PEFT", "org/base", "text-classification")


def test_of_an_unknown_trainer_nothing_is_guessed(tmp_path: Path) -> None:
    files = {"model.safetensors": None, "config.json": {"width": 128}, "log.txt": "loss 3", ".git/config": ""}
    found = read(write(tmp_path, files))
    assert (found.trainer, found.parameters, found.figures) == ("", 10, {})
    assert set(found.files) == {"model.safetensors", "config.json", "log.txt"}


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({"notes.txt": "no model"}, 2),
        (hub() | {"config.json": "{"}, 1),
        (hub() | {"model.safetensors": "torn"}, 1),
        (LEFT["nanochat"][0] | {"meta_000006.json": {"step": 6}}, 1),
        (LEFT["LitGPT"][0] | {"final/hyperparameters.yaml": "- a"}, 1),
    ],
)
def test_what_is_damaged_is_said_in_a_sentence(tmp_path: Path, files: dict[str, object], number: int) -> None:
    refuses(lambda: read(write(tmp_path, files)), f"leftovers.read.{number}", tmp_path)


def test_what_is_dangerous_to_load_is_told(tmp_path: Path) -> None:
    left = read(write(tmp_path, hub(**{"config.json": CONFIG | {"auto_map": {"AutoModel": "x.Y"}}, "more.bin": "x"})))
    code, pickle = dangers(left.files)
    assert "config.json names code" in code
    assert "more.bin may be a pickle" in pickle
