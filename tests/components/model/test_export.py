"""Model folders: `transformers` loads them with identical logits, we load what it saves, damage is named."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from components.model import export
from components.tokens.tokenizer import CHAT, SPECIAL_TOKENS
from tests.components.model.test_transformer import network
from tests.errors import refused, refuses


@pytest.mark.parametrize(
    ("causal", "model"),
    [(True, {}), (True, {"kv_heads": 1, "tied": False}), (False, {}), (False, {"kv_heads": 1, "tied": False})],
)
def test_transformers_gives_the_same_logits_and_back(
    causal: bool, model: dict, tokenizer_json: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    ours = network(causal, **model)
    export.save(ours, tokenizer_json, tmp_path / "ours", {})
    theirs = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_pretrained(tmp_path / "ours").eval()
    assert type(theirs).__name__ == ("Qwen3ForCausalLM" if causal else "EuroBertForMaskedLM")
    ids = torch.randint(6, 300, (2, 50))
    with torch.no_grad():
        assert (theirs(ids).logits - ours(ids)).abs().max() < 1e-4
        theirs.save_pretrained(tmp_path / "theirs")
        (tmp_path / "theirs" / "tokenizer.json").write_text(tokenizer_json)
        back, _, _ = export.load(tmp_path / "theirs")
        assert torch.equal(back(ids), ours(ids))


def test_the_tokenizer_loads_with_its_special_tokens_and_chat_template(tokenizer_json: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    export.save(network(), tokenizer_json, tmp_path, {})
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id) == (0, 1, 2)
    assert set(tokenizer.all_special_tokens) == set(SPECIAL_TOKENS)
    assert tokenizer.chat_template == CHAT.template
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "ab"}], add_generation_prompt=True, tokenize=False
    )
    assert chat == "<|endoftext|><|user|>ab<|assistant|>"


def test_readers_of_transformers_4_find_what_they_look_for_and_text_ends_at_the_context(
    tokenizer_json: str, tmp_path: Path
) -> None:
    """4.57 took a RoPE of 10,000 in silence, and read no tokenizer whose `extra_special_tokens` is a list."""
    from transformers import AutoConfig, AutoModelForCausalLM

    ours = network()
    ours.shape = replace(ours.shape, rope_theta=1e6)
    export.save(ours, tokenizer_json, tmp_path, {})
    assert json.loads((tmp_path / "config.json").read_text())["rope_theta"] == 1e6
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters["rope_theta"] == 1e6
    named = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert set(named["additional_special_tokens"]) < set(SPECIAL_TOKENS)
    assert "extra_special_tokens" not in named
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    model.generation_config.eos_token_id = None
    assert model.generate(torch.tensor([[0, 9]]), do_sample=False).shape[1] == ours.shape.context
    assert "transformers>=5.3," in (Path(export.__file__).parents[2] / "pyproject.toml").read_text(), "has EuroBERT"


def test_weights_that_find_no_room_in_memory_are_not_called_damaged(tokenizer_json: str, tmp_path: Path) -> None:
    export.save(network(), tokenizer_json, tmp_path, {})
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 30], "data_offsets": [0, 1 << 32]}}).encode()
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (1 << 32))
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (1 << 30), before[1]))
    try:
        refuses(lambda: export.load(tmp_path), "export.inspected.3", "model.safetensors", "4.3 GB")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_loading_what_is_no_model_says_what_is_missing(tokenizer_json: str, tmp_path: Path) -> None:
    refuses(lambda: export.load(tmp_path), "export.inspected.2", tmp_path, "config.json")
    refuses(lambda: export.load(tmp_path / "nowhere"), "export.inspected.2", "nowhere", "no such folder")
    export.save(network(), tokenizer_json, tmp_path, {})
    fields = json.loads((tmp_path / "config.json").read_text())
    for change, code, fact in (
        ({"model_type": "t5"}, "hub_model.is_causal", "'t5'"),
        ({"model_type": "llama"}, "hub_model._read.2", "model.layers.0.self_attn.k_norm.weight"),
        ({"attention_bias": True}, "export.inspected.5", 441728),
        ({"auto_map": {"AutoModel": "modeling.Mine"}}, "hub_model.refuse_code", "auto_map"),
        ({"num_hidden_layers": 3}, "export.inspected.5", 640512),
        ({"intermediate_size": 32}, "export.load_tensors.2", "(32, 128)"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, "export.inspected.6", "models/pretrain/causal"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(fields | change))
        with refused(code, tmp_path, fact):
            export.load(tmp_path)
