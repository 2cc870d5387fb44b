"""Tables of reports as CSV and as Markdown, and the page of a stage that holds them."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_text
from components.core.plain_text import abbreviated

TableRow = Mapping[str, Any] | Sequence[Any]
PERCENT = ("share", "rate")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows as CSV, floats to six digits; text that a spreadsheet would run gets a `'` before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in rounded(row)] for row in rows)
    write_text(path, buffer.getvalue())


FORMULA = re.compile(r"'*[=+@\t\r-](?!\.?\d*$)")
"""How text begins that a spreadsheet takes for a formula; a number is none."""


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def as_written(value: str) -> str:
    """A cell of a table that `write_table` wrote, as it was given."""
    return value[1:] if value and value[0] == "'" and FORMULA.match(value[1:]) else value


def escaped(text: str) -> str:
    """Text for a cell of a Markdown table: one line, no HTML. What is in backticks stays."""
    line = text.replace("|", "\\|").replace("\n", " ")
    return line if line.startswith("`") else line.replace("&", "&amp;").replace("<", "&lt;")


def _blank(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """Markdown table as text without a final newline.

    Args:
        rows: cells; a row (or header) shorter than `align` or the header ends in empty cells.
        align: a letter per column, `l` or `r`; left out, no column is aligned.
    """
    width = max(len(header), len(align))
    aligned = "|".join("---:" if letter == "r" else "---" for letter in align)
    rule = f"|{aligned}|" if align else _row(["---"] * width, width)
    return "\n".join([_row(header, width), rule, *(_row(row, width) for row in rows)])


def _row(cells: Sequence[object], width: int) -> str:
    return f"| {' | '.join(map(str, cells))} |{' |' * (width - len(cells))}"


# -- the page of a stage ----------------------------------------------------------------------------------------------


class Page:
    """Text of a report. Tables are data: a column's name says how its numbers are written (see `cell`).

    Args:
        title: the heading.
        reports: the stage's folder of reports; None writes no files.
    """

    def __init__(self, title: str, reports: Path | None) -> None:
        self.reports = reports
        self.parts = [f"# {title}"]

    @property
    def markdown(self) -> str:
        """The text so far."""
        return "\n\n".join(self.parts) + "\n"

    def add(self, *paragraphs: str) -> None:
        """Append paragraphs; empty ones are left out."""
        self.parts += [paragraph for paragraph in paragraphs if paragraph]

    def table(self, file: str, columns: str, rows: Iterable[TableRow], caption: str = "", show: str = "") -> None:
        """Write `details/<file>.csv`, and with a caption show it.

        Args:
            columns: names, separated by spaces. Rows that are mappings may lack some.
            caption: a sentence; empty for a table that only the file has.
            show: the columns shown, if not all.
        """
        names, listed = columns.split(), list(rows) if caption else rows  # a table of the file alone may be long
        if self.reports is not None:
            cells = ([_blank(value) for value in _values(row, names)] for row in listed)
            write_table(self.reports / "details" / f"{file}.csv", names, cells)
        if caption:
            records = [dict(zip(names, _values(row, names), strict=True)) for row in listed]
            self.show(show or columns, records, caption)

    def show(self, columns: str, rows: Iterable[TableRow], caption: str) -> None:
        """Append a caption and a table, or the caption and "None." for a table without rows."""
        names, listed = columns.split(), list(rows)
        if not listed:
            return self.add(f"{caption} None.")
        bounded = [name for name in names if {f"{name}_low", f"{name}_high"} <= set(names)]
        shown = [name for name in names if not (name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in bounded)]
        records = [dict(zip(names, _values(row, names), strict=True)) for row in listed]
        body = [[_with_bounds(record, name, name in bounded) for name in shown] for record in records]
        align = "".join("r" if is_numeric(column) else "l" for column in zip(*body, strict=True))
        self.add(caption, markdown_table([heading(name) for name in shown], body, align))


def heading(column: str) -> str:
    """Title of a column: words, and the unit in which `cell` writes it."""
    return " ".join("MB" if word == "bytes" and _in_megabytes(column) else word for word in column.split("_"))


def cell(column: str, value: Any) -> str:
    """A value as people read it: bytes in MB, shares and rates in per cent, numbers with commas."""
    value = _blank(value)
    if isinstance(value, str):
        return escaped(value)
    if _in_megabytes(column):
        return number(value / 1e6)
    if column.rsplit("_", 1)[-1] in PERCENT:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else number(value)


def number(value: float) -> str:
    """A number to three digits, without an exponent if it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def is_numeric(column: Iterable[str]) -> bool:
    """Whether cells of a column are numbers, with commas or in per cent too; some may be empty."""
    return all(re.fullmatch(r"[-+]?[\d.,]+(e[-+]\d+)?%?|", cell) for cell in column)


def _in_megabytes(column: str) -> bool:
    return "bytes" in column.split("_") and "_per_" not in column


def interval(value: float, low: float | None, high: float | None, form: str = ".3f") -> str:
    """`0.358 [0.300, 0.417]`, or the value alone if it has no interval; numbers by `form`."""
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def ranged(bounds: Sequence[float], unit: str = "", form: str = ".3g", more: str = "") -> str:
    """`2 Wh (1 to 3)`: a mid value, given with its low and its high one as (low, mid, high)."""
    low, mid, high = (f"{value:{form}}" for value in bounds)
    return f"{mid}{unit and ' '}{unit} ({low} to {high}{more})"


def quoted(text: str, most: int = 160) -> str:
    """Text of a document for a Markdown table: one line, no pipes, no markup."""
    line = abbreviated(" ".join(text.split()), most)
    return "`" + line.replace("`", "'").replace("|", "\\|") + "`" if line else ""


def _with_bounds(record: Mapping[str, Any], name: str, bounded: bool) -> str:
    value = cell(name, record[name])
    low, high = (cell(name, record[f"{name}_{end}"]) for end in ("low", "high")) if bounded else ("", "")
    return f"{value} [{low}, {high}]" if value and low and high else value


def _values(row: TableRow, names: Sequence[str]) -> list[Any]:
    return [row.get(name, "") for name in names] if isinstance(row, Mapping) else list(row)
