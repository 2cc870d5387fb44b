"""Tables of reports, as CSV and as Markdown."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.core.files import rounded, write_text


def as_csv(rows: Iterable[dict]) -> str:
    """Rows as CSV text, floats to six digits; the widest row decides the order of the columns, NaN is an empty cell."""
    listed = [rounded(row) for row in rows]
    names = list(dict.fromkeys(name for row in sorted(listed, key=len, reverse=True) for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if _missing(value) else value for key, value in row.items()} for row in listed)
    return buffer.getvalue()


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows as CSV, floats to six digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rounded(row) for row in rows)
    write_text(path, buffer.getvalue())


def _missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], align: str = "", right: str = "---:"
) -> str:
    """Markdown table as text without a final newline.

    Args:
        rows: cells; a row (or header) shorter than `align` or the header ends in empty cells.
        align: a letter per column, `l` or `r`; left out, no column is aligned.
        right: the rule under a column aligned right.
    """
    width = max(len(header), len(align))
    aligned = "|".join(right if letter == "r" else "---" for letter in align)
    rule = f"|{aligned}|" if align else _row(["---"] * width, width)
    return "\n".join([_row(header, width), rule, *(_row(row, width) for row in rows)])


def _row(cells: Sequence[object], width: int) -> str:
    return f"| {' | '.join(map(str, cells))} |" + " |" * (width - len(cells))
