"""Ids by llama.cpp itself: a GGUF with our vocabulary around random weights, asked over its HTTP server."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gguf
import httpx
import numpy as np
import xllamacpp

from components.tokens.tokenizer import SPECIAL_TOKENS

PRE_TOKENIZER = "qwen35"
"""llama.cpp's name of the pattern."""
WIDTH, HEADS = 64, 2


def write_gguf(path: Path, tokenizer_json: str) -> None:
    """Write a Qwen3 of one block with random weights and the vocabulary of a tokenizer.json."""
    content = json.loads(tokenizer_json)
    vocabulary = content["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL_TOKENS else gguf.TokenType.NORMAL for token in tokens]
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_key_length(WIDTH // HEADS)
    writer.add_value_length(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in content["model"]["merges"]])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    draw = np.random.default_rng(1)
    for name, shape in _shapes(len(tokens)).items():
        writer.add_tensor(name, draw.normal(0, 0.02, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shapes(vocab_size: int) -> dict[str, tuple[int, ...]]:
    block = {f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
    block |= {f"ffn_{part}": (WIDTH, WIDTH) for part in ("gate", "up", "down")}
    block |= {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
    block |= {f"attn_{part}_norm": (WIDTH // HEADS,) for part in ("q", "k")}
    shapes = {f"blk.0.{name}.weight": shape for name, shape in block.items()}
    return shapes | {"token_embd.weight": (vocab_size, WIDTH), "output_norm.weight": (WIDTH,)}


@contextmanager
def llama_cpp(folder: Path, tokenizer_json: str) -> Iterator[Callable[[Sequence[str]], list[list[int]]]]:
    """A function that gives llama.cpp's ids of texts, all of each taken as plain text."""
    write_gguf(folder / "vocabulary.gguf", tokenizer_json)
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / "vocabulary.gguf")
    params.n_ctx, params.cpuparams.n_threads, params.warmup = 128, 1, False
    server = xllamacpp.Server(params)

    def ids(texts: Sequence[str]) -> list[list[int]]:
        with httpx.Client(base_url=server.listening_address, timeout=600) as client:
            body = {"add_special": False, "parse_special": False}
            answers = (client.post("/tokenize", json=body | {"content": text}) for text in texts)
            return [answer.raise_for_status().json()["tokens"] for answer in answers]

    yield ids
