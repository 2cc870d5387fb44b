"""Encoding: our ids and those of `tokenizers`, and the time both take.

The tokenizer is trained by our own stage's code on the first 20 MB, with 32,768 tokens. `encode_batch_fast` uses all
cores by itself; ours uses as many threads.
"""

import os
import time
from pathlib import Path

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_runs import WORKERS, seconds, timed, times
from benchmarks.results import figure, goal
from components.corpus.corpus import read_corpus
from components.tokens.tokenizer import Encoder, reference, train_bpe

VOCAB_SIZE, TRAIN_BYTES = 32_768, 20_000_000


def tokenizer(corpus: Corpus) -> Path:
    """Path of the tokenizer in the cache, trained if it is not there."""
    path = corpus.folder.parent / f"tokenizer-{VOCAB_SIZE}.json"
    if not path.exists():
        folder, _ = subset(corpus, TRAIN_BYTES)
        path.write_text(train_bpe((each.text for each in read_corpus(folder)), VOCAB_SIZE).to_str(), "utf-8")
    return path


def ours(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """Seconds and tokens of our encoder on all texts; only encoding is timed."""
    encoder = Encoder(Path(tokenizer_json).read_text("utf-8"))
    texts = [each.text for each in read_corpus(Path(corpus))]
    started = time.perf_counter()
    tokens = sum(len(ids) for ids in encoder.encode_many(texts, WORKERS))
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def peer(work: Path, corpus: str, tokenizer_json: str) -> dict[str, float]:
    """Seconds and tokens of `tokenizers`, on as many threads."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(WORKERS)}
    slow = reference(Path(tokenizer_json).read_text("utf-8"))
    texts = [each.text for each in read_corpus(Path(corpus))]
    started = time.perf_counter()
    tokens = sum(len(found.ids) for found in slow.encode_batch_fast(texts, add_special_tokens=False))
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def different(corpus: Path, tokenizer_json: Path) -> int:
    """Number of documents whose ids differ."""
    content = tokenizer_json.read_text("utf-8")
    encoder, slow = Encoder(content), reference(content)
    texts = [each.text for each in read_corpus(corpus)]
    count = 0
    for at in range(0, len(texts), 500):
        some = texts[at : at + 500]
        found = slow.encode_batch_fast(some, add_special_tokens=False)
        fast = encoder.encode_many(some, WORKERS)
        count += sum(one.tolist() != other.ids for one, other in zip(fast, found, strict=True))
    return count


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times and their ratio; `identity` shows that the ids are the same."""
    path = tokenizer(corpus)
    fast = [timed("benchmarks.data_encode:ours", corpus.folder, path) for _ in range(runs)]
    slow = [timed("benchmarks.data_encode:peer", corpus.folder, path) for _ in range(2)]
    ratio = figure(seconds(slow))["median"] / figure(seconds(fast))["median"]
    results = {
        "megabytes": corpus.num_bytes / 1e6,
        "vocab_size": VOCAB_SIZE,
        "tokens": fast[0].result["tokens"],
        "ours": times(fast),
        "tokenizers": times(slow),
        "ratio": ratio,
    }
    return {"encode": results}, [
        goal("encode_vs_tokenizers", ratio, 8, "higher", says="encoding, times as fast as tokenizers, same ids")
    ]


def identity(corpus: Corpus) -> tuple[dict, list[dict]]:
    """Number of documents of the whole corpus whose ids differ from those of `tokenizers`."""
    return {"encode_identity": {"different": different(corpus.folder, tokenizer(corpus))}}, []
