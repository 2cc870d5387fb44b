"""Rows of CSV and Parquet tables, one bad row at a time."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.stages.ingest.records import HASHED_BYTES, TAKEN, BadRecord, RawRecord, record_of
from components.text.csv_table import CsvTable
from components.text.opening import OpenFile

BATCH_ROWS = 64
"""Rows of Parquet in memory at once; texts are long."""
LARGE_DICTIONARY, PACKED = 4_000_000, 10.0
"""Bytes of a dictionary as it is stored, and bytes that one of a column unpacks to: text stays below both."""
MOST_NAMES, NAME_CHARS = 12, 40
"""Columns that a message names, and characters of each."""


class NotText(Exception):  # noqa: N818 - no error: the file is left out, and listed with this reason
    """The file as a whole holds no text that ingest could take; the message says why."""


def without_column(text_field: str, names: list[str]) -> NotText:
    """The reason for leaving out a table that has not one text column."""
    if count := names.count(text_field):
        return NotText(f"{count} columns of the table are named {text_field!r}; rename those that hold no text")
    shown = ", ".join(ascii(name)[1:-1][:NAME_CHARS] for name in names[:MOST_NAMES])
    return NotText(f"no column {text_field!r} in the table (there are: {shown}); set text_field")


def csv_rows(file: OpenFile, text_field: str, max_chars: int) -> Iterator[RawRecord | BadRecord]:
    """The rows of a CSV file with a header line.

    Raises:
        NotText: the header names no column `text_field`, or several.
        csv.Error: the first line is no header.
    """
    table = CsvTable(file, max_chars)
    if not table.names:
        return
    if table.names.count(text_field) != 1:
        raise without_column(text_field, table.names)
    number = 0
    for row in table:
        if not row.problem and not row.values:
            continue
        number += 1
        if row.problem:
            yield BadRecord.of(*row.problem, row.raw, row.line, row.offset)
        else:
            values = dict(zip(table.names, row.values, strict=True))
            yield record_of(values, text_field, str(number), f"row {number}: ", row.line, row.offset)


def parquet_rows(file: Any, text_field: str, max_chars: int) -> Iterator[RawRecord | BadRecord]:
    """The rows of a Parquet file, a few in memory at once. Text is decoded row by row: one bad byte costs one row.

    Args:
        max_chars: a longer text is a bad record, and is not decoded.

    Raises:
        NotText: there is no column `text_field`, several, or one of lists or the like.
    """
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    if names.count(text_field) != 1:
        raise without_column(text_field, names)
    kind = table.schema_arrow.field(text_field).type
    if pa.types.is_nested(kind):
        raise NotText(f"column {text_field!r} of the table is a {kind}, not text")
    if _is_text(kind) and _is_packed(table.metadata, text_field):
        table = pq.ParquetFile(file, read_dictionary=[text_field])
    columns = [text_field, *(name for name in TAKEN if name in names and name != text_field)]
    binary = [name for name in columns[1:] if _is_binary(table.schema_arrow.field(name).type)]
    number = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        for values in zip(*(_cells(batch.column(name), 4 * max_chars) for name in columns), strict=True):
            number += 1
            if isinstance(values[0], pa.Buffer):
                reason = f"row {number}: {values[0].size} bytes, more than {max_chars} characters can have"
                yield BadRecord.of("too_long", reason, values[0][:HASHED_BYTES].to_pybytes())
                continue
            try:
                row = {name: _decoded(value, name, name in binary) for name, value in zip(columns, values, strict=True)}
            except ValueError as error:
                raw = b"".join(value for value in values if isinstance(value, bytes))
                yield BadRecord.of("invalid_utf8", f"row {number}: {error}", raw)
            else:
                yield record_of(row, text_field, str(number), f"row {number}: ", number)


def _decoded(value: Any, name: str, is_binary: bool) -> Any:
    """Bytes as text; those of a binary column that are none, such as a UUID, in hex.

    Raises:
        ValueError: it is no UTF-8; the column is named.
    """
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        if is_binary:
            return value.hex()
        raise ValueError(f"column {name!r} is not UTF-8 at byte {error.start}") from None


def _cells(column: pa.Array, longest: int) -> Iterator[Any]:
    """The values of a column, one in memory at a time: text as bytes, or as a buffer if it has more than `longest`.

    What Python cannot express, such as a day after the year 9999, is None.
    """
    indices: Iterable[int | None] = range(len(column))
    if pa.types.is_dictionary(column.type):
        indices, column = column.indices.to_pylist(), column.dictionary
    column = as_bytes(column)
    is_text = _is_text(column.type)
    for index in indices:
        cell = None if index is None else column[index]
        if is_text and cell is not None and cell.is_valid and (text := cell.as_buffer()).size > longest:
            yield text
            continue
        try:
            yield None if cell is None else cell.as_py()
        except (ValueError, OverflowError):
            yield None


def chunks_of(metadata: pq.FileMetaData, name: str) -> Iterator[tuple[pq.ColumnChunkMetaData, int]]:
    """A column in each row group of a file, with the number of its rows."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(metadata.num_columns))
        yield next(chunk for chunk in chunks if chunk.path_in_schema == name), group.num_rows


def _is_packed(metadata: pq.FileMetaData, name: str) -> bool:
    """Whether a column may hold a long value once for many rows, which 64 rows would repeat in memory.

    It is then read as a dictionary, in which each row names a value; other text would take five times as long so.
    """
    for chunk, _ in chunks_of(metadata, name):
        in_dictionary = chunk.data_page_offset - chunk.dictionary_page_offset if chunk.has_dictionary_page else 0
        ratio = chunk.total_uncompressed_size / max(1, chunk.total_compressed_size)
        if in_dictionary and (in_dictionary > LARGE_DICTIONARY or ratio > PACKED):
            return True
    return False


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def as_bytes(column: pa.Array) -> pa.Array:
    """Text as bytes without a copy, since a bad byte would fail the whole column; other types as they are."""
    if pa.types.is_string(column.type):
        return column.view(pa.binary())
    return column.view(pa.large_binary()) if pa.types.is_large_string(column.type) else column
