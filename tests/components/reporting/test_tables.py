"""Tables of reports: columns, rounding, and missing values."""

import csv
from pathlib import Path

from components.reporting.tables import Page, as_written, escaped, write_table


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
