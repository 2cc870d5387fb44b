"""Readers of one file of a known format, which give its records: text, html, json, jsonl, csv, tsv, parquet, WARC,
plain or compressed.

Every reader streams, and goes on after a bad record (datatrove, polars, pyarrow and datasets all lose the rest of the
file to one bad byte). A file that cannot be read on (a truncated archive) is one bad record at the place where it
broke.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from components.core.errors import clause
from components.stages.ingest import tabular
from components.stages.ingest.records import HASHED_BYTES, BadRecord, Options, RawRecord, record_of
from components.stages.ingest.tabular import NotText
from components.stages.ingest.text_splitting import SCENE, plain_text
from components.stages.ingest.web_pages import main_text, warc_records
from components.text.opening import OpenFile, inner_suffix

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

WHOLE_FILE_BYTES = 50_000_000
"""Longest HTML page or JSON value that is read: both need the whole of it in memory."""


PAGE_BEGINNING, BODY = 400_000, re.compile(rb"<body[\s>]", re.IGNORECASE)
"""Bytes of a page that tell whether it has text, if its body begins in them: scripts may come before all of it."""

FIRST_RECORDS = 20
"""Records after which a side table is looked for."""


def format_of(name: str) -> str:
    """The format of a file by its name; "" if it is none that is read."""
    return FORMATS.get(inner_suffix(name), "")


def records_of(path: Path, format_name: str, options: Options) -> Iterator[RawRecord | BadRecord]:
    """Records of a file, and a bad record for each that cannot be read, the file itself among them.

    Args:
        format_name: one of the values of `FORMATS`, or `play`: plain text cut at acts and scenes.

    Raises:
        NotText: the file as a whole holds no text.
    """
    try:
        file = OpenFile(path)
    except (OSError, pa.ArrowException) as error:
        yield BadRecord("unreadable", f"the file cannot be opened ({clause(error)}); correct it or leave it out")
        return
    try:
        for record in READERS[format_name](file, options):
            yield _from_utf16(record) if file.is_utf16 else record
    except NotText:
        raise
    except Exception as error:  # one bad file costs no other, whatever its reader raises
        rule = "invalid_utf16" if file.is_utf16 and isinstance(error, UnicodeDecodeError) else "unreadable"
        position = f" after byte {file.offset}" if file.offset else ""
        yield BadRecord(rule, f"cannot be read on{position} ({clause(error)}); get a whole copy", offset=file.offset)
    finally:
        file.close()


def _from_utf16(record: RawRecord | BadRecord) -> RawRecord | BadRecord:
    """Name the change in a record of a file of a Windows program; its offsets are those of the same text in UTF-8."""
    if isinstance(record, BadRecord):
        return record
    return replace(record, transforms=("from_utf16", *record.transforms))


def _whole(file: OpenFile, noun: str) -> bytes | BadRecord:
    """The bytes of a file that is needed whole, or a bad record if it is too long."""
    raw = file.read(WHOLE_FILE_BYTES + 1)
    if len(raw) <= WHOLE_FILE_BYTES:
        return raw
    return BadRecord.of("too_long", f"{noun} over {WHOLE_FILE_BYTES} bytes", raw[:HASHED_BYTES])


def _html(file: OpenFile, options: Options) -> Iterator[RawRecord | BadRecord]:
    """The main text of a page; of its beginning, if that is asked for and the body is in it."""
    begun = file.read(PAGE_BEGINNING if options.beginning else 0)
    raw = b"" if BODY.search(begun) else _whole(file, "an HTML page")
    if isinstance(raw, BadRecord):
        yield raw
    elif page := main_text(raw := begun + raw):
        yield RawRecord(page.text, transforms=page.transforms)
    else:
        yield BadRecord.of("no_text", "no main text was found in the page", raw)


def _jsonl(file: OpenFile, options: Options) -> Iterator[RawRecord | BadRecord]:
    """One JSON object per line; blank lines are none.

    Raises:
        NotText: it is a side table: none of its records has the field.
    """
    records = _json_lines(file, options)
    first = list(islice(records, FIRST_RECORDS))
    if first and all(map(_lacks_field, first)):
        with closing(OpenFile(file.path)) as again:
            if all(map(_lacks_field, _json_lines(again, options))):
                raise NotText(cast(BadRecord, first[0]).reason)
    yield from chain(first, records)


def _lacks_field(record: RawRecord | BadRecord) -> bool:
    return isinstance(record, BadRecord) and record.rule == "missing_field"


def _json_lines(file: OpenFile, options: Options) -> Iterator[RawRecord | BadRecord]:
    longest = 6 * options.max_chars + 65_536  # a character is at most six bytes of JSON, `\\u1234`
    number, piece, jumped = 0, options.piece_bytes, False
    while raw := file.readline(longest):
        number, start = number + 1, file.offset - len(raw)
        if len(raw) >= longest and not raw.endswith(b"\n"):
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield BadRecord.of("too_long", f"a line over {longest} bytes", raw[:HASHED_BYTES], number, start)
        elif raw.strip():
            yield _from_json(raw, 0 if jumped else number, start, options)
        if options.skip_bytes and file.offset >= piece:
            jumped = file.skip(options.skip_bytes)
            piece = file.offset + options.piece_bytes


def _from_json(raw: bytes, line: int, offset: int, options: Options) -> RawRecord | BadRecord:
    try:
        value = json.loads(raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "strict"))  # files were put together
    except UnicodeDecodeError as error:
        position = f"byte 0x{error.object[error.start]:02x} at offset {offset + error.start}"
        return BadRecord.of("invalid_utf8", f"{position} is not UTF-8", raw, line, offset)
    except (ValueError, RecursionError) as error:
        return BadRecord.of("invalid_json", f"not JSON: {clause(error)}", raw, line, offset)
    part = str(line) if line else f"byte {offset}"
    return record_of(value, options.text_field, part, line=line, offset=offset, raw=raw)


def _json(file: OpenFile, options: Options) -> Iterator[RawRecord | BadRecord]:
    """A JSON file: an object with text, or a list of them. One without any (settings, metadata) is left out, listed."""
    raw = file.read(options.beginning)
    value: Any = whole_items(raw)
    if any(isinstance(item, dict) and options.text_field in item for item in value):
        yield from _items(value, options)
        return
    rest = _whole(file, "one JSON value")
    if isinstance(rest, BadRecord):
        raise NotText(f"{rest.reason}; write it as jsonl")
    raw += rest
    try:
        value = json_value(raw)
    except (ValueError, RecursionError) as error:
        yield BadRecord.of("invalid_json", f"not JSON: {clause(error)}", raw)
        return
    values = value if isinstance(value, list) else [value]
    if not any(isinstance(item, dict) and options.text_field in item for item in values):
        raise NotText(f"JSON without a field {options.text_field!r}; see text_field")
    yield from _items(value, options)


def _items(value: Any, options: Options) -> Iterator[RawRecord | BadRecord]:
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        part = str(number) if isinstance(value, list) else ""
        yield record_of(item, options.text_field, part, f"item {number}: ", number)


def whole_items(raw: bytes) -> list[Any]:
    """The whole items with which an array begins; none if these bytes begin no array, or have none whole."""
    items, decoder = list[Any](), json.JSONDecoder()
    with suppress(ValueError, RecursionError):
        text = codecs.getincrementaldecoder("utf-8")().decode(raw)
        separator = ARRAY.match(text)
        while separator:
            item, end = decoder.raw_decode(text, separator.end())
            if separator := COMMA.match(text, end):
                items.append(item)
    return items


def json_value(raw: bytes) -> Any:
    """The value that a JSON file holds.

    Raises:
        ValueError, RecursionError: it is none, or several.
    """
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        if not raw.strip():
            raise ValueError("the file is empty") from None
        if error.msg == "Extra data":
            raise ValueError("more than one value; if each is on a line, name the file .jsonl") from None
        raise


def _parquet(file: OpenFile, options: Options) -> Iterator[RawRecord | BadRecord]:
    raw = file.file.raw
    if not raw.seekable():
        raise NotText("compressed Parquet cannot be read at random; unpack it (Parquet compresses inside)")
    yield from tabular.parquet_rows(raw, options.text_field, options.max_chars)


ARRAY, COMMA = re.compile(r"\s*\[\s*"), re.compile(r"\s*,\s*")


READERS: dict[str, Callable[[Any, Options], Iterator[RawRecord | BadRecord]]] = {
    "text": lambda file, options: plain_text(file, options.target_bytes),
    "play": lambda file, options: plain_text(file, options.target_bytes, SCENE),
    "html": _html,
    "warc": lambda file, _: warc_records(file),
    "json": _json,
    "jsonl": _jsonl,
    "csv": lambda file, options: tabular.csv_rows(file, options.text_field, options.max_chars),
    "parquet": _parquet,
}
