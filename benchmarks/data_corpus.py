"""The corpus of `make bench NAME=data`: documentation of the installed packages, and edited copies of known similarity.

Docstrings (one document per module) and long descriptions of everything in the environment, read by the project's own
readers without importing anything; then copies of documents with seeded edits at 11 rates, of single words and of one
block, until there are `MEGABYTES`. The similarity of each copy with its original is computed from the texts by
`data_oracle`. Built once per environment into .greenhouse/bench-data/, which git does not see.

    python -m benchmarks.data_corpus        build it now
"""

import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path

from benchmarks.data_oracle import jaccard
from benchmarks.results import ROOT
from components.core.files import fingerprint, sha256_bytes
from components.corpus.corpus import CorpusWriter, Document, read_corpus, read_manifest
from components.stages.ingest.docstrings import module_name, module_text
from components.stages.ingest.pinned_packages import description

MEGABYTES = 210
FEWEST_CHARS = 200
RATES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4)
"""Shares of a document's words that an edit replaces."""
KINDS = ("words", "block")
CACHE = ROOT / ".greenhouse" / "bench-data"


@dataclass(frozen=True)
class Planted:
    """An edited copy: its id, its original's, how it was made, and their word-5-gram Jaccard similarity."""

    copy: str
    original: str
    kind: str
    rate: float
    jaccard: float


@dataclass(frozen=True)
class Corpus:
    """The benchmark's corpus: a folder of shards, the same as jsonl files, and the record of its edited copies."""

    folder: Path
    jsonl: Path
    planted: list[Planted]
    num_documents: int
    num_bytes: int
    documentation_bytes: int


def document(location: str, text: str, source: str) -> Document:
    """A document of the benchmark; only its text and id matter."""
    digest = sha256_bytes(text.encode())
    name = sha256_bytes(f"{source}\0{location}".encode())[:16]
    return Document(name, text, source, "1", location, location, "NOASSERTION", "benchmark", "", digest)


# -- documentation of everything installed -----------------------------------------------------------------------------


def documentation(workers: int = 2) -> list[Document]:
    """Documents of every module and long description with enough text, by location; equal texts once."""
    found = sorted(metadata.distributions(), key=lambda each: (each.name.lower(), each.version))
    names = [each.name for each in found if each.files]
    with ProcessPoolExecutor(workers) as pool:
        texts = [entry for entries in pool.map(_of_distribution, names, chunksize=4) for entry in entries]
    unique = {text: location for location, text in sorted(texts, reverse=True)}
    return [document(location, text, "packages") for text, location in sorted(unique.items(), key=lambda item: item[1])]


def _of_distribution(name: str) -> list[tuple[str, str]]:
    """(location, text) of one distribution's documentation."""
    found = metadata.distribution(name)
    entries = []
    for file in sorted({str(each) for each in found.files or []}):
        if file.startswith("..") or not file.endswith((".py", ".dist-info/METADATA")):
            continue
        text = _text_of(Path(str(found.locate_file(file))), file)
        if len(text) >= FEWEST_CHARS:
            entries.append((file, text))
    return entries


def _text_of(path: Path, file: str) -> str:
    try:
        data = path.read_bytes()
        text = description(data) if file.endswith("METADATA") else module_text(data, module_name(file))
        return text if text.encode() and "\0" not in text else ""
    except (OSError, SyntaxError, ValueError, RecursionError, LookupError):
        return ""  # a template, Python 2, a test of broken source


# -- edits -------------------------------------------------------------------------------------------------------------


def edited(text: str, kind: str, rate: float, chance: random.Random, words: Sequence[str]) -> str:
    """`text` with this share of its words replaced by words of `words`: single ones, or one block."""
    pieces = re.split(r"(\s+)", text)
    places = [at for at, piece in enumerate(pieces) if piece and not piece.isspace()]
    count = round(rate * len(places))
    if kind == "words":
        chosen = chance.sample(places, count)
    else:
        start = chance.randrange(len(places) - count + 1)
        chosen = places[start : start + count]
    for at in chosen:
        pieces[at] = chance.choice(words)
    return "".join(pieces)


def word_pool(documents: Sequence[Document], chance: random.Random) -> list[str]:
    """Words to edit with, as frequent as in the documents."""
    return [word for each in chance.sample(list(documents), min(300, len(documents))) for word in each.text.split()]


def copies(documents: Sequence[Document], seed: int, num_bytes: int) -> Iterator[tuple[Document, str, str, float]]:
    """Edited copies of seeded choices, `num_bytes` of them: (copy, id of the original, kind, rate)."""
    chance = random.Random(seed)
    pool = word_pool(documents, chance)
    variants = [(kind, rate) for rate in RATES for kind in KINDS]
    made = number = 0
    while made < num_bytes:
        original = documents[chance.randrange(len(documents))]
        kind, rate = variants[number % len(variants)]
        text = edited(original.text, kind, rate, chance, pool)
        yield document(f"{original.location}#copy-{seed}-{number}", text, "copies"), original.id, kind, rate
        number, made = number + 1, made + len(text.encode())


def reseeded(documents: Sequence[Document], times: int) -> Iterator[Document]:
    """The documents, and `times - 1` differently seeded edits of all of them: for the scaling series."""
    yield from documents
    variants = [(kind, rate) for rate in RATES for kind in KINDS]
    for seed in range(1, times):
        chance = random.Random(seed)
        pool = word_pool(documents, chance)
        for number, original in enumerate(documents):
            kind, rate = variants[chance.randrange(len(variants))]
            text = edited(original.text, kind, rate, chance, pool)
            yield document(f"{original.location}#edit-{seed}-{number}", text, original.source)


# -- the cache ---------------------------------------------------------------------------------------------------------


def environment() -> str:
    """Hash of the names and versions of all installed packages."""
    return fingerprint(sorted({f"{each.name}=={each.version}" for each in metadata.distributions()}))


def build(megabytes: float = MEGABYTES, max_documents: int | None = None) -> Corpus:
    """The corpus, from the cache if it is there. `max_documents` takes an even sample, for trials."""
    recipe = sha256_bytes(Path(__file__).read_bytes())[:8]
    folder = CACHE / f"corpus-{environment()}-{recipe}-{megabytes:g}-{max_documents or 'all'}"
    if not (folder / "copies.json").exists():
        _build(folder, megabytes, max_documents)
    record = json.loads((folder / "copies.json").read_text("utf-8"))
    manifest = read_manifest(folder / "corpus")
    planted = [Planted(**row) for row in record["planted"]]
    sizes = manifest.num_documents, manifest.num_bytes, record["documentation_bytes"]
    return Corpus(folder / "corpus", folder / "jsonl", planted, *sizes)


def _build(folder: Path, megabytes: float, max_documents: int | None) -> None:
    real = documentation()
    if max_documents:
        real = random.Random(1).sample(real, min(max_documents, len(real)))
    real_bytes = sum(len(each.text.encode()) for each in real)
    made = list(copies(real, 1, int(megabytes * 1e6) - real_bytes))
    texts = {each.id: each.text for each in real}
    planted = [
        Planted(copy.id, original, kind, rate, jaccard(texts[original], copy.text))
        for copy, original, kind, rate in made
    ]
    everything = [*real, *(copy for copy, *_ in made)]
    random.Random(2).shuffle(everything)
    write(everything, folder / "corpus", folder / "jsonl")
    rows = [vars(each) for each in planted]
    record = {"planted": rows, "documentation_bytes": real_bytes}
    (folder / "copies.json").write_text(json.dumps(record), "utf-8")


def write(documents: Sequence[Document], corpus: Path, jsonl: Path | None = None, shard_bytes: int = 4_000_000) -> Path:
    """Write documents as a corpus of shards, and as one jsonl file per shard for the peers."""
    with CorpusWriter(corpus, shard_bytes) as writer:
        for each in documents:
            writer.add(each)
    if jsonl is not None:
        jsonl.mkdir(parents=True, exist_ok=True)
        at = 0
        for number, shard in enumerate(writer.manifest.shards):
            lines = [
                json.dumps({"id": each.id, "text": each.text}) for each in documents[at : at + shard.num_documents]
            ]
            (jsonl / f"{number:05d}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
            at += shard.num_documents
    return corpus


def limited(documents: Iterator[Document], num_bytes: int) -> Iterator[Document]:
    """The first documents, up to `num_bytes` of text."""
    for each in documents:
        num_bytes -= len(each.text.encode())
        if num_bytes < 0:
            return
        yield each


def subset(corpus: Corpus, num_bytes: int, before: Sequence[Document] = (), name: str = "first") -> tuple[Path, Path]:
    """Folders of a corpus and of jsonl files with `before` and the first documents, in shards for two workers."""
    folder = corpus.folder.parent / f"{name}-{num_bytes}"
    if not (folder / "corpus/manifest.json").exists():
        taken = list(limited(chain(before, read_corpus(corpus.folder)), num_bytes))
        write(taken, folder / "corpus", folder / "jsonl", shard_bytes=1_700_000)
    return folder / "corpus", folder / "jsonl"


if __name__ == "__main__":
    made = build(float(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES)
    print(f"{made.folder}: {made.num_documents} documents, {made.num_bytes / 1e6:.1f} MB, of which")
    print(f"{made.documentation_bytes / 1e6:.1f} MB as installed, {len(made.planted)} edited copies")
