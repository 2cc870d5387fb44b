"""Encoding: from texts in memory to shards of tokens on disk, ours and `tokenizers`.

Each run is a process of its own and cold: the import of the encoder, its start from tokenizer.json, the ids of every
text, and two bytes per id on disk are timed; reading the texts is not. The tokenizer is trained by our own stage's code
on the first 20 MB, with 32,768 tokens. Both use two threads.
"""

import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_runs import WORKERS, Run, timed, times
from benchmarks.results import goal
from components.corpus.corpus import read_corpus, read_manifest, read_shard
from components.tokens.tokenizer import Encoder, reference, train_bpe

VOCAB_SIZE, TRAIN_BYTES = 32_768, 20_000_000
RUNS = 3


def tokenizer(corpus: Corpus) -> Path:
    """Path of the tokenizer in the cache, trained if it is not there."""
    path = corpus.folder.parent / f"tokenizer-{VOCAB_SIZE}.json"
    if not path.exists():
        texts = (each.text for each in read_corpus(subset(corpus, TRAIN_BYTES).folder))
        size = VOCAB_SIZE if corpus.num_bytes >= TRAIN_BYTES else VOCAB_SIZE // 8  # a trial's text has fewer pairs
        path.write_text(train_bpe(texts, size).to_str(), "utf-8")
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
    with TokenWriter(work / "tokens", encoder.vocab_size, "", ["bench"]) as writer:
        for texts in shards:
            num_bytes = np.array([len(text.encode()) for text in texts])
            writer.add_documents(list(encoder.encode_many(texts, WORKERS)), np.zeros(len(texts), np.int64), num_bytes)
    written = writer.manifest
    return {"seconds": time.perf_counter() - started, "tokens": written.num_tokens - written.num_documents}


def tokenizers(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """The same of `tokenizers`: a file of ids for each shard."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(WORKERS)}
    shards, content = texts_of(Path(corpus)), Path(tokenizer_json).read_text("utf-8")
    started = time.perf_counter()
    slow, tokens = reference(content), 0
    for number, texts in enumerate(shards):
        rows = [found.ids for found in slow.encode_batch_fast(texts, add_special_tokens=False)]
        ids = np.concatenate([np.array(row, dtype="<u2") for row in rows])
        ids.tofile(work / f"{number}.bin")
        tokens += len(ids)
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def measure(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Times in turn, and their ratio; tests show that the ids are the same."""
    path = tokenizer(corpus)
    found: dict[str, list[Run]] = {"ours": [], "tokenizers": []}
    for _ in range(RUNS):
        for name, runs in found.items():
            runs.append(timed(f"benchmarks.data_encode:{name}", corpus.folder, path))
    own, peer = (median(run.seconds for run in runs) for runs in found.values())
    results = {
        "megabytes": corpus.num_bytes / 1e6,
        "vocab_size": VOCAB_SIZE,
        "tokens": {name: runs[0].result["tokens"] for name, runs in found.items()},
        **{name: times(runs) for name, runs in found.items()},
    }
    says = "from texts to token shards, cold, times as fast as tokenizers"
    return {"encode": results}, [goal("encode_vs_tokenizers", peer / own, 40, "higher", says=says)]
