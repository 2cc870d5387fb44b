"""The text in a file, whatever its format: tables, token shards, archives, encodings of bytes and of text, undone."""

import base64
import bz2
import gzip
import html
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError, clause
from components.lineage.needles import Needles

MOST_BYTES = 200_000_000
"""Larger files that are no tables and no tokens are not read."""
BLOCK, OVERLAP = 1 << 20, 1 << 10
"""Characters that are searched at once, and how far a block reaches into the next."""
BLOCK_ROWS = 256
SHORT = 15
"""Characters that values of a table's column have on average, below which they are searched as one text too."""
TABLE = b"PAR1"
"""First bytes of a Parquet file."""
_BREAK = r"(?:(?:\\r|\\n|\s)+"
BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{32,}}{_BREAK}[A-Za-z0-9+/_-]{{32,}})*{_BREAK}[A-Za-z0-9+/_-]+=+)?")
"""A run in base64, also over several lines, whose breaks JSON may write as `\\n`."""
HEX, LONGEST_HASH = re.compile(r"[0-9a-fA-F-]+"), 64
NOISE = 200
"""Bytes from which on what stands in a text as base64 is read, whatever it is."""
MOST_LAYERS = 6
"""Archives, and encodings in text, inside each other that are opened."""
STREAMS: dict[bytes, Callable[[bytes], Any]] = {
    b"\x1f\x8b\x08": lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)),
    b"BZh": lambda data: bz2.BZ2File(io.BytesIO(data)),
    **dict.fromkeys((b"\xfd7zXZ\0", b"\x5d\0\0"), lambda data: lzma.LZMAFile(io.BytesIO(data))),  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": lambda data: pa.input_stream(pa.BufferReader(data), compression="zstd"),
    b"\x04\x22\x4d\x18": lambda data: pa.input_stream(pa.BufferReader(data), compression="lz4"),
} | {
    magic: lambda data: io.BytesIO(zlib.decompressobj().decompress(data, MOST_BYTES + 1))
    for magic in (b"x\x01", b"x\x9c", b"x\xda")
}
"""First bytes of compressed data, and how it is opened."""
SEALED = {
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"%PDF-": "PDF", b"age-encryption.org": "encrypted by age",
    b"-----BEGIN PGP MESSAGE": "encrypted by PGP", b"Salted__": "encrypted by OpenSSL",
}  # fmt: skip
"""First bytes of what is not opened."""
ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
CONTROL = bytes({*range(32)} - {9, 10, 12, 13})
OTHERS: tuple[str, ...] = (
    "cp1252",
    "cp1251",
    "koi8-r",
    "utf-16-le",
    "utf-16-be",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-kr",
)
"""Encodings that text without zeros may have which is not UTF-8."""
FAULTS = (OSError, EOFError, ValueError, LookupError, RuntimeError, zlib.error, lzma.LZMAError, tarfile.TarError,
          zipfile.BadZipFile, pa.ArrowException)  # fmt: skip
_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[nrtbf])")
_SOFT_BREAK, _QUOTED = re.compile(r"=\r?\n"), re.compile(r"=(?=[0-9A-F]{2})")
_INSIDE = re.compile(r"(?<=\w)(?:-[ \t]*\r?\n\s*|\*{1,3}|~~|`)(?=\w)")
"""Hyphens at ends of lines, and Markdown's marks, inside a word."""
_TAG = re.compile(r"<!--.*?-->|</?([A-Za-z][\w:-]*)(?:\s[^<>]*)?/?>", re.DOTALL)
_INLINE = re.compile(
    r"(a|abbr|b|bdi|bdo|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|small|span|strike|strong|su[bp]|tt|u|var|wbr|"
    r"w:(?!p$|br|cr|tab|tc$|tr$)\w+|text:(span|a))$",
    re.IGNORECASE,
)
"""Elements that may begin or end inside a word: of HTML, Word and OpenDocument."""


class Part(NamedTuple):
    """Piece of a file: where it stands in it, its text, and the id of its document; or why it was not opened."""

    where: str
    text: str
    id: str = ""
    unread: str = ""


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


def parts_of_bytes(data: bytes, name: str, room: list[int] | None = None, layers: int = 0) -> Iterator[Part]:
    """The text of a file's bytes, in whatever encoding, with that of each member of an archive; of jsonl line by line.

    Args:
        room: bytes that may still be unpacked. layers: in how many archives it was.

    Raises `UserError`: they are too many, or unpack to too many.
    """
    room = room or [MOST_BYTES]
    if len(data) > MOST_BYTES or room[0] < 0:
        raise UserError(f"larger than {MOST_BYTES / 1e6:.0f} MB")
    if layers > MOST_LAYERS:
        yield Part("", "", unread=f"packed in more than {MOST_LAYERS} layers")
        return
    if data[:4] == TABLE:
        yield from _rows(pa.BufferReader(data))
        return
    if kind := next((kind for magic, kind in SEALED.items() if data.startswith(magic)), ""):
        yield Part("", "", unread=f"{kind}, which is not opened")
    is_open = False
    try:
        for member, opener in _members(data):
            inner, why = _unpacked(opener, room)
            is_open |= bool(inner)
            parts = parts_of_bytes(inner, member or name.rpartition(".")[0], room, layers + 1) if inner else ()
            yield from (part._replace(where=f"{member} {part.where}".strip()) for part in parts)
            if why:
                yield Part(member, "", unread=f"it breaks off: {why}" if inner else why)
    except FAULTS as error:
        yield Part("", "", unread=clause(error))
    for text in _decoded(data, bool(layers)) if not is_open else ():
        if name.endswith(".jsonl"):
            yield from (Part(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line)
        else:
            yield Part("", text)


def _members(data: bytes) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and opener of each file of an archive, or of the one that is compressed; none of other bytes."""
    if stream := next((stream for magic, stream in STREAMS.items() if data.startswith(magic)), None):
        yield "", partial(stream, data)
    elif data[:4] == b"PK\3\4":
        archive = zipfile.ZipFile(io.BytesIO(data))
        yield from ((info.filename, partial(archive.open, info)) for info in archive.infolist() if not info.is_dir())
    elif data[257:262] == b"ustar":
        tar = tarfile.open(fileobj=io.BytesIO(data), mode="r:")  # noqa: SIM115
        yield from ((info.name, partial(tar.extractfile, info)) for info in tar if info.isfile())


def _unpacked(opener: Callable[[], Any], room: list[int]) -> tuple[bytes, str]:
    """The bytes of a member as far as they can be unpacked, and as there is `room`; and why not further."""
    blocks, why = list[bytes](), ""
    try:
        file = opener()
        while room[0] >= 0 and (block := file.read1(1 << 16)):
            blocks.append(block)
            room[0] -= len(block)
    except FAULTS as error:
        why = clause(error)
    return b"".join(blocks), why


def _decoded(data: bytes, is_packed: bool) -> Iterator[str]:
    """The bytes as text, in each encoding that they may have: by their mark, or by which of them are zero.

    Args:
        is_packed: they may be what no text became by base64, such as a hash; text has no control characters.
    """
    if encoding := next((encoding for mark, encoding in ENCODINGS.items() if data.startswith(mark)), ""):
        yield data.decode(encoding, "replace").replace("\ufffd", " ")
        return
    text = data.decode("utf-8", "replace")
    yield text.replace("\ufffd", " ").replace("\0", " ")
    if "\ufffd" in text:
        encodings = OTHERS if 0 not in data else OTHERS[:1]
        if is_packed and len(data.translate(None, CONTROL)) < len(data):
            encodings = ()
        yield from (data.replace(b"\0", b" ").decode(one, "replace").replace("\ufffd", " ") for one in encodings)
    zeros = data[::2].count(0), data[1::2].count(0)
    if max(zeros) > len(data) / 50 and min(zeros) < max(zeros) / 20:
        yield data.decode("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", "replace").replace("\ufffd", " ")
    if any(zeros):
        yield data.replace(b"\0", b"").decode("latin-1")  # UTF-16 and UTF-32 of Latin letters, amid whatever else


def _rows(path: Path | pa.BufferReader) -> Iterator[Part]:
    """The rows of a table: all strings of each."""
    table = pq.ParquetFile(path)
    columns = [one.name for one in table.schema_arrow if not pa.types.is_primitive(one.type)]
    number = 0
    for batch in table.iter_batches(batch_size=BLOCK_ROWS, columns=columns) if columns else ():
        rows = batch.to_pylist()
        for name in columns:
            values = [str(row[name]) for row in rows if row[name]]
            if sum(map(len, values)) < SHORT * len(values):  # a text may stand there word by word
                yield Part(f"rows {number + 1} to {number + len(rows)}", " ".join(values))
        for row in rows:
            number += 1
            text = "\n".join(value if isinstance(value, str) else str(value) for value in row.values() if value)
            whole = Part(str(row.get("location") or f"row {number}"), text, str(row.get("id") or ""))
            yield whole
            for data in (value for value in row.values() if isinstance(value, bytes)):
                yield from (whole._replace(text=one.text, unread=one.unread) for one in parts_of_bytes(data, ""))


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


def hits_in(
    parts: Iterable[Part], needles: Needles, named: Callable[[str], bool] | None = None, unread: list[str] | None = None
) -> list[NeedleHit]:
    """Parts that hold runs of words, as they stand or as a reader sees them; of parts with one name the one with most.

    Args:
        named: whether a text counts though it has none, with 0 words. unread: takes what was not opened, and why.
    """
    hits: dict[str, NeedleHit] = {}
    for some in _blocks((reading for part in parts for reading in _readings(part)), [] if unread is None else unread):
        for part in some if named else ():
            if named and part.where not in hits and named(part.text):
                hits[part.where] = NeedleHit(part.where, 0, True, part.id)
        words, unique = needles.within([part.text for part in some])
        for index in np.flatnonzero(words):
            part, num = some[index], int(words[index])
            before = hits.get(part.where, NeedleHit(part.where, 0, False, part.id))
            hits[part.where] = before._replace(words=max(before.words, num), own=before.own or bool(unique[index]))
    return list(hits.values())


def _blocks(parts: Iterable[Part], unread: list[str]) -> Iterator[list[Part]]:
    """Parts, some at a time, for hashing takes forty times their bytes."""
    some, size = list[Part](), 0
    for part in parts:
        if part.unread:
            unread.append(f"{part.where}: {part.unread}".removeprefix(": "))
            continue
        some.append(part)
        size += len(part.text)
        if size >= BLOCK:
            yield some
            some, size = [], 0
    if some:
        yield some


def _readings(part: Part, layers: int = 0) -> Iterator[Part]:
    """A part, block by block, as it stands and as a reader sees it; and what stands in it as base64 or hexadecimal."""
    if part.unread:
        yield part
    for start in range(0, len(part.text), BLOCK):
        block = part.text[start : start + BLOCK + OVERLAP]
        yield from (part._replace(text=text) for text in dict.fromkeys((_plain(block), _as_read(block))))
    room = [MOST_BYTES]
    for encoded in (match[0] for match in BASE64.finditer(part.text)):
        encoded = re.sub(r"\\[rn]|\s|=", "", encoded)
        if HEX.fullmatch(encoded):  # as base64 is not; a shorter one is a hash
            digits = encoded.replace("-", "") if len(encoded) > LONGEST_HASH else ""
            decoded = [bytes.fromhex(digits[: len(digits) // 2 * 2])]
        else:
            runs = dict.fromkeys((encoded, encoded.rpartition("/")[2]))  # an address may go before it
            packed = [run.replace("-", "+").replace("_", "/") for run in runs if len(run) % 4 != 1]
            decoded = [base64.b64decode(run + "=" * (-len(run) % 4)) for run in packed]
        for data in (data for data in decoded if not _is_noise(data)):
            for inner in parts_of_bytes(data, "", room, layers + 1):
                yield from _readings(Part(part.where, inner.text, part.id, inner.unread), layers + 1)


def _is_noise(data: bytes) -> bool:
    """Whether a few bytes that were read as base64 are no text and no archive, as of a name or a hash."""
    known = data.startswith((*STREAMS, *ENCODINGS, *SEALED, b"PK\3\4"))
    return len(data) < NOISE and not known and 0 not in data and len(data.translate(None, CONTROL)) < len(data)


def _plain(text: str) -> str:
    """A text without escapes of JSON and HTML."""
    if "\\" in text or "&" in text:
        escapes = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)) if match[1] or match[2] else " ", text)
        text = html.unescape(escapes)
    return text


def _as_read(text: str) -> str:
    """A text as a reader sees it: without tags, escapes of any kind, also repeated, and marks inside words."""
    for _ in range(3):
        before = text
        if "=" in text:  # quoted-printable
            text = _QUOTED.sub("%", _SOFT_BREAK.sub("", text))
        if "%" in text:
            text = unquote(text)
        text = _plain(text)
        if "<" in text:
            text = _TAG.sub(lambda tag: "" if not tag[1] or _INLINE.match(tag[1]) else " ", text)
        if text == before:
            break
    return _INSIDE.sub("", text)
