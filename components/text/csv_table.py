"""A CSV file row by row, for any delimiter: one bad row costs no other."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

DELIMITERS = ",;\t|"
OPEN_QUOTE = "a quotation mark is not closed; close it, or write it twice where it is a part of the text"
SWALLOWED_ROWS = 12
"""Lines of a field from which on they may be the rows below it."""
MOST_HEADER_LINES = 100
"""Lines of a header whose names have line breaks, in quotation marks, as Excel writes them."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row below the header: its fields (none in a blank line), or which rule it breaks and why; its bytes and place.

    Attributes:
        line, offset: first line, from 1, and first byte in the (decompressed) file.
    """

    values: list[str]
    problem: tuple[str, str] | None
    raw: bytes
    line: int
    offset: int


class CsvTable:
    """The rows of an open file; `names` are those of its first line, and the commonest delimiter there is the file's.

    Names that have line breaks, in quotation marks, take several lines.

    Args:
        max_chars: a row of more characters is a bad one; bounds memory.

    Raises:
        csv.Error: the first line is no header.
    """

    def __init__(self, file: Any, max_chars: int) -> None:
        self._lines = _Lines(file, 4 * max_chars + 65_536)
        csv.field_size_limit(2**31 - 1)  # rows are bounded by bytes
        header = next(self._lines, "").removeprefix("\ufeff")
        if re.fullmatch("sep=.\r?\n", header):  # Excel's own mark; the header is below it
            header = next(self._lines, "")
        for more in islice(self._lines, MOST_HEADER_LINES if header.count('"') % 2 else 0):
            header += more
            if header.count('"') % 2 == 0:
                break
        self.delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)
        rows = csv.reader(re.findall(r"[^\n]*\n|[^\n]+", header), delimiter=self.delimiter, strict=True)
        try:
            named = next(rows, list[str]())
        except csv.Error as error:
            raise csv.Error(_words_of(error)) from None
        self.names = [" ".join(part.strip() for part in name.splitlines()) for name in named]

    def __iter__(self) -> Iterator[CsvRow]:
        lines, rows = self._lines, self._reader()
        while True:
            lines.next_row()
            line, offset = lines.line + 1, lines.offset
            try:
                values = next(rows)
                if any(map(self._holds_rows, values)):
                    raise csv.Error(OPEN_QUOTE)
            except StopIteration:
                return
            except csv.Error as error:
                yield CsvRow([], ("invalid_csv", f"not CSV: {_words_of(error)}"), lines.give_back(), line, offset)
                rows = self._reader()
            else:
                yield CsvRow(values, self._problem(values), b"".join(lines.row), line, offset)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines, delimiter=self.delimiter, strict=True)

    def _holds_rows(self, value: str) -> bool:
        """Whether a field has swallowed the rows below its own: nothing else has as many fields on every line."""
        if value.count("\n") < SWALLOWED_ROWS or len(self.names) < 2:
            return False
        return all(line.count(self.delimiter) == len(self.names) - 1 for line in value.split("\n")[1:-1])

    def _problem(self, values: list[str]) -> tuple[str, str] | None:
        if values and len(values) != len(self.names):
            return "invalid_csv", f"{len(values)} fields, but the header names {len(self.names)}"
        # Bytes that are not UTF-8 were decoded as U+DC80 to U+DCFF; plain ASCII, as nearly all is,
        # has none.
        if any("\udc80" <= character <= "\udcff" for value in values if not value.isascii() for character in value):
            return "invalid_utf8", "the row is not UTF-8"
        return None


def _words_of(error: csv.Error) -> str:
    """Message of the csv module, but for its two messages on an open quotation."""
    return OPEN_QUOTE if str(error) == "unexpected end of data" or "expected after" in str(error) else str(error)


class _Lines:
    """Decoded lines for the csv module, with the bytes of the current row, so that a bad one can be given back."""

    def __init__(self, file: Any, longest: int) -> None:
        self.file, self.longest = file, longest
        self.row: list[bytes] = []
        self.waiting: deque[bytes] = deque()
        self.line = self.offset = 0
        self.row_bytes = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = self.waiting.popleft() if self.waiting else self.file.readline(self.longest)
        if not raw:
            raise StopIteration
        self.row.append(raw)
        self.row_bytes += len(raw)
        if self.row_bytes > self.longest:
            raise csv.Error(f"a row over {self.longest} bytes; {OPEN_QUOTE}")
        return raw.decode("utf-8", "surrogateescape")

    def next_row(self) -> None:
        """Forget the lines of the row before."""
        self.line += sum(raw.endswith(b"\n") for raw in self.row)
        self.offset += self.row_bytes
        self.row, self.row_bytes = [], 0

    def give_back(self) -> bytes:
        """The first line of a bad row, which counts as the bad one; the others are read again as rows."""
        first, rest = self.row[0], self.row[1:]
        self.waiting.extendleft(reversed(rest))
        self.row, self.row_bytes = [first], len(first)
        return first
