"""Rows of CSV and Parquet tables, one bad row at a time."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.stages.ingest.records import TAKEN, BadRecord, Record, record_of
from components.text.csv_table import CsvTable

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


def csv_rows(file: Any, text_field: str, max_chars: int) -> Iterator[Record | BadRecord]:
    """The rows of a CSV file with a header line.

    Raises:
        NotText: the header names no column `text_field`.
        csv.Error: the first line is no header.
    """
    table = CsvTable(file, max_chars)
    file.cut["fields_and_syntax"] += table.header_bytes
    if not table.names:
        return
    if text_field not in table.names:
        raise missing_column(text_field, table.names)
    number = 0
    for row in table:
        if not row.problem and not row.values:
            file.cut["blank_lines"] += len(row.raw)
            continue
        number += 1
        if row.problem:
            yield BadRecord.of(*row.problem, row.raw, row.line, row.offset)
        else:
            values = dict(zip(table.names, row.values, strict=True))
            record = record_of(values, text_field, str(number), f"row {number}: ", row.line, row.offset)
            yield replace(record, num_bytes=len(row.raw))


def first_csv_rows(file: Any, count: int, max_chars: int) -> Iterator[dict[str, Any]]:
    """The first rows by column, as far as they can be read."""
    table = CsvTable(file, max_chars)
    for row in islice(table, count):
        yield dict(zip(table.names, row.values, strict=False))


def first_parquet_rows(file: Any, count: int) -> Iterator[dict[str, Any]]:
    """The first rows, of the columns that hold text."""
    table = pq.ParquetFile(file)
    is_text = [pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in table.schema_arrow.types]
    columns = [name for name, text in zip(table.schema_arrow.names, is_text, strict=True) if text][:MOST_COLUMNS]
    for batch in islice(table.iter_batches(batch_size=count, columns=columns), 1):
        rows = [_as_bytes(batch.column(name)).to_pylist() for name in columns]
        for values in zip(*rows, strict=True):
            yield {name: (value or b"").decode("utf-8", "replace") for name, value in zip(columns, values, strict=True)}


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
