"""The text in a file, whatever its format: rows of tables, token shards decoded, and what stands in it as base64."""

import base64
import html
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.lineage.needles import Needles

MOST_BYTES = 200_000_000
"""Larger files that are no tables and no tokens are not read."""
BLOCK, OVERLAP = 1 << 20, 1 << 10
"""Characters that are searched at once, and how far a block reaches into the next."""
BLOCK_ROWS = 256
TABLE = b"PAR1"
"""First bytes of a Parquet file."""
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}
"""First two bytes of a compressed file."""
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{32,}={0,2}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtbf])")


class Part(NamedTuple):
    """Piece of a file: where it stands in it, its text, and the id of its document."""

    where: str
    text: str
    id: str = ""


class NeedleHit(NamedTuple):
    """Words of a text that a part of a file has; `own`: among them are some that no document which stays has."""

    where: str
    words: int
    own: bool
    id: str = ""


def parts_of(path: Path, name: str = "") -> Iterator[Part]:
    """The text of a file, piece by piece.

    Args:
        name: what the file is called where it is used; in DVC's cache it is called by its hash.

    Raises `UserError`: it is too large to be read.
    """
    with path.open("rb") as file:
        if file.peek(4)[:4] == TABLE:
            yield from _rows(path)
        else:
            yield from parts_of_bytes(file.read(MOST_BYTES + 1), name or path.name)


def parts_of_bytes(data: bytes, name: str) -> Iterator[Part]:
    """The text of a file's bytes: of jsonl line by line, of others block by block.

    Raises `UserError`: they are too many, or unpack to too many.
    """
    if kind := PACKED.get(data[:2]):
        with suppress(OSError):  # what only begins like an archive is read as it is
            data = pa.input_stream(pa.BufferReader(data), compression=kind).read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"larger than {MOST_BYTES / 1e6:.0f} MB")
    if data[:4] == TABLE:
        yield from _rows(pa.BufferReader(data))
        return
    text = data.decode("utf-8", "replace").replace("\ufffd", " ").replace("\0", " ")
    if name.endswith(".jsonl"):
        yield from (Part(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line)
    else:
        yield from (Part("", text[start : start + BLOCK + OVERLAP]) for start in range(0, len(text), BLOCK))


def _rows(path: Path | pa.BufferReader) -> Iterator[Part]:
    """The rows of a table: all strings of each."""
    table = pq.ParquetFile(path)
    columns = [one.name for one in table.schema_arrow if not pa.types.is_primitive(one.type)]
    number = 0
    for batch in table.iter_batches(batch_size=BLOCK_ROWS, columns=columns) if columns else ():
        for row in batch.to_pylist():
            number += 1
            text = "\n".join(value if isinstance(value, str) else str(value) for value in row.values() if value)
            yield Part(str(row.get("location") or f"row {number}"), text, str(row.get("id") or ""))


def parts_of_tokens(path: Path, dtype: str, tokenizer: Path, starts: Path, corpus: Path | None) -> Iterator[Part]:
    """The text of each document of a token shard.

    Args:
        starts: the file with the first token of each document, and the end. corpus: the shard of
            the texts, whose rows are the same documents; without it, or if it has another number of
            rows, they are numbered.
    """
    import tokenizers

    ids, codec = np.fromfile(path, np.dtype(dtype).newbyteorder("<")), tokenizers.Tokenizer.from_file(str(tokenizer))
    bounds = list(pairwise(np.load(starts).tolist()))
    rows = pq.read_table(corpus, columns=["location", "id"]).to_pylist() if corpus else []
    if len(rows) != len(bounds):
        rows = [{"location": f"document {number}", "id": ""} for number in range(1, len(bounds) + 1)]
    for row, (start, end) in zip(rows, bounds, strict=True):
        yield Part(row["location"], codec.decode(ids[start:end].tolist(), skip_special_tokens=False), row["id"])


def hits_in(parts: Iterable[Part], needles: Needles, named: Callable[[str], bool] | None = None) -> list[NeedleHit]:
    """Parts that hold runs of words, also in base64 inside them; of parts with one name the one that holds most.

    Args:
        named: whether a text counts though it has none, with 0 words.
    """
    hits: dict[str, NeedleHit] = {}
    for some in _blocks(parts):
        hits |= {part.where: NeedleHit(part.where, 0, True, part.id) for part in some if named and named(part.text)}
        readings = [(part, text) for part in some for text in _readings(part.text)]
        words, unique = needles.within([text for _, text in readings])
        for index in np.flatnonzero(words):
            part, num = readings[index][0], int(words[index])
            before = hits.get(part.where, NeedleHit(part.where, 0, False, part.id))
            hits[part.where] = before._replace(words=max(before.words, num), own=before.own or bool(unique[index]))
    return list(hits.values())


def _blocks(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts, some at a time, for hashing takes forty times their bytes."""
    some, size = list[Part](), 0
    for part in parts:
        some.append(part)
        size += len(part.text)
        if size >= BLOCK:
            yield some
            some, size = [], 0
    if some:
        yield some


def _readings(text: str) -> Iterator[str]:
    """A text as it reads without escapes of JSON and HTML, and what stands in it as base64."""
    yield _plain(text)
    for encoded in BASE64.findall(text):
        packed = encoded.rstrip("=").replace("-", "+").replace("_", "/")
        if len(packed) % 4 != 1:
            inner = base64.b64decode(packed + "=" * (-len(packed) % 4)).decode("utf-8", "replace")
            yield _plain(inner.replace("\ufffd", " "))


def _plain(text: str) -> str:
    if "\\" in text or "&" in text:
        text = html.unescape(_ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else " ", text))
    return text
