"""What is left of a document in a folder: a search through the bytes of all its files, whatever forgetting lists.

Its text is sought as passages that no other document has, in Parquet and compressed files too; its tokens as the ids of
those passages; the weights that were trained on it by their hashes. What is sought is drawn before the removal, so that
the same search can show first that it finds each of the three. Runs of words (`places_with`) are looked for in the same
readings and in what stands in them as base64, in token shards decoded, and in every object of git.
"""

import base64
import gzip
import hashlib
import json
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers

from components.core.files import md5_file, read_json
from components.corpus.corpus import read_corpus

NUM_PASSAGES, LEAST_CHARACTERS = 12, 60
UNTRAINED = "step-000000"
"""Checkpoint before the first step: random weights, which saw nothing."""
EDGE = 3
"""Ids left away at either end of a passage: there they depend on what stands beside it."""


@dataclass(frozen=True)
class Sought:
    """Passages in UTF-8, the same as token shards store them, and size and md5 of weights."""

    passages: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    weights: frozenset[tuple[int, str]]


def passages_of(root: Path, name: str) -> list[str]:
    """Long lines of the documents at a location that no other document of the model's mixture has."""
    corpus = list(read_corpus(root / "data/mix/train"))
    own = "\n".join(one.text for one in corpus if one.location.split("#")[0] == name)
    rest = "\n".join(one.text for one in corpus if one.location.split("#")[0] != name)
    return [line for line in own.splitlines() if len(line) >= LEAST_CHARACTERS and line not in rest]


def sought(root: Path, name: str) -> Sought:
    """What a clone holds of the documents at a location, as the model's mixture, tokens and weights have it."""
    lines = passages_of(root, name)
    assert len(lines) >= NUM_PASSAGES, f"{name} has {len(lines)} lines of its own that are long enough"
    chosen = lines[:: len(lines) // NUM_PASSAGES][:NUM_PASSAGES]
    tokenizer = tokenizers.Tokenizer.from_file(str(root / "data/tokenize/tokenizer.json"))
    stored = np.dtype(read_json(root / "data/tokenize/train/manifest.json")["dtype"]).newbyteorder("<")
    ids = [tokenizer.encode(line, add_special_tokens=False).ids[EDGE:-EDGE] for line in chosen]
    kept = [path for path in root.glob("models/checkpoints/*/*/*.safetensors") if path.parent.name != UNTRAINED]
    weights = [*root.glob("models/*/*/model.safetensors"), *kept]
    return Sought(
        tuple(line.encode() for line in chosen),
        tuple(np.array(row, stored).tobytes() for row in ids),
        frozenset((path.stat().st_size, md5_file(path)) for path in weights),
    )


def left(folder: Path, wanted: Sought, ignored: tuple[str, ...] = ()) -> list[str]:
    """Files below a folder that hold some of it: `kind: path`.

    Args:
        ignored: folders, relative to it, that are the owner's to change.
    """
    sizes = {size for size, _ in wanted.weights}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name = str(path.relative_to(folder))
        if name.startswith(ignored):
            continue
        data = b"\0".join(_readings(path))
        kinds = ["text"] * any(passage in data for passage in wanted.passages)
        kinds += ["tokens"] * any(ids in data for ids in wanted.tokens)
        size = path.stat().st_size
        kinds += ["weights"] * (size in sizes and (size, md5_file(path)) in wanted.weights)
        found += [f"{kind}: {name}" for kind in kinds]
    return found


def _readings(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they are when unpacked."""
    data = path.read_bytes()
    yield data
    if data[:4] == b"PAR1":
        for column in pq.read_table(pa.BufferReader(data)).columns:
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield from (chunk.buffers()[2].to_pybytes() for chunk in column.chunks if chunk.buffers()[2])
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data[:1] == b"\x78":  # objects of git
        try:
            yield zlib.decompress(data)
        except zlib.error:
            return


# -- runs of words -----------------------------------------------------------------------------------------------------

RUN = 6
PACKED = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z0-9]+", text.lower())


def places_with(folder: Path, wanted: set[tuple[str, ...]], ignored: tuple[str, ...] = ()) -> dict[str, str]:
    """Path of each file below a folder, and `git:` and name of each object of git, that holds a run -> its MD5."""
    decoded, found = tokens_below(folder), dict[str, str]()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name = str(path.relative_to(folder))
        if not name.startswith((*ignored, ".git/")):
            digest = md5_file(path)
            if any(_holds(data, wanted) for data in (*_readings(path), *decoded.get(digest, ()))):
                found[name] = digest
    for name, data in _of_git(folder) if (folder / ".git").exists() else ():
        if _holds(data, wanted):
            found[f"git:{name}"] = hashlib.md5(data).hexdigest()
    return found


def _holds(data: bytes, wanted: set[tuple[str, ...]]) -> bool:
    packed = (row.rstrip(b"=") for row in PACKED.findall(data))
    inner = (base64.b64decode(row + b"=" * (-len(row) % 4)) for row in packed if len(row) % 4 != 1)
    for reading in (data, *inner):
        words = words_of(re.sub(r"\\[nrt]", " ", reading.decode("utf-8", "replace")))
        if not wanted.isdisjoint(zip(*(words[at:] for at in range(RUN)), strict=False)):
            return True
    return False


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
    listed = subprocess.run(["git", "rev-list", "--objects", "--all"], cwd=folder, capture_output=True, check=True)
    names = dict(row.split(b" ", 1) for row in listed.stdout.splitlines() if not row.endswith(b" ") and b" " in row)
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    data, at = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout, 0
    while at < len(data):
        end = data.index(b"\n", at)
        oid, kind, size = data[at:end].split()
        at = end + 1 + int(size) + 1
        if kind != b"tree":
            yield names.get(oid, kind).decode(), data[end + 1 : at - 1]


def md5s(folder: Path, names: set[str]) -> set[str]:
    """MD5 of those of the names that are files below a folder: an object of DVC with it is the same place."""
    return {md5_file(folder / name) for name in names if (folder / name).is_file()}


def listed_md5s(cache: Path, names: set[str]) -> set[str]:
    """MD5 of files of folders in DVC's cache that end one of these names, as a file of a state."""
    rows = [row for place in cache.rglob("*.dir") for row in json.loads(place.read_bytes())]
    return {row["md5"] for row in rows if any(name.endswith(f"/{row['relpath']}") for name in names)}


def kinds_of(found: list[str]) -> set[str]:
    """Those of text, tokens and weights that were found."""
    return {line.partition(":")[0] for line in found}
