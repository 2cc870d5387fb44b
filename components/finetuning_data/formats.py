"""Rows for fine-tuning from json, jsonl, csv or parquet files (rows.py says what a row is, columns.py from what).

The first row that has all columns of a kind decides for all. A row that cannot be used is refused,
with file, line and reason, and the others are kept. A JSON file is a list of rows, an object that
has one, SQuAD's nested articles, or JSON lines under another name; in a folder with other files it
is taken for a description of them.

Files of a folder that are named as held-out rows usually are (test.jsonl,
validation-00000-of-00002.parquet, dev_matched.tsv, dev/...) hold those, where the folder has others
too: somebody has divided them already.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError, clause
from components.core.plain_text import strings_in
from components.finetuning_data.columns import (
    Columns,
    by_contents,
    by_role,
    columns_of,
    refuse_shared,
    used_by,
    value_of,
)
from components.finetuning_data.rows import KINDS, NOT_UTF8, Kind, Refused, Row, UnusableRow, kind_of, refuse_empty
from components.text.csv_table import CsvTable
from components.text.opening import OpenFile, inner_suffix

TABLES = (".csv", ".tsv", ".tab")
SUFFIXES = (".jsonl", ".ndjson", *TABLES, ".parquet")
FEWEST = 4
"""Rows of which contents tell anything."""
FIRST_ROWS = 100
"""Rows among which the first readable one is looked for, to tell what a file holds."""
LONGEST_FIRST = 131_072
"""Bytes of a line of JSON, or characters of a header, that are read for that."""
LONGEST_NAME = 40
"""Characters of a column that a message shows."""
LONGEST_FIELD = 1 << 24
"""Characters of a csv's row."""
NO_ROW = "a row must be an object, {...}; name a file that is one list .json"
AS_UTF8 = "save the file as UTF-8"
_HELDOUT = "(test|validation|valid|val|dev|held[-_]?out|eval|evaluation)"
HELDOUT_NAME = re.compile(rf"{_HELDOUT}([-_. ]?v?\d.*|[-_](mis)?matched.*)?|.+[-_]{_HELDOUT}", re.IGNORECASE)
"""Name, without suffixes, of a file or folder of held-out rows, with the number of its part."""
REASONS = {"invalid_csv": "not CSV", "invalid_utf8": NOT_UTF8}


@dataclass(frozen=True)
class Rows:
    """Content of a file or folder: rows of one kind in the order of the files, those refused, and columns not used.

    Attributes:
        heldout: rows that are held out because of the files they stand in, and no others; none: the
            split decides.
        heldout_files: those files, as the folder has them.
        columns: role -> column, of the first row.
    """

    path: Path
    kind: Kind
    rows: list[Row]
    refused: list[Refused]
    unused: tuple[str, ...] = ()
    heldout: list[Row] = field(default_factory=list)
    heldout_files: tuple[str, ...] = ()
    columns: Columns = field(default_factory=dict)


def read(path: Path, given: Columns | None = None) -> Rows:
    """All rows of a file, or of the files in a folder by name.

    Args:
        given: role -> column, where columns are not to be guessed.

    Raises:
        UserError: there is no such file, none of a known format, no row with known columns, or no
            row that can be used.
    """
    first = Columns()
    refuse_shared(path, given or {})
    rows, heldout, refused, columns, unused = list[Row](), list[Row](), list[Refused](), Counter[str](), Counter[str]()
    files = {_name_in(path, file): file for file in files_of(path)}
    heldout_names, unseen = heldout_files(files), {*(given or {}).values()}
    for name, file in files.items():
        for where, value in _values(file, name):
            if isinstance(value, Refused):
                refused.append(value)
                continue
            columns.update(value.keys())
            unseen -= {column for column in unseen if column in value or value_of(value, column) not in (None, "")}
            mapping = columns_of(value, given) or first
            first = first or mapping
            is_other = kind_of(mapping) != kind_of(first)
            if is_other and {*mapping.values()} == {*first.values()}:  # one class where the others have a list of them
                mapping, is_other = first, False
            used = used_by(first if is_other else mapping)
            unused.update({column for column, one in value.items() if one not in (None, "", [])} - used)
            try:
                (heldout if name in heldout_names else rows).append(_row(value, mapping, first, where))
            except UnusableRow as problem:
                refused.append(Refused(where, problem.reason, mapping.get(problem.detail, problem.detail)))
    kind = kind_of(first)
    if unseen and columns:
        raise UserError(f"{path}: it has no column {min(unseen)}, but {_shown(columns)}; correct --columns (A.B is B "
                        "inside A)")  # fmt: skip
    if kind is None:
        if not columns:
            refuse_empty(path, rows, refused)
        named = [value for name, file in files.items() for _, value in _values(file, name) if isinstance(value, dict)]
        if guess := by_contents(named, given or {}):
            return read(path, guess)
        why = "names do not, and contents of so few cannot" if len(named) < FEWEST else "neither names nor contents"
        raise UserError(f"{path}: columns {_shown(columns)}; {why} tell, of {len(named)} rows, "
                        "which is which; name them, such as --columns text=COLUMN,label=COLUMN (or prompt and "
                        "completion, messages, labels, or prompt, chosen and rejected)")  # fmt: skip
    refuse_empty(path, rows, refused)
    left = tuple(name for name in columns if unused[name])
    return Rows(path, kind, rows, refused, left, heldout, heldout_names if heldout else (), first)


def _shown(columns: Iterable[str]) -> str:
    """Columns in a message; where one is a sentence, the table has no header."""
    names = list(columns)
    names_or_row = " (is its first line a header?)" if max(map(len, names), default=0) > LONGEST_NAME else ""
    return ", ".join(f"{name:.{LONGEST_NAME}}" for name in names[:12]) + names_or_row


def _row(value: dict[str, Any], mapping: Columns, first: Columns, where: str) -> Row:
    """A row as one of the kind of the first, by its own mapping."""
    if not mapping:
        raise UnusableRow("no known columns", ", ".join(value)[:200])
    kind, other = kind_of(first), kind_of(mapping)
    assert kind
    if other != kind:
        raise UnusableRow("another kind of row",
                          f"it is of kind {other}, and the first was of kind {kind}; give one kind")  # fmt: skip
    return KINDS[kind].check(by_role(value, mapping), where)


def heldout_files(names: Iterable[str]) -> tuple[str, ...]:
    """Those of a folder's files that are named as held-out rows are, or stand in a folder so named; none if all are."""
    names = list(names)
    parts = {name: [part.split(".")[0] for part in name.split("/")] for name in names}
    heldout = tuple(name for name in names if any(map(HELDOUT_NAME.fullmatch, parts[name])))
    return heldout if len(heldout) < len(names) else ()


def _name_in(path: Path, file: Path) -> str:
    """A file as a message names it: in a folder with the folders between, since train/0.csv is not test/0.csv."""
    return file.relative_to(path).as_posix() if path != file else file.name


def files_of(path: Path) -> list[Path]:
    """The files that are read: the one named, or those of the folder that are of a known format and not hidden.

    Raises:
        UserError: there is none.
    """
    inside = [path] if path.is_file() else sorted(path.rglob("*"))
    hidden = [any(part.startswith(".") for part in one.relative_to(path).parts) for one in inside]
    shown = [one for one, hides in zip(inside, hidden, strict=True) if not hides]
    files = [one for one in shown if inner_suffix(one.name) in SUFFIXES]
    files = files or [one for one in shown if inner_suffix(one.name) == ".json"]
    if not files:
        problem = "nothing to read" if path.exists() else "nothing of that name"
        known = ", ".join((".json", *SUFFIXES))
        raise UserError(f"{path}: {problem}; give a {known} file, plain, .gz or .zst, or a folder of them")
    return files


def is_corpus(path: Path) -> bool:
    """Whether this is a corpus that examples are drawn from, and not rows."""
    return (path / "manifest.json").exists()


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Where each readable row stands, and all text in it, whatever its columns: for a search.

    Raises:
        UserError: there is no file, or one cannot be read to its end.
    """
    for file in files_of(path):
        for where, value in _values(file, _name_in(path, file)):
            if isinstance(value, dict):
                yield where, "\n".join(strings_in(value))


def kind_at(path: Path) -> Kind | None:
    """Kind of a file's first readable row, by names that nothing else has; None if there is none.

    Columns are not guessed: a text to pretrain on may well have a category.
    """
    try:
        return kind_of(_first_names(path))
    except Exception:  # whatever a reader raises; ingest says it of the file
        return None


def _first_names(path: Path) -> Iterable[str]:
    """Names of the columns of a table, or of those of the first readable row."""
    if inner_suffix(path.name) == ".parquet":
        return pq.read_schema(path).names
    if inner_suffix(path.name) in TABLES:
        with closing(OpenFile(path)) as file:
            return CsvTable(file, LONGEST_FIRST).names
    first = islice(_values(path, path.name, LONGEST_FIRST), FIRST_ROWS)
    return next((value for _, value in first if isinstance(value, dict)), ())


def _values(path: Path, name: str, longest: int = -1) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    """The rows of a file and where each stands, by the name given; what is no row is `Refused`.

    Of JSON lines with `longest` only those before the first that has more bytes.
    """
    if inner_suffix(path.name) == ".parquet":
        try:
            with pq.ParquetFile(path) as table:
                _refuse_twice(name, table.schema_arrow.names)
                batches = (row for batch in table.iter_batches(batch_size=1000) for row in batch.to_pylist())
                yield from ((f"{name} row {number}", row) for number, row in enumerate(batches, 1))
        except (pa.ArrowException, OSError, ValueError) as error:  # a byte that is not UTF-8 is a ValueError
            raise UserError(f"{path}: no whole parquet file ({clause(error)}); write it again") from None
        return
    try:
        with closing(OpenFile(path)) as file:
            if inner_suffix(path.name) in TABLES:
                yield from _csv(file, name)
                return
            if inner_suffix(path.name) == ".json" and (listed := _listed(path)) is not None:
                for number, row in enumerate(listed, 1):
                    where = f"{name} row {number}"
                    yield where, _parsed(json.dumps(row).encode(), where)
                return
            for number, line in enumerate(iter(lambda: file.readline(longest), b""), 1):
                if len(line) == longest:
                    return
                where = f"{name} line {number}"
                if line.strip():
                    yield where, _parsed(line.removeprefix(b"\xef\xbb\xbf"), where)
    except (csv.Error, pa.ArrowException, OSError, UnicodeError) as error:  # UTF-16 that ends within a character
        raise UserError(f"{path}: cannot be read to its end ({clause(error)}); write it again") from None


def _listed(path: Path) -> list[Any] | None:
    """The rows of a JSON file; None if it is one of JSON lines.

    Raises:
        UserError: it is no JSON.
    """
    with closing(OpenFile(path)) as file:
        content = file.file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_object)
        if isinstance(value, list):
            return value
        inside = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
        if columns_of(value) or not inside:
            return [value]
        rows = max(inside, key=len)
        return list(_questions(rows)) if "paragraphs" in rows[0] else rows
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" or not content.strip():
            return None
        raise UserError(f"{path}: not JSON ({clause(error)}); write it again") from None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its JSON is not of rows ({clause(error)}); give a list of objects") from None


def _questions(articles: list[Any]) -> Iterator[dict[str, Any]]:
    """Rows of SQuAD's nested articles; of a question without an answer, the list of answers is empty."""
    for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
        for asked in paragraph["qas"]:
            answers = {"text": [answer["text"] for answer in asked.get("answers", [])]}
            yield {"context": paragraph["context"], "question": asked["question"], "answers": answers}


def _refuse_twice(name: str, columns: Sequence[str]) -> None:
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise UserError(f"{name}: it names {', '.join(twice[:3])} twice; rename one of the columns")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which the last of two equal keys would win in silence."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r:.40} stands twice in an object; rename one of them")
    return fields


def _parsed(line: bytes, where: str) -> dict[str, Any] | Refused:
    try:
        value = json.loads(line.decode(), object_pairs_hook=_object)
        if b"\\ud" in line.lower():  # half of a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        return Refused(where, NOT_UTF8, f"{clause(error)}; {AS_UTF8}")
    except UnicodeError as error:
        return Refused(where, NOT_UTF8, clause(error))
    except json.JSONDecodeError as error:  # its own words count lines, and the row is one
        detail = f"{error.msg} after {len(line[: error.pos].rstrip())} characters"
        return Refused(where, "not JSON", NO_ROW if line.strip() == b"[" else detail)
    except (ValueError, RecursionError) as error:
        return Refused(where, "not JSON", clause(error))
    return value if isinstance(value, dict) else Refused(where, "no JSON object", NO_ROW)


def _csv(file: OpenFile, name: str) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    table = CsvTable(file, LONGEST_FIELD)
    _refuse_twice(name, [column for column in table.names if column])
    for row in table:
        where = f"{name} line {row.line}"
        if row.problem:
            reason, detail = row.problem
            detail = f"{AS_UTF8}; Excel calls it CSV UTF-8" if reason == "invalid_utf8" else detail
            yield where, Refused(where, REASONS[reason], detail)
        elif list(row.values) == list(table.names):
            yield where, Refused(where, "repeats the header", "as where tables were joined")
        elif row.values:
            yield where, dict(zip(table.names, row.values, strict=True))
