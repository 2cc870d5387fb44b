"""A CSV file's header: names without blanks around them, and the rows below."""

import csv
import io

import pytest

from components.text.csv_table import CsvTable


def test_names_of_a_header_are_trimmed() -> None:
    table = CsvTable(io.BytesIO(b"\xef\xbb\xbf text, label\n1, 2\n"), 1000)
    assert table.names == ["text", "label"]
    assert [row.values for row in table] == [["1", " 2"]]


def test_a_name_with_a_line_break_is_one_name() -> None:
    table = CsvTable(io.BytesIO(b'id,"text\n(English)"\n1,hello\n'), 1000)
    assert table.names == ["id", "text (English)"]
    assert [row.values for row in table] == [["1", "hello"]]


def test_columns_may_be_divided_by_bars() -> None:
    table = CsvTable(io.BytesIO(b"id|body\n58|Holmes, who wrote; it\n"), 1000)
    assert [dict(zip(table.names, row.values, strict=True)) for row in table] == [
        {"id": "58", "body": "Holmes, who wrote; it"}
    ]


def test_a_quotation_that_is_not_closed_is_named() -> None:
    table = CsvTable(io.BytesIO(b'id,text\n1,"quoted" twice\n2,good\n3,"open\n4,good\n'), 1000)
    assert [row.problem and row.problem[1] for row in table] == [
        "not CSV: ',' expected after '\"'", None, "not CSV: a quotation mark is not closed", None,
    ]  # fmt: skip
    with pytest.raises(csv.Error, match="a quotation mark is not closed"):
        CsvTable(io.BytesIO(b'id,"text\n1,open\n'), 1000)
