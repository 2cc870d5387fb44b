"""Tiny models of ten architectures with random weights, as `transformers` saves them, with one tokenizer."""

from pathlib import Path
from typing import Any

import torch

from components.core.files import read_json, write_json, write_text
from components.tokens.tokenizer import END_OF_TEXT, MASK, PAD, SPECIAL_TOKENS

LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
"""Rotary positions of a real llama."""
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1, "rope_parameters": LLAMA3},
    "qwen2": {"num_key_value_heads": 1, "tie_word_embeddings": True, "rope_theta": 1e6},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 16, "attention_bias": True},  # without biases our own network's
    "gpt2": {},
    "smollm3": {"num_key_value_heads": 1, "no_rope_layer_interval": 2},
    "bert": {},
    "roberta": {"max_position_embeddings": 130},
    "distilbert": {"hidden_dim": 64},
    "modernbert": {"local_attention": 16, "global_attn_every_n_layers": 2},
    "eurobert": {"hidden_act": "gelu"},  # with SiLU our own network's
}
"""model_type -> what its config.json has beside `SIZES`."""
CAUSAL = ("llama", "qwen2", "qwen3", "gpt2", "smollm3")
SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 128, "bos_token_id": END_OF_TEXT, "eos_token_id": END_OF_TEXT, "pad_token_id": PAD,
    "mask_token_id": MASK, "cls_token_id": END_OF_TEXT, "sep_token_id": END_OF_TEXT,
}  # fmt: skip
NAMES = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": PAD, "mask_token": MASK}


def save_tiny(kind: str, tokenizer_json: str, vocab_size: int, folder: Path, **more: Any) -> Path:
    """Write a model of an architecture, and a tokenizer's files; returns the folder.

    Args:
        more: sizes other than tiny.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    config = AutoConfig.for_model(kind, vocab_size=vocab_size, **SIZES | ARCHITECTURES[kind] | more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        (AutoModelForCausalLM if kind in CAUSAL else AutoModelForMaskedLM).from_config(config).save_pretrained(folder)
    write_text(folder / "tokenizer.json", tokenizer_json)
    fields = {name: SPECIAL_TOKENS[id] for name, id in NAMES.items()}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"} | fields)
    assert read_json(folder / "config.json")["model_type"] == kind
    return folder
