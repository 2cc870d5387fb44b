"""A CSV file's header: names without blanks around them, and the rows below."""

import io

import pytest

from components.text.csv_table import CsvTable


@pytest.mark.parametrize(
    ("data", "names", "row"),
    [
        (b"\xef\xbb\xbf text, label\n1, 2\n", ["text", "label"], ["1", " 2"]),
        (b"\xef\xbb\xbfsep=;\r\na;b\r\n1,5;2\r\n", ["a", "b"], ["1,5", "2"]),
        (b'id,"text\n(English)"\n1,hello\n', ["id", "text (English)"], ["1", "hello"]),
        (b"id|body\n58|Holmes, who wrote; it\n", ["id", "body"], ["58", "Holmes, who wrote; it"]),
    ],
)
def test_names_of_a_header_are_trimmed_and_columns_divided(data: bytes, names: list[str], row: list[str]) -> None:
    table = CsvTable(io.BytesIO(data), 1000)
    assert table.names == names
    assert [one.values for one in table] == [row]
