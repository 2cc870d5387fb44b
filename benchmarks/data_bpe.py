"""Training a BPE: our stage's code (`tokenizers`) and `rustbpe`, on the same text, pattern, vocabulary and threads.

    python -m benchmarks.data_bpe NAME CORPUS RANKS     one contestant, in a process of its own: what `timed` starts

Both count pairs exactly, so they learn the same merges but for ties, which each breaks in its own way; from the first
tie on, ranks shift. So what is compared is the tokens both have, the first merge that differs, and how many tokens
either needs for text that neither was trained on.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data_corpus import Corpus, subset
from benchmarks.data_encode import TRAIN_BYTES, VOCAB_SIZE
from benchmarks.data_runs import WORKERS, Run, seconds, times
from benchmarks.processes import PeakMemory
from benchmarks.results import ROOT, figure
from components.corpus.corpus import read_corpus
from components.tokens.tokenizer import PATTERN, SPECIAL_TOKENS, byte_ranks, train_bpe

UNSEEN_BYTES = 5_000_000
"""Text after the training text, to count tokens on."""
Ranks = dict[bytes, int]
"""Bytes of each token and its rank: the 256 bytes, then merges in the order learned."""


def ours(texts: list[str], vocab_size: int) -> Callable[[], Ranks]:
    """Train as the tokenize stage does; the ranks are taken out afterwards, which is not timed."""
    content = train_bpe(texts, vocab_size, WORKERS).to_str()
    return lambda: byte_ranks(content)


def rustbpe(texts: list[str], vocab_size: int) -> Callable[[], Ranks]:
    """Train by `rustbpe`, which knows no special tokens."""
    from rustbpe import Tokenizer

    trained = Tokenizer()
    trained.train_from_iterator(iter(texts), vocab_size - len(SPECIAL_TOKENS), pattern=PATTERN)
    return lambda: {bytes(token): rank for token, rank in trained.get_mergeable_ranks()}


CONTESTANTS = {"ours": ours, "rustbpe": rustbpe}


def merges(ranks: Ranks) -> list[bytes]:
    """The tokens learned, in order: those of more than one byte."""
    return [token for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1]


def compare(one: Ranks, other: Ranks) -> dict[str, float | None]:
    """Sizes, the share of tokens in both (of the larger), and the first merge that differs (from 1; None if none)."""
    first, second = merges(one), merges(other)
    differing = (at for at, pair in enumerate(zip(first, second, strict=False), 1) if pair[0] != pair[1])
    shorter = None if len(first) == len(second) else min(len(first), len(second)) + 1
    return {
        "merges": len(first),
        "merges_other": len(second),
        "tokens_in_both": len(one.keys() & other.keys()) / max(len(one), len(other)),
        "first_different_merge": next(differing, shorter),
    }


def num_tokens(ranks: Ranks, texts: list[str]) -> int:
    """Tokens of the texts, by `tiktoken` with these merges."""
    from tiktoken import Encoding

    dense = {token: at for at, token in enumerate(sorted(ranks, key=ranks.__getitem__))}
    encoding = Encoding("compared", pat_str=PATTERN, mergeable_ranks=dense, special_tokens={})
    return sum(map(len, encoding.encode_ordinary_batch(texts, num_threads=WORKERS)))


def timed(name: str, corpus: Path, ranks: Path) -> Run:
    """Run a contestant in a process of its own; it leaves its tokens at `ranks`.

    Raises:
        RuntimeError: it failed.
    """
    threads = {"RAYON_NUM_THREADS": str(WORKERS), "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, "-m", "benchmarks.data_bpe", name, str(corpus), str(ranks)]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | threads, stdout=subprocess.PIPE, text=True) as process:
        memory = PeakMemory(process.pid)
        output = process.stdout.read() if process.stdout else ""
    memory.join()
    if process.returncode:
        raise RuntimeError(f"{name} failed; see above")
    return Run(float(output), memory.peak_bytes / 1e9, None)


def measure(corpus: Corpus, runs: int = 3) -> tuple[dict, list[dict]]:
    """Times of both in turn, their ratio, and how far vocabularies, merges and numbers of tokens agree."""
    folder, _ = subset(corpus, TRAIN_BYTES)
    found: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as work:
        paths = {name: Path(work) / f"{name}.json" for name in CONTESTANTS}
        for _ in range(runs):
            for name, path in paths.items():
                found[name].append(timed(name, folder, path))
        ranks = {name: load(path) for name, path in paths.items()}
    texts = list(unseen(corpus))
    results = {
        "megabytes": TRAIN_BYTES / 1e6,
        "vocab_size": VOCAB_SIZE,
        **{name: times(each) for name, each in found.items()},
        "ratio": figure(seconds(found["rustbpe"]))["median"] / figure(seconds(found["ours"]))["median"],
        "agreement": compare(ranks["ours"], ranks["rustbpe"]),
        "tokens_of_unseen_text": {name: num_tokens(each, texts) for name, each in ranks.items()},
    }
    return {"bpe": results}, []


def unseen(corpus: Corpus) -> Iterator[str]:
    """Texts that follow the training text (`data_corpus.limited` ends it before the document that is too much)."""
    size = 0
    for document in read_corpus(corpus.folder):
        size += len(document.text.encode())
        if size > TRAIN_BYTES + UNSEEN_BYTES:
            return
        if size > TRAIN_BYTES:
            yield document.text


def save(ranks: Ranks, path: Path) -> None:
    """Write ranks."""
    path.write_text(json.dumps({token.hex(): rank for token, rank in ranks.items()}))


def load(path: Path) -> Ranks:
    """The reverse of `save`."""
    return {bytes.fromhex(token): rank for token, rank in json.loads(path.read_text()).items()}


def main(name: str, corpus: str, path: str) -> None:
    """Train, print the seconds of training alone, leave the ranks at `path`."""
    texts = [document.text for document in read_corpus(Path(corpus))]
    started = time.perf_counter()
    taken = CONTESTANTS[name](texts, VOCAB_SIZE)
    took = time.perf_counter() - started
    save(taken(), Path(path))
    print(took)


if __name__ == "__main__":
    main(*sys.argv[1:])
