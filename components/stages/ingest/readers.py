"""Read one file of a known format into records: text, html, json, jsonl, csv, tsv, parquet, WARC, plain or compressed.

Every reader streams, and goes on after a bad record (datatrove, polars, pyarrow and datasets all lose the rest of the
file to one bad byte). A file that cannot be read on (a truncated archive) is one fault at the place where it broke.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.stages.ingest import tabular
from components.stages.ingest.records import RAW_BYTES, BadRecord, Record, encoded
from components.stages.ingest.text_splitting import SCENE, TARGET_BYTES, plain_text
from components.stages.ingest.web_pages import main_text, warc_records

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org")
FORMATS = dict.fromkeys(TEXT_SUFFIXES, "text") | {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".warc": "warc",
    ".wet": "warc",
}
"""Format by the suffix of a file's name, after `.gz` or `.zst` is taken off."""

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

NAME_CHARS = 480
"""Longest id, group or licence of a record that is taken as it is."""
WHOLE_FILE_BYTES = 50_000_000
"""Longest HTML page or JSON value that is read: both need the whole of it in memory."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file.

    Attributes:
        text_field: field or column that holds the text.
        target_bytes: length of a passage of plain text.
        max_chars: a longer record is a fault; bounds memory.
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
    """The records of a file, and a fault for each that cannot be read.

    Args:
        format_name: one of the values of `FORMATS`, or `play`: plain text cut at acts and scenes.
        cut: is filled with the bytes that were left out of plain text, by rule; whole when the last record was given.

    Raises:
        UserError: the file may not be read, or a table has no text column.
        NotText: the file as a whole is not for us.
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
    """A stream that knows how far it has been read, to say where a file broke, and what was `cut` out of its text."""

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


def _text(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    if file.peek(2) in UTF_16_MARKS:
        yield from _utf_16(file, options)
    else:
        yield from plain_text(file, options.target_bytes, cut=file.cut)


def _utf_16(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    """Text of a Windows program; its offsets are those of the same text in UTF-8."""
    raw = file.read(WHOLE_FILE_BYTES + 1)
    try:
        text = raw.decode("utf-16") if len(raw) <= WHOLE_FILE_BYTES else None
    except UnicodeDecodeError as error:
        yield BadRecord.of("invalid_utf16", f"not UTF-16 at byte {error.start}; convert the file to UTF-8", raw)
        return
    if text is None:
        yield BadRecord.of("too_long", f"UTF-16 text over {WHOLE_FILE_BYTES} bytes; convert the file to UTF-8", raw)
        return
    utf_8 = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    for found in plain_text(utf_8, options.target_bytes, cut=file.cut):
        if isinstance(found, Record):
            yield Record(found.text, found.part, found.line, found.offset, transforms=("from_utf16", *found.transforms))
        else:
            yield found


def _play(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    yield from plain_text(file, options.target_bytes, SCENE, file.cut)


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
    found = record_of(value, options.text_field, str(line))
    if isinstance(found, BadRecord):
        return BadRecord.of(found.rule, found.reason, raw, line, offset)
    return Record(found.text, found.part, line, offset, found.key, found.group, found.licence)


def record_of(value: Any, text_field: str, part: str) -> Record | BadRecord:
    """The record of a JSON object or table row. `id`, `group` and `license` (or `licence`) are taken if present."""
    if not isinstance(value, dict):
        return BadRecord.of("wrong_type", f"the record is {_type(value)}, not an object", b"")
    if text_field not in value:
        names = ", ".join(sorted(map(str, value))[:8])
        return BadRecord.of("missing_field", f"no field {text_field!r} (there are: {names}); see text_field", b"")
    text = value[text_field]
    if not isinstance(text, str):
        return BadRecord.of("wrong_type", f"field {text_field!r} is {_type(text)}, not text", b"")
    key, group, licence = (_word(value.get(name)) for name in ("id", "group", "license"))
    return Record(text, part, key=key, group=group, licence=licence or _word(value.get("licence")))


def _word(value: Any) -> str:
    """A text or a whole number as a name; anything else is none. A long one is cut, its hash keeping it unique."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    return value if len(value) <= NAME_CHARS else f"{value[:NAME_CHARS]}~{sha256_bytes(encoded(value))[:16]}"


def _type(value: Any) -> str:
    names = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else type(value).__name__)


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
        found = record_of(item, options.text_field, str(number) if isinstance(value, list) else "")
        if isinstance(found, BadRecord):
            shown = json.dumps(item).encode()
            yield BadRecord.of(found.rule, f"item {number}: {found.reason}", shown)
        else:
            yield found


def _csv(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    for row in tabular.csv_rows(file, options.text_field, options.max_chars):
        yield row if isinstance(row, BadRecord) else _from_row(row, options)


def _parquet(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    if not file.file.raw.seekable():
        raise NotText("compressed Parquet cannot be read at random; unpack it (Parquet compresses inside)")
    for row in tabular.parquet_rows(file.file.raw, options.text_field):
        yield row if isinstance(row, BadRecord) else _from_row(row, options)


def _from_row(row: tabular.Row, options: Options) -> Record | BadRecord:
    found = record_of(row.values, options.text_field, str(row.number))
    if isinstance(found, BadRecord):
        shown = json.dumps(row.values, default=repr).encode("utf-8", "replace")
        return BadRecord.of(found.rule, f"row {row.number}: {found.reason}", shown, row.line, row.offset)
    return Record(found.text, found.part, row.line, row.offset, found.key, found.group, found.licence)


def _warc(file: Any, options: Options) -> Iterator[Record | BadRecord]:
    yield from warc_records(file)


READERS: dict[str, Callable[[Any, Options], Iterator[Record | BadRecord]]] = {
    "text": _text,
    "play": _play,
    "html": _html,
    "warc": _warc,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}
