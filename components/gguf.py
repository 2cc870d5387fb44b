"""A causal model folder as a GGUF file, which llama.cpp and what is built on it run (Ollama, LM Studio and others).

Architecture `qwen3`; tensors go under llama.cpp's names, in float32 unchanged. In the smaller forms matrices are
float16, or blocks of 32 eight-bit numbers with a scale (Q8_0) if their rows divide. Special tokens
are control tokens, so that their strings in a text stay text; `<|endoftext|>` begins every prompt, as it began every
document in training, and `<|end|>` ends an answer. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.numpy

from components.core.errors import UserError
from components.core.files import read_json, written_whole
from components.model.export import shape_of, tokenizer_text
from components.model.shape import Shape
from components.tokens.tokenizer import END, END_OF_TEXT, MASK, PAD, SPECIAL_TOKENS, byte_ranks

Form = Literal["F32", "F16", "Q8_0"]
FORMS: dict[Form, str] = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0"}
"""Form of the matrices -> llama.cpp's name of such a file."""
BLOCK = 32
"""Numbers that share a scale in Q8_0."""
MODELFILE = '''FROM ./{file}
TEMPLATE """{template}"""
PARAMETER num_ctx {context}
PARAMETER stop {end}
'''
CHAT_TURN = "{{ if .System }}<|system|>{{ .System }}{{ end }}<|user|>{{ .Prompt }}<|assistant|>{{ .Response }}<|end|>"

PATTERN_NAME = "qwen35"
"""llama.cpp's name of the pattern by which our tokenizer cuts text."""


def library() -> Any:
    """The package `gguf`. Raises `UserError`: it is not installed."""
    try:
        import gguf
    except ImportError:
        raise UserError("GGUF needs the package gguf: pip install -c constraints.txt -e '.[gguf]'") from None
    return gguf


def shape_for_gguf(folder: Path) -> Shape:
    """The shape of a model that llama.cpp can run.

    Raises `UserError`: it is a masked model or a classifier, or no model folder.
    """
    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: no config.json, so this is no model folder; give one that a training stage wrote")
    shape = shape_of(read_json(folder / "config.json"), folder)
    if not shape.causal:
        raise UserError(f"{folder}: llama.cpp writes text, and this model reads it (a masked model or a classifier); "
                        "take causal or instruct, or --to hub")  # fmt: skip
    return shape


def write_gguf(folder: Path, path: Path, facts: Mapping[str, str], form: Form = "F32") -> None:
    """Write a model folder to `path`.

    Args:
        facts: metadata under their full keys, such as `general.license`; empty ones are left out.
        form: of the matrices.

    Raises `UserError`: llama.cpp cannot run the model, or its tokenizer is not ours.
    """
    gguf, shape, tokenizer_json = library(), shape_for_gguf(folder), tokenizer_text(folder)
    try:
        byte_ranks(tokenizer_json)  # checks that the pattern is the one that is named
    except (UserError, KeyError, TypeError):  # another layout of tokenizer.json
        raise UserError(
            f"{facts.get('general.name') or folder}: its tokenizer is none of this pipeline; write the model with "
            "--to hub, and convert that by llama.cpp's convert_hf_to_gguf.py"
        ) from None
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, shape.depth)
    with written_whole(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "qwen3")
        for key, value in facts.items():
            if value:
                writer.add_string(key, value)
        writer.add_file_type(gguf.LlamaFileType[FORMS[form]])
        _add_shape(writer, shape)
        _add_tokenizer(writer, gguf, json.loads(tokenizer_json), read_json(folder / "tokenizer_config.json"))
        for name, tensor in sorted(safetensors.numpy.load_file(folder / "model.safetensors").items()):
            small = tensor.ndim > 1 and (form != "Q8_0" or tensor.shape[-1] % BLOCK == 0)
            kind = gguf.GGMLQuantizationType[form if small else "F32"]
            stored = gguf.quants.quantize(tensor, kind)
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), stored, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def modelfile(folder: Path, name: str) -> str:
    """Ollama's file for a GGUF file `name` of a model folder: Ollama does not run the template that lies in it."""
    task = read_json(folder / "greenhouse.json").get("task", {})
    template, context = CHAT_TURN if task.get("chat") else "{{ .Prompt }}", shape_for_gguf(folder).context
    return MODELFILE.format(file=name, template=template, context=context, end=SPECIAL_TOKENS[END])


def _add_shape(writer: Any, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.depth)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_vocab_size(shape.vocab_size)


def _add_tokenizer(writer: Any, gguf: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre(PATTERN_NAME)
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if token in SPECIAL_TOKENS else kinds.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(END_OF_TEXT)
    writer.add_eos_token_id(END_OF_TEXT)
    writer.add_eot_token_id(END)
    writer.add_pad_token_id(PAD)
    writer.add_mask_token_id(MASK)
    writer.add_add_bos_token(True)
    writer.add_chat_template(config["chat_template"])
