"""Encoding: from texts in memory to shards of tokens on disk, ours and today's peers; and whether all ids are equal.

Each run is a process of its own and cold: the import of the encoder, its start from tokenizer.json or the merges, the
ids of every text, and two bytes per id on disk are timed; reading the texts is not. The tokenizer is trained by our own
stage's code on the first 20 MB, with 32,768 tokens. Ours and the peers use two threads.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_runs import WORKERS, Run, seconds, timed, times
from benchmarks.llama_cpp import llama_cpp
from benchmarks.results import figure, goal
from components.corpus.corpus import read_corpus, read_manifest, read_shard
from components.tokens.tokenizer import PATTERN, Encoder, byte_ranks, reference, train_bpe

VOCAB_SIZE, TRAIN_BYTES = 32_768, 20_000_000
PEERS = ("gigatoken", "tiktoken", "tokenizers")
RUNS = {"ours": 3, "gigatoken": 3, "tiktoken": 2, "tokenizers": 2}
LLAMA_EVERY, LLAMA_CHARS = 13, 3_000
"""llama.cpp is asked over HTTP, so of one document in so many, and of its first characters."""


def tokenizer(corpus: Corpus) -> Path:
    """Path of the tokenizer in the cache, trained if it is not there."""
    path = corpus.folder.parent / f"tokenizer-{VOCAB_SIZE}.json"
    if not path.exists():
        folder, _ = subset(corpus, TRAIN_BYTES)
        path.write_text(train_bpe((each.text for each in read_corpus(folder)), VOCAB_SIZE).to_str(), "utf-8")
    return path


def texts_of(corpus: Path) -> list[list[str]]:
    """The texts of each shard of a corpus."""
    shards = (read_shard(corpus / shard.file) for shard in read_manifest(corpus).shards)
    return [[document.text for document in shard] for shard in shards]


def ours(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """Seconds and tokens of our encoder and our shards, whose files are hashed as well."""
    from components.tokens.shards import TokenWriter

    shards, content = texts_of(Path(corpus)), Path(tokenizer_json).read_text("utf-8")
    started = time.perf_counter()
    encoder = Encoder(content)
    writer = TokenWriter(work / "tokens", encoder.vocab_size, "", ["bench"])
    for texts in shards:
        num_bytes = np.array([len(text.encode()) for text in texts])
        writer.add_documents(list(encoder.encode_many(texts, WORKERS)), np.zeros(len(texts), np.int64), num_bytes)
    written = writer.close()
    return {"seconds": time.perf_counter() - started, "tokens": written.num_tokens - written.num_documents}


def gigatoken(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """The same of gigatoken by its own interface; our special tokens have no meaning in a text."""

    def start(content: str) -> Callable[[list[str]], np.ndarray]:
        import awkward
        from gigatoken import Tokenizer

        model = Tokenizer.from_json(json.dumps(json.loads(content) | {"added_tokens": []}))
        return lambda texts: awkward.to_numpy(awkward.flatten(model.encode_batch(texts)))

    return peer(work, corpus, tokenizer_json, start)


def tiktoken(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """The same of tiktoken, on two threads."""

    def start(content: str) -> Callable[[list[str]], np.ndarray]:
        encoding = of_tiktoken(content)
        return lambda texts: joined(encoding.encode_ordinary_batch(texts, num_threads=WORKERS))

    return peer(work, corpus, tokenizer_json, start)


def tokenizers(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """The same of tokenizers, on two threads."""

    def start(content: str) -> Callable[[list[str]], np.ndarray]:
        slow = reference(content)
        return lambda texts: joined(
            found.ids for found in slow.encode_batch_fast(texts, add_special_tokens=False)
        )  # fmt: skip

    return peer(work, corpus, tokenizer_json, start)


def of_tiktoken(tokenizer_json: str) -> Any:
    """The tokenizer as tiktoken has it."""
    from tiktoken import Encoding

    return Encoding("bench", pat_str=PATTERN, mergeable_ranks=byte_ranks(tokenizer_json), special_tokens={})


def joined(rows: Iterable[Sequence[int]]) -> np.ndarray:
    """All ids in one array."""
    return np.concatenate([np.array(row, dtype=np.uint16) for row in rows])


def peer(
    work: Path, corpus: str, tokenizer_json: str, start: Callable[[str], Callable[[list[str]], np.ndarray]]
) -> dict[str, float]:
    """Seconds and tokens of a peer: a file of ids for each shard."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(WORKERS)}
    shards, content = texts_of(Path(corpus)), Path(tokenizer_json).read_text("utf-8")
    started = time.perf_counter()
    encode, tokens = start(content), 0
    for number, texts in enumerate(shards):
        ids = encode(texts)
        ids.astype("<u2").tofile(work / f"{number}.bin")
        tokens += len(ids)
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def measure(corpus: Corpus, runs: dict[str, int] = RUNS) -> tuple[dict, list[dict]]:
    """Times in turn, and their ratio to `tokenizers`; `identity` shows that the ids are the same."""
    path = tokenizer(corpus)
    found: dict[str, list[Run]] = {name: [] for name in runs}
    for turn in range(max(runs.values())):
        for name in (name for name, count in runs.items() if turn < count):
            found[name].append(timed(f"benchmarks.data_encode:{name}", corpus.folder, path))
    typical = {name: figure(seconds(each))["median"] for name, each in found.items()}
    results = {
        "megabytes": corpus.num_bytes / 1e6,
        "vocab_size": VOCAB_SIZE,
        "tokens": {name: each[0].result["tokens"] for name, each in found.items()},
        **{name: times(each) for name, each in found.items()},
        "times_as_fast_as": {name: typical[name] / typical["ours"] for name in PEERS},
    }
    says = "from texts to token shards, cold, times as fast as tokenizers"
    return {"encode": results}, [
        goal("encode_vs_tokenizers", typical["tokenizers"] / typical["ours"], 40, "higher", says=says)
    ]


def identity(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Documents of the whole corpus whose ids differ from ours, by encoder; llama.cpp: of a sample."""
    content = tokenizer(corpus).read_text("utf-8")
    different = dict.fromkeys(("tokenizers", "tiktoken", "gigatoken", "llama.cpp"), 0)
    with tempfile.TemporaryDirectory() as folder, llama_cpp(Path(folder), content) as llama:
        for texts in texts_of(corpus.folder):
            for name, found, expected in others(texts, content, llama):
                different[name] += sum(one != other for one, other in zip(found, expected, strict=True))
    results = {"encode_identity": {"documents": corpus.num_documents, "different": different}}
    says = "ids of tokenizers, tiktoken, gigatoken and llama.cpp are ours"
    return results, [goal("ids_equal", float(not any(different.values())), 1, "higher", says=says)]


def others(texts: list[str], content: str, llama: Callable[[list[str]], list[list[int]]]) -> Iterable[tuple]:
    """Name, ids and our ids of each encoder; ours are those of single texts, gigatoken's those of its batches."""
    from gigatoken import Tokenizer

    encoder = Encoder(content)
    own = [ids.tolist() for ids in encoder.encode_many(texts, WORKERS)]
    slow = reference(content).encode_batch_fast(texts, add_special_tokens=False)
    yield "tokenizers", [found.ids for found in slow], own
    yield "tiktoken", of_tiktoken(content).encode_ordinary_batch(texts, num_threads=WORKERS), own
    plain = Tokenizer.from_json(json.dumps(json.loads(content) | {"added_tokens": []}))
    yield "gigatoken", plain.encode_batch_list(texts), own
    heads = [text[:LLAMA_CHARS] for text in texts[::LLAMA_EVERY]]
    yield "llama.cpp", llama(heads), [encoder.encode(head) for head in heads]
