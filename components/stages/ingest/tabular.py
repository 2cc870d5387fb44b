"""Rows of CSV and Parquet tables, one bad row at a time."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.stages.ingest.records import TAKEN, BadRecord, Record, record_of

BATCH_ROWS = 64
"""Rows of Parquet in memory at once; texts are long."""
MOST_COLUMNS = 200
"""Columns of Parquet in which text is looked for."""
MOST_NAMES, NAME_CHARS = 12, 40
"""Columns that a message names, and characters of each."""


class NotText(Exception):  # noqa: N818 - no error: the file is left out, and listed with this reason
    """The file as a whole holds no text that ingest could take; the message says why."""


def missing_column(text_field: str, names: list[str]) -> NotText:
    """The reason for leaving out a table without the text column."""
    shown = ", ".join(ascii(name)[1:-1][:NAME_CHARS] for name in names[:MOST_NAMES])
    return NotText(f"no column {text_field!r} in the table (there are: {shown}); set text_field")


class _Lines:
    """Decoded lines for the csv module, with the bytes of the current row, so that a bad one can be given back."""

    def __init__(self, file: Any, longest: int) -> None:
        self.file, self.longest = file, longest
        self.row: list[bytes] = []
        self.waiting: deque[bytes] = deque()
        self.line = self.offset = 0
        self.row_bytes = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = self.waiting.popleft() if self.waiting else self.file.readline(self.longest)
        if not raw:
            raise StopIteration
        self.row.append(raw)
        self.row_bytes += len(raw)
        if self.row_bytes > self.longest:
            raise csv.Error(f"a row over {self.longest} bytes; is a quotation mark missing?")
        return raw.decode("utf-8", "surrogateescape")

    def next_row(self) -> None:
        """Forget the lines of the row before."""
        self.line += sum(raw.endswith(b"\n") for raw in self.row)
        self.offset += self.row_bytes
        self.row, self.row_bytes = [], 0

    def give_back(self) -> bytes:
        """The first line of a bad row, which counts as the bad one; the others are read again as rows."""
        first, rest = self.row[0], self.row[1:]
        self.waiting.extendleft(reversed(rest))
        self.row, self.row_bytes = [first], len(first)
        return first


def csv_rows(file: Any, text_field: str, max_chars: int) -> Iterator[Record | BadRecord]:
    """The rows of a CSV file with a header line.

    Raises:
        NotText: the header names no column `text_field`.
        csv.Error: the first line is no header.
    """
    lines, names, delimiter = _opened(file, max_chars)
    if not names:
        return
    if text_field not in names:
        raise missing_column(text_field, names)
    number = 0
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.next_row()
        line, offset = lines.line + 1, lines.offset
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield BadRecord.of("invalid_csv", f"not CSV: {error}", lines.give_back(), line, offset)
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if not values:
            file.cut["blank_lines"] += lines.row_bytes
            continue
        number += 1
        if rule_and_reason := _csv_problem(values, names):
            yield BadRecord.of(*rule_and_reason, b"".join(lines.row), line, offset)
        else:
            row = dict(zip(names, values, strict=True))
            record = record_of(row, text_field, str(number), f"row {number}: ", line, offset)
            yield replace(record, num_bytes=lines.row_bytes)


def _opened(file: Any, max_chars: int) -> tuple["_Lines", list[str], str]:
    """The lines below the header, the names in it, and the delimiter, the commonest of `,`, `;` and tab in it."""
    lines = _Lines(file, 4 * max_chars + 65_536)
    csv.field_size_limit(2**31 - 1)  # rows are bounded by bytes
    header = next(lines, "").removeprefix("\ufeff")
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    file.cut["fields_and_syntax"] += lines.row_bytes
    return lines, names, delimiter


def first_csv_rows(file: Any, count: int, max_chars: int) -> Iterator[dict[str, Any]]:
    """The first rows by column, as far as they can be read."""
    lines, names, delimiter = _opened(file, max_chars)
    for values in islice(csv.reader(lines, delimiter=delimiter), count):
        yield dict(zip(names, values, strict=False))
        lines.next_row()


def first_parquet_rows(file: Any, count: int) -> Iterator[dict[str, Any]]:
    """The first rows, of the columns that hold text."""
    table = pq.ParquetFile(file)
    is_text = [pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in table.schema_arrow.types]
    columns = [name for name, text in zip(table.schema_arrow.names, is_text, strict=True) if text][:MOST_COLUMNS]
    for batch in islice(table.iter_batches(batch_size=count, columns=columns), 1):
        rows = [_as_bytes(batch.column(name)).to_pylist() for name in columns]
        for values in zip(*rows, strict=True):
            yield {name: (value or b"").decode("utf-8", "replace") for name, value in zip(columns, values, strict=True)}


def _csv_problem(values: list[str], names: list[str]) -> tuple[str, str] | None:
    if len(values) != len(names):
        return "invalid_csv", f"{len(values)} fields, but the header names {len(names)}"
    # Bytes that are not UTF-8 were decoded as U+DC80 to U+DCFF; plain ASCII, as nearly all is, has none.
    if any("\udc80" <= character <= "\udcff" for value in values if not value.isascii() for character in value):
        return "invalid_utf8", "the row is not UTF-8"
    return None


def parquet_rows(file: Any, text_field: str) -> Iterator[Record | BadRecord]:
    """The rows of a Parquet file, a few in memory at once. Text is decoded row by row: one bad byte costs one row.

    Raises:
        NotText: there is no column `text_field`.
    """
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    if text_field not in names:
        raise missing_column(text_field, names)
    unread = tuple(name for name in names if name not in (text_field, *TAKEN))
    columns = [text_field, *(name for name in TAKEN if name in names and name != text_field)]
    number = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        for values in zip(*(_as_bytes(batch.column(name)).to_pylist() for name in columns), strict=True):
            number += 1
            try:
                row = {
                    name: value.decode("utf-8") if isinstance(value, bytes) else value
                    for name, value in zip(columns, values, strict=True)
                }
            except UnicodeDecodeError as error:
                reason = f"row {number}: not UTF-8 at byte {error.start}"
                yield BadRecord.of("invalid_utf8", reason, b"".join(v for v in values if isinstance(v, bytes)))
            else:
                record = record_of(row, text_field, str(number), f"row {number}: ")
                yield replace(record, unread=unread) if isinstance(record, Record) else record


def _as_bytes(column: pa.Array) -> pa.Array:
    """Text as bytes without a copy, since a bad byte would fail the whole column; other types as they are."""
    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column
