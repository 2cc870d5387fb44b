"""Tables of reports: columns, rounding, and missing values."""

from pathlib import Path

from components.reporting.tables import as_csv, markdown_table, write_table


def test_a_table_is_its_header_and_rows_with_rounded_floats(tmp_path: Path) -> None:
    write_table(tmp_path / "details" / "rules.csv", ("rule", "share"), [("a,b", 1 / 3), ("née", 2)])
    assert (tmp_path / "details" / "rules.csv").read_text("utf-8") == 'rule,share\n"a,b",0.333333\nnée,2\n'


def test_the_widest_row_orders_the_columns_and_nan_is_empty() -> None:
    assert as_csv([{"b": float("nan")}, {"a": 1, "b": 1 / 3}]) == "a,b\n,\n1,0.333333\n"


def test_a_markdown_table_aligns_its_columns_and_fills_short_rows() -> None:
    rows = [("a", 1, "x"), ("b", 2)]
    assert markdown_table(("name", "n"), rows, "lrl") == "| name | n | |\n|---|---:|---|\n| a | 1 | x |\n| b | 2 | |"
    assert markdown_table(("name", "n"), [], "lr", right="--:") == "| name | n |\n|---|--:|"


def test_a_markdown_table_without_alignment() -> None:
    assert markdown_table(("name", "n"), [("a", None)]) == "| name | n |\n| --- | --- |\n| a | None |"
