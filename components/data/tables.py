"""Tables of reports as CSV."""

import csv
import io
import math
from collections.abc import Iterable

from components.files import rounded


def as_csv(rows: Iterable[dict]) -> str:
    """Rows as CSV text, floats to six digits; the widest row decides the order of the columns, NaN is an empty cell."""
    listed = [rounded(row) for row in rows]
    names = list(dict.fromkeys(name for row in sorted(listed, key=len, reverse=True) for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if _missing(value) else value for key, value in row.items()} for row in listed)
    return buffer.getvalue()


def _missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
