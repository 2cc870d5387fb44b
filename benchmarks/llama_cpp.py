"""llama.cpp as a peer and a reader: its HTTP server, in this process, on a GGUF file (package xllamacpp)."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch

from components.gguf import write_gguf
from components.model.export import Network, save
from components.model.transformer import Shape, Transformer
from components.tokens.tokenizer import END, END_OF_TEXT


@contextmanager
def server(path: Path, context: int = 256) -> Iterator[httpx.Client]:
    """A client of the server of a GGUF file, one thread, keys and values in float32."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup = context, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    running = xllamacpp.Server(params)
    with httpx.Client(base_url=running.listening_address, timeout=600) as client:
        yield client


def ids(client: httpx.Client, texts: Sequence[str], special: bool = False) -> list[list[int]]:
    """llama.cpp's ids of texts, all of each taken as plain text; `special`: with what it puts before a prompt."""
    body = {"add_special": special, "parse_special": False}
    answers = (client.post("/tokenize", json=body | {"content": text}) for text in texts)
    return [answer.raise_for_status().json()["tokens"] for answer in answers]


def write_vocabulary(folder: Path, tokenizer_json: str) -> Path:
    """A GGUF file with the vocabulary of a tokenizer.json, and a network of one block."""
    vocab_size = len(json.loads(tokenizer_json)["model"]["vocab"])
    network = Transformer(Shape(vocab_size, 1, 64, 2, 2, 32, 64, 128)).initialise(1)
    save(network, tokenizer_json, folder / "vocabulary", {})
    write_gguf(folder / "vocabulary", folder / "vocabulary.gguf", {})
    return folder / "vocabulary.gguf"


@contextmanager
def llama_cpp(folder: Path, tokenizer_json: str) -> Iterator[Callable[[Sequence[str]], list[list[int]]]]:
    """A function that gives llama.cpp's ids of texts, by a tokenizer.json."""
    with server(write_vocabulary(folder, tokenizer_json), 128) as client:
        yield lambda texts: ids(client, texts)


def first_difference(client: httpx.Client, model: Network, prompt: list[int], num_tokens: int) -> float | None:
    """Where llama.cpp's greedy continuation of some ids leaves ours: the margin of our two best logits there.

    None if it does not, within `num_tokens` or until either ends.
    """
    body = {"prompt": prompt, "n_predict": num_tokens, "temperature": 0, "cache_prompt": False, "return_tokens": True}
    theirs = client.post("/completion", json=body).raise_for_status().json()["tokens"]
    context = list(prompt)
    for token in theirs:
        with torch.inference_mode():
            best = model(torch.tensor([context]))[0, -1].float().topk(2)
        if token != int(best.indices[0]):
            return float(best.values[0] - best.values[1])
        context.append(token)
    ended = bool(theirs) and theirs[-1] in (END_OF_TEXT, END)
    assert ended or len(theirs) == num_tokens, f"llama.cpp stopped after {len(theirs)} tokens"
    return None
