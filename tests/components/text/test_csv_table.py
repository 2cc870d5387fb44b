"""A CSV file's header: names without blanks around them, and the rows below."""

import io

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
