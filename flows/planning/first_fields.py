"""The fields of a file's first records, which tell where its text is.

Only the beginning of a file is read, and more of it until records end there. A file that holds no more than one text
which is too long is refused from that beginning, whatever its format: who read on would learn nothing else.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.stages.ingest.readers import WHOLE_FILE_BYTES, format_of, json_value, whole_items
from components.stages.ingest.tabular import as_bytes, chunks_of, without_column
from components.text.csv_table import CsvTable
from components.text.opening import COMPRESSION, OpenFile

FIRST_BYTES, LARGE_BEGINNING = 16_000, 512_000
"""What is read first, and the beginning in which one record is as good as many."""
FIRST_RECORDS, FIRST_LINES = 20, 100
"""Records by which the field with the text is guessed; lines in which they are looked for."""
MOST_COLUMNS = 200
"""Columns of Parquet in which text is looked for."""
END_BYTES, OTHER_FIELDS = 65_536, 65_536
"""Bytes at the end of a file that tell whether another record is there; characters of a record beside its text."""
NOT_ONE_WORD = re.compile(r"\s|[^\x00-\x7f]")
QUOTE = re.compile(rb'(?<!\\)"')
"""A quotation mark of JSON that is not escaped."""
SHORT_RECORD = {
    "jsonl": re.compile(rb"\n\s*\S"),
    "json": re.compile(rb'\}\s*,\s*\{\s*"'),
    "csv": re.compile(rb'(?<!")"(?!").*(?<!")"(?!")', re.DOTALL),
}
"""What the end of a file has if its last record is short: an end between records, or quotation marks of several."""


def field_lengths(path: Path, max_chars: int) -> Counter[str]:
    """Characters in each field of the first records of a file; none for formats without fields.

    Those of values with white space or letters beyond ASCII: a long address or hash is no text, and counts as 0.

    Raises:
        ValueError: all that it holds is a text of more than `max_chars` characters.
        Exception: of its reader; the file cannot be read.
    """
    kind, lengths = format_of(path.name), Counter[str]()
    if kind != "parquet" and kind not in RECORDS:
        return lengths
    with closing(OpenFile(path)) as file:
        for row in (_parquet_rows if kind == "parquet" else _first_records)(file, kind, max_chars):
            texts = {name: value for name, value in row.items() if isinstance(value, str) and name}
            lengths.update({name: len(value) * bool(NOT_ONE_WORD.search(value)) for name, value in texts.items()})
    return lengths


def _first_records(file: OpenFile, kind: str, max_chars: int) -> list[Mapping[str, Any]]:
    """The records in the shortest beginning of a file that has enough of them."""
    longest = max_chars + OTHER_FIELDS  # a character is up to three bytes, and in JSON up to six
    limits = sorted({FIRST_BYTES, 4 * FIRST_BYTES, LARGE_BEGINNING, longest, 3 * longest, 6 * longest})
    raw, records = b"", list[Mapping[str, Any]]()
    for limit in (*limits, WHOLE_FILE_BYTES):
        raw = _longer(raw, file, limit)
        is_whole = len(raw) < limit
        records = RECORDS[kind](raw, is_whole or limit >= WHOLE_FILE_BYTES)
        enough = sum(map(bool, records)) >= FIRST_RECORDS or len(records) >= FIRST_LINES
        if is_whole or enough or (records and limit >= LARGE_BEGINNING):
            break
        if not records and limit >= longest:
            _raise_if_one_text(file.path, kind, raw, max_chars)
    return [record for record in records if record][:FIRST_RECORDS]


def _longer(raw: bytes, file: OpenFile, limit: int) -> bytes:
    """A longer beginning of a file; of a damaged archive what precedes the line that is damaged."""
    data = bytearray(raw)
    try:
        while len(data) < limit and (line := file.readline(limit - len(data))):
            data += line
    except OSError:
        if not data:
            raise
    return bytes(data)


def _json_lines(raw: bytes, is_whole: bool) -> list[Mapping[str, Any]]:
    *lines, last = raw.split(b"\n")
    filled = (line for line in (*lines, last if is_whole else b"") if line.strip())
    return [_parsed(line) for line in islice(filled, FIRST_LINES)]


def _parsed(line: bytes) -> Mapping[str, Any]:
    """The object of a line; an empty one if it is none."""
    try:
        value = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _json_items(raw: bytes, is_whole: bool) -> list[Mapping[str, Any]]:
    value = json_value(raw) if is_whole else whole_items(raw)
    return [item if isinstance(item, dict) else {} for item in (value if isinstance(value, list) else [value])]


def _csv_rows(raw: bytes, is_whole: bool) -> list[Mapping[str, Any]]:
    """The rows that end before the last line of these bytes does."""
    file, rows = io.BytesIO(raw), list[Mapping[str, Any]]()
    try:
        table = CsvTable(file, WHOLE_FILE_BYTES)
    except csv.Error:
        if is_whole:
            raise
        return []  # the header goes on
    for row in table:
        if (file.tell() == len(raw) and not is_whole) or len(rows) == FIRST_LINES:
            break
        rows.append(dict(zip(table.names, row.values, strict=False)))
    return rows


RECORDS: dict[str, Callable[[bytes, bool], list[Mapping[str, Any]]]] = {
    "jsonl": _json_lines,
    "json": _json_items,
    "csv": _csv_rows,
}
"""Format -> the records that end in the beginning of a file, or in all of it; one that cannot be read is empty."""


def _raise_if_one_text(path: Path, kind: str, raw: bytes, max_chars: int) -> None:
    """Raise `ValueError` if no record ends in this beginning, for a text is too long, and the end has no short one."""
    if _open_chars(kind, raw) <= max_chars:
        return
    table = CsvTable(io.BytesIO(raw), WHOLE_FILE_BYTES) if kind == "csv" else None
    if (kind, raw.lstrip()[:1]) != ("json", b"{") and _ends_short(path, kind, table):
        return
    if table:
        line = next(iter(table)).line
        raise ValueError(f"line {line}: a row of more than {max_chars} characters; close its quotation mark, or cut it")
    raise ValueError(f"a text of more than {max_chars} characters, and no other; cut it into records")


def _open_chars(kind: str, raw: bytes) -> int:
    """Characters of the row, or of the `text` of JSON, in which these bytes break off; 0 if they do elsewhere."""
    if kind == "csv":
        return len(raw.decode("utf-8", "ignore"))
    *_, name, colon, value = [b"", b"", *QUOTE.split(raw)]
    if (name, colon.strip()) != (b"text", b":"):
        return 0
    return len(value.decode("utf-8", "ignore")) - 5 * value.count(b"\\u")


def _ends_short(path: Path, kind: str, table: CsvTable | None) -> bool:
    """Whether the last record of a file may be a short one; of a packed file nobody knows."""
    if path.suffix.lower() in COMPRESSION:
        return True
    with open(path, "rb") as file:
        file.seek(-min(END_BYTES, path.stat().st_size), os.SEEK_END)
        end = file.read().rstrip()
    last = end.rpartition(b"\n")[2].decode("utf-8", "replace")
    is_row = table is not None and '"' not in last and last.count(table.delimiter) == len(table.names) - 1
    return is_row or bool(SHORT_RECORD[kind].search(end))


def _parquet_rows(file: OpenFile, _: str, max_chars: int) -> Iterator[Mapping[str, str]]:
    """The first rows, of the columns that hold text.

    Raises:
        ValueError: its texts have more bytes than `max_chars` characters can, as the file itself counts them.
        NotText: two of these columns have one name.
    """
    table = pq.ParquetFile(file.file.raw)
    is_text = [pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in table.schema_arrow.types]
    columns = [name for name, text in zip(table.schema_arrow.names, is_text, strict=True) if text][:MOST_COLUMNS]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise without_column(twice[0], table.schema_arrow.names)
    texts = ["text"] if "text" in columns else columns
    if (size := max((_mean_bytes(table.metadata, name) for name in texts), default=0)) > 4 * max_chars:
        raise ValueError(f"texts of {size} bytes, more than {max_chars} characters can have; cut them into rows")
    for batch in islice(table.iter_batches(batch_size=FIRST_RECORDS, columns=columns), 1):
        rows = [as_bytes(batch.column(name)).to_pylist() for name in columns]
        for values in zip(*rows, strict=True):
            yield {name: (value or b"").decode("utf-8", "replace") for name, value in zip(columns, values, strict=True)}


def _mean_bytes(metadata: pq.FileMetaData, name: str) -> int:
    """Bytes of a value of a column on average, in the row group where they are fewest; 0 without rows."""
    return min((chunk.total_uncompressed_size // max(1, rows) for chunk, rows in chunks_of(metadata, name)), default=0)
