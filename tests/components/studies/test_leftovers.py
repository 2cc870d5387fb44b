"""What is left of other trainers: files as transformers 5.24 and TRL 1.16 write them, and of any other."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from components.studies.leftovers import DATA, ORDER, SETTINGS, dangers, read
from tests.errors import refuses

CARD = "---\nbase_model: org/base\nlicense: mit\ntags:\n- trl\n---\n"
CONFIG = {"architectures": ["Qwen3ForCausalLM"], "transformers_version": "5.24.0"}
CONFIG |= {"num_hidden_layers": 2, "hidden_size": 32, "max_position_embeddings": 128}
STATE = {"global_step": 12, "max_steps": 12, "num_input_tokens_seen": 0}
STATE |= {"log_history": [{"loss": 3.0, "num_tokens": 336.0, "step": 12}, {"eval_loss": 2.5, "eval_runtime": 0.1}]}


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


def test_what_a_trainer_left_is_read_and_what_it_did_not_is_said(tmp_path: Path) -> None:
    found = read(write(tmp_path, hub(**{"README.md": CARD})))
    assert (found.trainer, found.base, found.licence) == ("TRL (transformers 5.24.0)", "org/base", "mit")
    assert (found.steps, found.tokens, found.figures) == (12, 336, {"loss": 3.0, "eval_loss": 2.5})
    assert {DATA, ORDER, SETTINGS} == found.not_known.keys()
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
    ],
)
def test_what_is_damaged_is_said_in_a_sentence(tmp_path: Path, files: dict[str, object], number: int) -> None:
    refuses(lambda: read(write(tmp_path, files)), f"leftovers.read.{number}", tmp_path)


def test_what_is_dangerous_to_load_is_told(tmp_path: Path) -> None:
    left = read(write(tmp_path, hub(**{"config.json": CONFIG | {"auto_map": {"AutoModel": "x.Y"}}, "more.bin": "x"})))
    code, pickle = dangers(left.files)
    assert "config.json names code" in code
    assert "more.bin may be a pickle" in pickle
