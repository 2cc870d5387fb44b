"""What is left of a text in a folder: a search through the bytes of all its files, whatever forgetting lists.

Runs of words are looked for in every file, in tables and compressed files, in what stands in them as base64, in token
shards decoded, and in every object of git; weights that were trained on it by their hashes. This module shares no code
with forgetting.
"""

import base64
import gzip
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers

from components.core.files import md5_file, read_json
from components.corpus.corpus import read_corpus

RUN, OWN_RUN = 6, 12
"""Words of a run: that a quotation has, and that a document of some length has alone."""
CORPORA = ("data/mix/train", "data/ingest/train", "data/ingest/heldout")
PACKED = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
UNTRAINED = "step-000000"
"""Checkpoint before the first step: random weights, which saw nothing."""
Runs = set[tuple[str, ...]]


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z0-9]+", text.lower())


def runs_of(text: str, size: int = RUN) -> Runs:
    """All runs of so many words of a text."""
    words = words_of(text)
    return set(zip(*(words[at:] for at in range(size)), strict=False))


# -- a document --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sought:
    """Runs of words that a document has alone; MD5 of the weights that may have been trained on it."""

    runs: Runs
    weights: frozenset[str]


def own_runs(root: Path, name: str) -> Runs:
    """Runs of the documents at a location in the model's mixture that no other document has."""
    rows = [(one.location.split("#")[0] == name, one.text) for part in CORPORA for one in read_corpus(root / part)]
    own, others = ({run for is_own, text in rows if is_own == wanted for run in runs_of(text, OWN_RUN)}
                   for wanted in (True, False))  # fmt: skip
    return own - others


def sought(root: Path, name: str) -> Sought:
    """What a clone holds of the documents at a location, drawn before they go."""
    kept = [path for path in root.glob("models/checkpoints/*/*/*.safetensors") if path.parent.name != UNTRAINED]
    weights = [*root.glob("models/*/*/model.safetensors"), *kept]
    return Sought(own_runs(root, name), frozenset(map(md5_file, weights)))


def left(folder: Path, wanted: Sought, ignored: tuple[str, ...] = ()) -> list[str]:
    """Files below a folder that hold some of it: `kind: path`; `ignored` are folders that are the owner's to change."""
    found = [f"{kind}: {name}" for name, (kind, _) in places_with(folder, wanted.runs, ignored).items()]
    return found + weights_left(folder, wanted)


def weights_left(folder: Path, wanted: Sought) -> list[str]:
    """Files below a folder that are weights which may have been trained on it."""
    there = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [f"weights: {path.relative_to(folder)}" for path in there if md5_file(path) in wanted.weights]


def kinds_of(found: list[str]) -> set[str]:
    """Those of text, tokens and weights that were found."""
    return {line.partition(":")[0] for line in found}


# -- runs of words -----------------------------------------------------------------------------------------------------


def places_with(folder: Path, wanted: Runs, ignored: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    """Path of each file below a folder, and `git:` and name of each object of git, that holds a run.

    Returns:
        path -> text or tokens, and the MD5.
    """
    decoded, found = tokens_below(folder), dict[str, tuple[str, str]]()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name = str(path.relative_to(folder))
        if not name.startswith((*ignored, ".git/")):
            digest = md5_file(path)
            for kind, readings in (("text", _readings(path)), ("tokens", decoded.get(digest, ()))):
                if any(_holds(data, wanted) for data in readings):
                    found[name] = kind, digest
    for name, data in _of_git(folder) if (folder / ".git").exists() else ():
        if _holds(data, wanted):
            found[f"git:{name}"] = "text", hashlib.md5(data).hexdigest()
    return found


def _readings(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they are when unpacked."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        for column in pq.read_table(pa.BufferReader(data)).columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield from (chunk.buffers()[2].to_pybytes() for chunk in column.chunks if chunk.buffers()[2])
    with suppress(OSError):  # what only begins like an archive
        if data[:2] == b"\x1f\x8b":
            yield gzip.decompress(data)


def _holds(data: bytes, wanted: Runs) -> bool:
    packed = (row.rstrip(b"=") for row in PACKED.findall(data))
    inner = (base64.b64decode(row + b"=" * (-len(row) % 4)) for row in packed if len(row) % 4 != 1)
    size = len(next(iter(wanted)))
    texts = (re.sub(r"\\[nrt]", " ", reading.decode("utf-8", "replace")) for reading in (data, *inner))
    return any(not wanted.isdisjoint(runs_of(text, size)) for text in texts)


def tokens_below(folder: Path) -> dict[str, list[bytes]]:
    """MD5 of each token shard that lies below a folder, or below an object of DVC that lists it -> its text."""
    listed = [{str(one.relative_to(top)): one for one in top.rglob("*") if one.is_file()}
              for top in folder.glob("data/tokenize")]  # fmt: skip
    for place in folder.rglob("*.dir"):
        rows = {row["relpath"]: row["md5"] for row in json.loads(place.read_bytes())}
        files = {name: place.parents[1] / md5[:2] / md5[2:] for name, md5 in rows.items()}
        listed.append({name: path for name, path in files.items() if path.exists()})
    texts = dict[str, list[bytes]]()
    for files in (one for one in listed if "tokenizer.json" in one):
        tokenizer = tokenizers.Tokenizer.from_file(str(files["tokenizer.json"]))
        for name, path in files.items():
            if name.endswith(".bin") and (manifest := files.get(f"{name.partition('/')[0]}/manifest.json")):
                ids = np.fromfile(path, np.dtype(read_json(manifest)["dtype"]).newbyteorder("<")).tolist()
                texts.setdefault(md5_file(path), []).append(tokenizer.decode(ids, skip_special_tokens=False).encode())
    return texts


def _of_git(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every object that git has, packed or not, reached or not."""

    def said(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True).stdout

    rows = said("rev-list", "--objects", "--all").splitlines()
    names = dict(row.split(b" ", 1) for row in rows if not row.endswith(b" ") and b" " in row)
    data, at = said("cat-file", "--batch-all-objects", "--batch"), 0
    while at < len(data):
        end = data.index(b"\n", at)
        oid, kind, size = data[at:end].split()
        at = end + 1 + int(size) + 1
        if kind != b"tree":
            yield names.get(oid, kind).decode(), data[end + 1 : at - 1]
