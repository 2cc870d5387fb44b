"""Forms in which files hold a text so that its bytes are not in them: encoded, packed, or with what no reader sees."""

import base64
import bz2
import gzip
import io
import json
import lzma
import quopri
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

FILLER = " ".join(str(number**9) for number in range(40))
Form = Callable[[str], bytes]


def zipped(name: str, data: bytes) -> bytes:
    """An archive with one file."""
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def locked(text: str) -> bytes:
    """A zip archive that says it is encrypted."""
    data = bytearray(zipped("note.txt", text.encode()))
    data[6] |= 1
    data[data.rindex(b"PK\1\2") + 8] |= 1
    return bytes(data)


def tarred(name: str, data: bytes) -> bytes:
    """A tar archive with one file, packed as xz."""
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:xz") as archive:
        (info := tarfile.TarInfo(name)).size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def table(values: list[bytes] | list[str]) -> bytes:
    """A Parquet file of one column."""
    pq.write_table(pa.table({"value": values}), file := io.BytesIO())
    return file.getvalue()


def between(text: str, mark: str) -> str:
    """The text with a mark inside of each word."""
    return " ".join(f"{word[:1]}{mark}{word[1:]}" for word in text.split(" "))


def packed(data: bytes) -> bytes:
    """A JSON file with the data in base64."""
    return json.dumps({"content": base64.b64encode(data).decode()}).encode()


FORMS: dict[str, Form] = {
    "utf-16.txt": lambda text: text.encode("utf-16"), "utf-16-be.txt": lambda text: text.encode("utf-16-be"),
    "utf-16-inside.bin": lambda text: b"\xfe\x07\0\x91" * 9 + f"  {text}  ".encode("utf-16-le") + b"\x93" * 400,
    "utf-32.txt": lambda text: text.encode("utf-32"), "note.gz": lambda text: gzip.compress(text.encode()),
    "note.bz2": lambda text: bz2.compress(text.encode()), "note.xz": lambda text: lzma.compress(text.encode()),
    "note.zst": lambda text: pa.compress(text.encode(), "zstd", asbytes=True),
    "broken.gz": lambda text: gzip.compress(f"{text} {text[::-1]}\n".encode() * 9000)[:-40],
    "note.zip": lambda text: zipped("folder/note.txt", text.encode()),
    "zip.tar.xz": lambda text: tarred("inner.zip", zipped("note.txt", gzip.compress(text.encode()))),
    "utf-16.zip": lambda text: zipped("note.txt", text.encode("utf-16")),
    "note.docx": lambda text: zipped("word/document.xml", between(text, "</w:t></w:r><w:r><w:t>").encode()),
    "base64.json": lambda text: packed(text.encode()), "twice.json": lambda text: packed(packed(text.encode())),
    "gzip.json": lambda text: packed(gzip.compress(text.encode())),
    "zlib.json": lambda text: packed(zlib.compress(text.encode())),
    "mail.eml": lambda text: b"MIME-Version: 1\n\n" + base64.encodebytes(gzip.compress(f"{text} {FILLER}".encode())),
    "hex.sql": lambda text: f"INSERT INTO t VALUES (x'{text.encode().hex()}');".encode(),
    "address.txt": lambda text: f"https://example.org/?q={quote(text)}".encode(),
    "twice-escaped.txt": lambda text: quote(quote(text)).encode(),
    "quoted-printable.eml": lambda text: quopri.encodestring(between(text, "\u00ad").encode()),
    "tags.html": lambda text: f"<p>{text.replace(' ', '</p><p>')}</p>".encode(),
    "tags-inside.html": lambda text: between(text, '</i><b class="x">').encode(),
    "entities.html": lambda text: between(text, "&amp;shy;").encode(),
    "soft-hyphens.txt": lambda text: between(text, "\u00ad").encode(),
    "zero-width.txt": lambda text: between(text, "\u200b\ufeff").encode(),
    "marks.md": lambda text: between(text, "**").encode(),
    "escapes.json": lambda text: json.dumps(json.dumps(between(text, "\u00ad"))).encode(),
    "in-an-address.txt": lambda text: b"https://example.org/data/" + base64.urlsafe_b64encode(text.encode()),
    "hyphens.txt": lambda text: between(text, "-\n").encode(),
    "blobs.parquet": lambda text: table([b"", gzip.compress(text.encode())]),
    "words.parquet": lambda text: table(text.split(" ")),
    "encrypted.zip": locked, "note.7z": lambda text: b"7z\xbc\xaf\x27\x1c" + lzma.compress(text.encode()),
}  # fmt: skip
"""Name of a file -> its bytes, of a text; of the last two the search can only say that it does not open them."""
SEALED = ("encrypted.zip", "note.7z")
