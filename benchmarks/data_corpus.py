"""The corpus of `make bench NAME=data`: documentation of the installed packages, and copies with seeded edits.

Docstrings (one document per module) and long descriptions of everything in the environment, read by the project's own
readers without importing anything; then copies of documents with edits at 11 rates, of single words and of one block,
until there are `MEGABYTES`. Built once per environment into .greenhouse/bench-data/, which git does not see.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path

from benchmarks import ROOT
from benchmarks.texts import document, documentation, edited, word_pool
from components.core.files import fingerprint, sha256_bytes
from components.corpus.corpus import CorpusWriter, Document, read_corpus, read_manifest

MEGABYTES = 210
RATES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4)
"""Shares of a document's words that an edit replaces."""
VARIANTS = [(kind, rate) for rate in RATES for kind in ("words", "block")]
CACHE = ROOT / ".greenhouse" / "bench-data"
SHARD_BYTES = 4_000_000
FEW_BYTES = 1_700_000
"""A shard of a part of the corpus, so that two workers have some each."""


@dataclass(frozen=True)
class Corpus:
    """A folder of shards, the same as jsonl files for the peers, and their size."""

    folder: Path
    jsonl: Path

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return read_manifest(self.folder).num_bytes

    @property
    def num_documents(self) -> int:
        """Documents, edited copies included."""
        return read_manifest(self.folder).num_documents


def copies(documents: Sequence[Document], num_bytes: int) -> Iterator[Document]:
    """Edited copies of seeded choices, `num_bytes` of them."""
    chance = random.Random(1)
    pool = word_pool(documents, chance)
    made = number = 0
    while made < num_bytes:
        original = documents[chance.randrange(len(documents))]
        kind, rate = VARIANTS[number % len(VARIANTS)]
        text = edited(original.text, kind, rate, chance, pool)
        yield document(f"{original.location}#copy-{number}", text, "copies")
        number, made = number + 1, made + len(text.encode())


def build(megabytes: float = MEGABYTES, max_documents: int | None = None) -> Corpus:
    """The corpus, from the cache if it is there. `max_documents` takes an even sample, for trials."""
    environment = fingerprint(sorted({f"{each.name}=={each.version}" for each in metadata.distributions()}))
    recipe = sha256_bytes(Path(__file__).read_bytes())[:8]
    folder = CACHE / f"corpus-{environment}-{recipe}-{megabytes:g}-{max_documents or 'all'}"
    made = Corpus(folder / "corpus", folder / "jsonl")
    if not (made.folder / "manifest.json").exists():
        real = documentation()
        if max_documents:
            real = random.Random(1).sample(real, min(max_documents, len(real)))
        everything = [*real, *copies(real, int(megabytes * 1e6) - sum(len(each.text.encode()) for each in real))]
        random.Random(2).shuffle(everything)
        write(everything, made)
    return made


def write(documents: Sequence[Document], made: Corpus, shard_bytes: int = SHARD_BYTES) -> None:
    """Write documents as one jsonl file per shard, and as a corpus."""
    writer = CorpusWriter(made.folder, shard_bytes)
    with writer:
        for each in documents:
            writer.add(each)
    made.jsonl.mkdir(parents=True, exist_ok=True)
    rest = iter(documents)
    for number, shard in enumerate(writer.manifest.shards):
        lines = (json.dumps({"id": each.id, "text": each.text}) for each in islice(rest, shard.num_documents))
        (made.jsonl / f"{number:05d}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def limited(documents: Iterator[Document], num_bytes: int) -> Iterator[Document]:
    """The first documents, up to `num_bytes` of text."""
    for each in documents:
        num_bytes -= len(each.text.encode())
        if num_bytes < 0:
            return
        yield each


def subset(corpus: Corpus, num_bytes: int) -> Corpus:
    """The first documents of a corpus, in shards for two workers; made once."""
    folder = corpus.folder.parent / f"first-{num_bytes}"
    part = Corpus(folder / "corpus", folder / "jsonl")
    if not (part.folder / "manifest.json").exists():
        write(list(limited(read_corpus(corpus.folder), num_bytes)), part, FEW_BYTES)
    return part
