"""Readers of one file of a known format, which give its records: text, html, json, jsonl, csv, tsv, parquet, WARC,
plain or compressed.

Every reader streams, and goes on after a bad record (datatrove, polars, pyarrow and datasets all lose the rest of the
file to one bad byte). A file that cannot be read on (a truncated archive) is one bad record at the place where it
broke.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from components.core.errors import UserError
from components.stages.ingest import tabular
from components.stages.ingest.records import RAW_BYTES, BadRecord, Record, record_of
from components.stages.ingest.text_splitting import SCENE, TARGET_BYTES, plain_text
from components.stages.ingest.web_pages import main_text, warc_records

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org")
FORMATS = (
    dict.fromkeys(TEXT_SUFFIXES, "text")
    | dict.fromkeys((".html", ".htm", ".xhtml"), "html")
    | dict.fromkeys((".jsonl", ".ndjson"), "jsonl")
    | dict.fromkeys((".csv", ".tsv"), "csv")
    | dict.fromkeys((".warc", ".wet"), "warc")
    | {".json": "json", ".parquet": "parquet"}
)
"""Format by the suffix of a file's name, after `.gz` or `.zst` is taken off."""

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

WHOLE_FILE_BYTES = 50_000_000
"""Longest HTML page or JSON value that is read: both need the whole of it in memory."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file.

    Attributes:
        text_field: field or column that holds the text.
        target_bytes: length of a passage of plain text.
        max_chars: a longer record is a bad one; bounds memory.
    """

    text_field: str = "text"
    target_bytes: int = TARGET_BYTES
    max_chars: int = 2_000_000


class NotText(Exception):  # noqa: N818 - no error: the file is left out, and listed with this reason
    """The file as a whole holds no text that ingest could take; the message says why."""


def format_of(name: str) -> str:
    """The format of a file by its name; "" if it is none that is read."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSION:
        suffixes.pop()
    return FORMATS.get(suffixes[-1], "") if suffixes else ""


def open_bytes(path: Path) -> BinaryIO:
    """The decompressed bytes of a file; a truncated archive raises OSError where it ends.

    Raises:
        UserError: it may not be read.
    """
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct its permissions or leave it out") from None
    stream = pa.input_stream(str(path), compression=COMPRESSION.get(path.suffix.lower()))
    return cast(BinaryIO, io.BufferedReader(stream, buffer_size=1 << 20))


def records_of(
    path: Path, format_name: str, options: Options, cut: Counter[str] | None = None
) -> Iterator[Record | BadRecord]:
    """Records of a file, and a bad record for each that cannot be read.

    Args:
        format_name: one of the values of `FORMATS`, or `play`: plain text cut at acts and scenes.
        cut: is filled with the bytes that were removed from plain text, by rule; whole when the last record was given.

    Raises:
        UserError: the file may not be read, or a table has no text column.
        NotText: the file as a whole holds no text.
    """
    counted = _Position(open_bytes(path), Counter() if cut is None else cut)
    try:
        yield from READERS[format_name](counted, options)
    except (OSError, EOFError, pa.ArrowException) as error:
        reason = f"the file cannot be read on after byte {counted.offset} ({_short(error)}); get a whole copy of it"
        yield BadRecord.of("unreadable", reason, b"", 0, counted.offset)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    finally:
        counted.close()


class _Position(io.RawIOBase):
    """A stream with its position, which tells where a file broke, and the bytes `cut` out of its text, by rule."""

    def __init__(self, file: BinaryIO, cut: Counter[str]) -> None:
        self.file, self.cut, self.offset = file, cut, 0

    def readline(self, size: int | None = -1) -> bytes:
        line = self.file.readline(-1 if size is None else size)
        self.offset += len(line)
        return line

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.offset += len(data)
        return data

    def peek(self, size: int) -> bytes:
        return cast(io.BufferedReader, self.file).peek(size)[:size]

    def close(self) -> None:
        self.file.close()
        super().close()


def _short(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def _text(file: Any, options: Options, heading: re.Pattern[bytes] | None = None) -> Iterator[Record | BadRecord]:
    if file.peek(2) not in UTF_16_MARKS:
        yield from plain_text(file, options.target_bytes, heading, file.cut)
        return
    # Text of a Windows program; its offsets are those of the same text in UTF-8.
    raw = file.read(WHOLE_FILE_BYTES + 1)
    if len(raw) > WHOLE_FILE_BYTES:
        yield BadRecord.of("too_long", f"UTF-16 text over {WHOLE_FILE_BYTES} bytes; convert the file to UTF-8", raw)
        return
    try:
        utf_8 = io.BytesIO(raw.decode("utf-16").encode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        yield BadRecord.of("invalid_utf16", f"not UTF-16 at byte {error.start}; convert the file to UTF-8", raw)
        return
    for record in plain_text(utf_8, options.target_bytes, heading, file.cut):
        if isinstance(record, Record):
            record = replace(record, transforms=("from_utf16", *record.transforms))
        yield record


def _html(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    """The main text of a page."""
    raw = file.read(WHOLE_FILE_BYTES + 1)
    if len(raw) > WHOLE_FILE_BYTES:
        yield BadRecord.of("too_long", f"an HTML page over {WHOLE_FILE_BYTES} bytes", raw)
        return
    if text := main_text(raw):
        yield Record(text, transforms=("html_to_text",))
    else:
        yield BadRecord.of("no_text", "no main text was found in the page", raw)


def _jsonl(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    """One JSON object per line; blank lines are none."""
    longest = 6 * options.max_chars + 65_536  # a character is at most six bytes of JSON, `\\u1234`
    number = offset = 0
    while raw := file.readline(longest):
        number += 1
        start, offset = offset, offset + len(raw)
        if len(raw) >= longest and not raw.endswith(b"\n"):
            yield BadRecord.of("too_long", f"a line over {longest} bytes", raw[:RAW_BYTES], number, start)
            while rest := file.readline(1 << 20):
                offset += len(rest)
                if rest.endswith(b"\n"):
                    break
        elif raw.strip():
            yield _from_json(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, number, start, options)


def _from_json(raw: bytes, line: int, offset: int, options: Options) -> Record | BadRecord:
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        place = f"byte 0x{raw[error.start]:02x} at offset {offset + error.start}"
        return BadRecord.of("invalid_utf8", f"{place} is not UTF-8", raw, line, offset)
    except (ValueError, RecursionError) as error:
        return BadRecord.of("invalid_json", f"not JSON: {_short(error)}", raw, line, offset)
    return record_of(value, options.text_field, str(line), line=line, offset=offset, evidence=lambda _: raw)


def _json(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    """A JSON file: an object with text, or a list of them. One without any (settings, metadata) is left out, listed."""
    raw = file.read(WHOLE_FILE_BYTES + 1)
    if len(raw) > WHOLE_FILE_BYTES:
        raise NotText(f"one JSON value over {WHOLE_FILE_BYTES} bytes; write it as jsonl")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        yield BadRecord.of("invalid_json", f"not JSON: {_short(error)}", raw)
        return
    values = value if isinstance(value, list) else [value]
    if not any(isinstance(item, dict) and options.text_field in item for item in values):
        raise NotText(f"JSON without a field {options.text_field!r}; see text_field")
    for number, item in enumerate(values, 1):
        part = str(number) if isinstance(value, list) else ""
        yield record_of(item, options.text_field, part, f"item {number}: ")


def _csv(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    yield from tabular.csv_rows(file, options.text_field, options.max_chars)


def _parquet(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    if not file.file.raw.seekable():
        raise NotText("compressed Parquet cannot be read at random; unpack it (Parquet compresses inside)")
    yield from tabular.parquet_rows(file.file.raw, options.text_field)


READERS: dict[str, Callable[[Any, Options], Iterator[Record | BadRecord]]] = {
    "text": _text,
    "play": partial(_text, heading=SCENE),
    "html": _html,
    "warc": lambda file, _: warc_records(file),
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}
