"""Rows of CSV and Parquet tables, one bad row at a time."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.stages.ingest.records import RAW_BYTES, TAKEN, BadRecord, Record, record_of

BATCH_ROWS = 64
"""Rows of Parquet in memory at once; texts are long."""


def missing_column(text_field: str, names: list[str]) -> UserError:
    """The error for a table without the text column."""
    return UserError(f"no column {text_field!r} in the table (there are: {', '.join(names[:12])}); set text_field")


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
    """The rows of a CSV file with a header line; the delimiter is the commonest of `,`, `;` and tab in it.

    Raises:
        UserError: the header names no column `text_field`.
    """
    lines = _Lines(file, 4 * max_chars + 65_536)
    csv.field_size_limit(2**31 - 1)  # rows are bounded by bytes, above
    header = next(lines, "").removeprefix("\ufeff")
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter, strict=True), [])
    if not header:
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
            continue  # a blank line
        number += 1
        if rule_and_reason := _csv_problem(values, names):
            yield BadRecord.of(*rule_and_reason, b"".join(lines.row), line, offset)
        else:
            row = dict(zip(names, values, strict=True))
            yield record_of(row, text_field, str(number), f"row {number}: ", line, offset)


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
        UserError: there is no column `text_field`.
    """
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    if text_field not in names:
        raise missing_column(text_field, names)
    unread = tuple(name for name in names if name not in (text_field, *TAKEN))
    columns = [text_field, *(name for name in TAKEN if name in names and name != text_field)]
    number = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        texts = _as_bytes(batch.column(text_field)).to_pylist()
        others = batch.select(columns[1:]).to_pylist()
        for text, rest in zip(texts, others, strict=True):
            number += 1
            try:
                row = rest | {text_field: text.decode("utf-8") if isinstance(text, bytes) else text}
            except UnicodeDecodeError as error:
                reason = f"row {number}: not UTF-8 at byte {error.start}"
                yield BadRecord.of("invalid_utf8", reason, text[:RAW_BYTES])
            else:
                record = record_of(row, text_field, str(number), f"row {number}: ")
                yield replace(record, unread=unread) if isinstance(record, Record) else record


def _as_bytes(column: pa.Array) -> pa.Array:
    """Text as bytes without a copy, since a bad byte would fail the whole column; other types as they are."""
    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column
