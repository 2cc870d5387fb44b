"""Tables of reports: columns, rounding, and missing values."""

import csv
from pathlib import Path

from components.reporting.tables import Page, as_written, escaped, markdown_table, write_table


def test_a_table_is_its_header_and_rows_with_rounded_floats(tmp_path: Path) -> None:
    write_table(tmp_path / "details" / "rules.csv", ("rule", "share"), [("a,b", 1 / 3), ("née", 2)])
    assert (tmp_path / "details" / "rules.csv").read_text("utf-8") == 'rule,share\n"a,b",0.333333\nnée,2\n'


def test_no_name_is_a_formula_of_a_spreadsheet_or_markup_of_a_page(tmp_path: Path) -> None:
    names = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "-16", "+.5", "-", "'=1", "plain", "--help"]
    write_table(tmp_path / "t.csv", ("name",), [(name,) for name in names])
    with open(tmp_path / "t.csv", newline="") as file:
        written = [row[0] for row in csv.reader(file)][1:]
    assert [name[0] for name in written] == ["'", "'", "'", "'", "'", "-", "+", "-", "'", "p", "'"]
    assert [as_written(name) for name in written] == names
    assert escaped("<img src=x>|a&b\n") == "&lt;img src=x>\\|a&amp;b "
    assert escaped("`a<b`") == "`a<b`"


def test_a_page_writes_its_table_and_shows_it_in_the_units_of_its_columns(tmp_path: Path) -> None:
    page = Page("Title", tmp_path)
    rows = [
        {"source": "a|b", "num_bytes": 2_500_000, "share": 0.125, "score": 0.25, "score_low": 0.1, "score_high": 0.4},
        {"source": "c", "documents": 1234, "score": float("nan")},
    ]
    page.table("rows", "source documents num_bytes share score score_low score_high", rows, "A caption.")
    assert (tmp_path / "details" / "rows.csv").read_text() == (
        "source,documents,num_bytes,share,score,score_low,score_high\na|b,,2500000,0.125,0.25,0.1,0.4\nc,1234,,,,,\n"
    )
    assert page.markdown == (
        "# Title\n\nA caption.\n\n| source | documents | num MB | share | score |\n|---|---:|---:|---:|---|\n"
        "| a\\|b |  | 2.5 | 12.5% | 0.25 [0.1, 0.4] |\n| c | 1,234 |  |  |  |\n"
    )


def test_a_table_without_rows_says_none_and_a_page_without_folder_writes_nothing() -> None:
    page = Page("Title", None)
    page.table("rows", "a b", [], "Things.")
    assert page.markdown == "# Title\n\nThings. None.\n"


def test_a_markdown_table_aligns_its_columns_and_fills_short_rows() -> None:
    rows = [("a", 1, "x"), ("b", 2)]
    assert markdown_table(("name", "n"), rows, "lrl") == "| name | n | |\n|---|---:|---|\n| a | 1 | x |\n| b | 2 | |"
    assert markdown_table(("name", "n"), [], "lr") == "| name | n |\n|---|---:|"


def test_a_markdown_table_without_alignment() -> None:
    assert markdown_table(("name", "n"), [("a", None)]) == "| name | n |\n| --- | --- |\n| a | None |"
