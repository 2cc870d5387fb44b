"""Rows of CSV and Parquet tables, one bad row at a time."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.stages.ingest.records import RAW_BYTES, BadRecord

TAKEN = ("id", "group", "license", "licence")
"""Columns that are read beside the text, where there are any."""

BATCH_ROWS = 64
"""Rows of Parquet in memory at once; texts are long."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row's values, its number (from 1), and for CSV its first line and byte."""

    values: dict[str, Any]
    number: int
    line: int = 0
    offset: int = 0


def missing_column(text_field: str, names: list[str]) -> UserError:
    """The error for a table without the text column."""
    return UserError(f"no column {text_field!r} in the table (there are: {', '.join(names[:12])}); set text_field")


class _Lines:
    """Decoded lines for the csv module, remembering those of the row at hand, so that a bad one can be given back."""

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
        """Take the first line of a bad row as the culprit, and read the others again as rows of their own."""
        culprit, rest = self.row[0], self.row[1:]
        self.waiting.extendleft(reversed(rest))
        self.row, self.row_bytes = [culprit], len(culprit)
        return culprit


def csv_rows(file: Any, text_field: str, max_chars: int) -> Iterator[Row | BadRecord]:
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
        yield _csv_row(values, names, number, line, offset, lines.row)


def _csv_row(
    values: list[str], names: list[str], number: int, line: int, offset: int, raw: list[bytes]
) -> Row | BadRecord:
    if len(values) != len(names):
        reason = f"{len(values)} fields, but the header names {len(names)}"
        return BadRecord.of("invalid_csv", reason, b"".join(raw), line, offset)
    row = dict(zip(names, values, strict=True))
    if any("\udc80" <= character <= "\udcff" for value in values for character in _escapes(value)):
        return BadRecord.of("invalid_utf8", "the row is not UTF-8", b"".join(raw), line, offset)
    return Row(row, number, line, offset)


def _escapes(value: str) -> str:
    """The value where it may hold escaped bytes; "" for the plain ASCII that nearly all are."""
    return "" if value.isascii() else value


def parquet_rows(file: Any, text_field: str) -> Iterator[Row | BadRecord]:
    """The rows of a Parquet file, a few in memory at once. Text is decoded row by row: one bad byte costs one row.

    Raises:
        UserError: there is no column `text_field`.
    """
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    if text_field not in names:
        raise missing_column(text_field, names)
    columns = [text_field, *(name for name in TAKEN if name in names and name != text_field)]
    number = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        texts = _as_bytes(batch.column(text_field))
        others = [batch.column(name).to_pylist() for name in columns[1:]]
        for index, text in enumerate(texts.to_pylist()):
            number += 1
            rest = {name: values[index] for name, values in zip(columns[1:], others, strict=True)}
            yield _parquet_row(text, rest, text_field, number)


def _as_bytes(column: pa.Array) -> pa.Array:
    """Text as bytes without a copy, since a bad byte would fail the whole column; other types as they are."""
    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column


def _parquet_row(text: Any, rest: dict[str, Any], text_field: str, number: int) -> Row | BadRecord:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            return BadRecord.of("invalid_utf8", f"row {number}: not UTF-8 at byte {error.start}", text[:RAW_BYTES])
    return Row(rest | {text_field: text}, number)
