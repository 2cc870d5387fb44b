"""A CSV file's header: names without blanks around them, and the rows below."""

import io

from components.text.csv_table import CsvTable


def test_names_of_a_header_are_trimmed() -> None:
    table = CsvTable(io.BytesIO(b"\xef\xbb\xbf text, label\n1, 2\n"), 1000)
    assert table.names == ["text", "label"]
    assert [row.values for row in table] == [["1", " 2"]]
