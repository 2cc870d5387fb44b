"""Rows for fine-tuning from jsonl, csv or parquet: chats, texts with labels or scores, preferences.

    messages                     list of {role, content}, several turns, with or without a system message
    prompt, completion           one question and its answer (texts, or lists of messages)
    text, label                  for a classifier: the one class of a text
    text, labels                 all classes of a text, a list that may be empty (in a csv, as JSON)
    text, score                  a number, for regression
    prompt, chosen, rejected     two answers, the better one first; without `prompt`, what both begin with

The names are those of trl and of most data sets on the hub. The first row that has all columns of one line above
decides for all. A row that cannot be used is refused, with file, line and reason, and the others are kept.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError, clause
from components.core.plain_text import plain_name
from components.params import Branch
from components.text.csv_table import CsvTable
from components.text.opening import ByteCount, inner_suffix

Kind = Literal["chat", "label", "labels", "score", "preference"]
BRANCH: dict[Kind, Branch] = {"chat": "instruct", "preference": "prefer"}
BRANCH |= dict.fromkeys(("label", "labels", "score"), "classify")
"""Kind of rows -> the branch of fine-tuning that learns from them; `reinforce` does from chats too."""
ROLES = ("system", "user", "assistant")
SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
LONGEST_LABEL, LARGEST_SCORE, LONGEST_FIELD = 100, 1e30, 1 << 24
"""Characters of the name of a class; score, beyond which squared errors are no float32; characters of a csv's row."""
REASONS = {"invalid_csv": "not CSV", "invalid_utf8": "not UTF-8"}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is one of `ROLES`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns with at least one answer by the assistant. `where` is file and line."""

    messages: tuple[Message, ...]
    where: str

    @property
    def text(self) -> str:
        """What is compared with other rows; a system message, which many share, is none of it."""
        return "\n".join(message.content for message in self.messages if message.role != "system")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and the name of its class, the names of all its classes in order, or its score."""

    text: str
    label: str | tuple[str, ...] | float
    where: str


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt, the better and the worse answer to it."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    where: str

    @property
    def text(self) -> str:
        """What is compared with other rows: all answers to a prompt belong together."""
        return "\n".join(message.content for message in self.prompt if message.role != "system")


Row = Chat | Labelled | Preference


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not used: where it stands, the reason (a few fixed words, to be counted), and what was found."""

    where: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Rows:
    """What a file or folder holds: rows of one kind, in the order of the files, and those refused."""

    kind: Kind
    rows: list[Row]
    refused: list[Refused]


class _Unfit(Exception):  # noqa: N818 - an answer, not an error
    """A row cannot be used: the reason, and what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def read(path: Path) -> Rows:
    """All rows of a file, or of the files in a folder by name.

    Raises:
        UserError: there is no such file, none of a known format, no row with known columns, or no row that can be used.
    """
    parse, kind = None, None
    rows, refused, columns = list[Row](), list[Refused](), Counter[str]()
    for file in files_of(path):
        for where, value in _values(file):
            if isinstance(value, Refused):
                refused.append(value)
                continue
            columns.update(value.keys())
            if parse is None and (found := kind_of(value)):
                kind, parse = found
            if parse is None:
                refused.append(Refused(where, "no known columns", ", ".join(value)[:200]))
                continue
            try:
                rows.append(parse(value, where))
            except _Unfit as unfit:
                refused.append(Refused(where, unfit.reason, unfit.detail))
    if kind is None:
        if not columns:
            refuse_empty(path, rows, refused)
        raise UserError(f"{path}: columns {', '.join(list(columns)[:12])}; give rows with messages, prompt and "
                        "completion, text and label (or labels, or score), or prompt, chosen and rejected")  # fmt: skip
    refuse_empty(path, rows, refused)
    return Rows(kind, rows, refused)


def files_of(path: Path) -> list[Path]:
    """The files that are read: the one named, or those of the folder that are of a known format and not hidden.

    Raises:
        UserError: there is none.
    """
    inside = [path] if path.is_file() else sorted(path.rglob("*"))
    hidden = [any(part.startswith(".") for part in one.relative_to(path).parts) for one in inside]
    found = [one for one, hides in zip(inside, hidden, strict=True) if inner_suffix(one.name) in SUFFIXES and not hides]
    if not found:
        what = "nothing of that name" if not path.exists() else "nothing to read"
        raise UserError(f"{path}: {what}; give a {', '.join(SUFFIXES)} file, plain, .gz or .zst, or a folder of them")
    return found


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Where each readable row stands, and all text in it, whatever its columns: for a search.

    Raises:
        UserError: there is no file, or one cannot be read to its end.
    """
    for file in files_of(path):
        for where, value in _values(file):
            if isinstance(value, dict):
                yield where, "\n".join(_strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def kind_at(path: Path) -> Kind | None:
    """What the first readable row of a file is; None if it means nothing here, or nothing is readable."""
    try:
        row = next((value for _, value in _values(path) if isinstance(value, dict)), {})
    except Exception:  # whatever a reader raises; ingest says it of the file
        return None
    return found[0] if (found := kind_of(row)) else None


def refuse_empty(path: Path, rows: Sequence[Any], refused: Sequence[Refused]) -> None:
    """Raise if no row is left, with what became of them.

    Raises:
        UserError: as said.
    """
    if rows:
        return
    first = [*refused, Refused(str(path), "it is empty")][0]
    more = f" ({first.detail})" if first.detail else ""
    raise UserError(
        f"{path}: no row is left to train on: {counted(refused) or 'no rows'}; the first is {first.where}: "
        f"{first.reason}{more}"
    )


def count_reasons(refused: Sequence[Refused]) -> dict[str, int]:
    """How many rows were refused by reason, the commonest first."""
    return dict(Counter(one.reason for one in refused).most_common())


def reason_lines(refused: Sequence[Refused]) -> list[str]:
    """A line for each reason: how many rows were refused, and the first of them."""
    lines = []
    for reason, count in count_reasons(refused).items():
        first = next(one for one in refused if one.reason == reason)
        lines.append(f"{count} x {reason}, first {first.where}" + (f" ({first.detail})" if first.detail else ""))
    return lines


def counted(refused: Sequence[Refused]) -> str:
    """The same as words."""
    return ", ".join(f"{count} {reason}" for reason, count in count_reasons(refused).items())


def kind_of(row: dict[str, Any]) -> tuple[Kind, Callable[[dict[str, Any], str], Row]] | None:
    """What a row with these columns is, and the function that checks one; None for columns that mean nothing here."""
    if "chosen" in row and "rejected" in row:
        return "preference", _preference
    if "messages" in row or {"prompt", "completion"} <= row.keys():
        return "chat", _chat
    named = [kind for kind in LABELLED if kind in row and "text" in row]
    return (named[0], LABELLED[named[0]]) if named else None


# -- rows --------------------------------------------------------------------------------------------------------------


def _chat(row: dict[str, Any], where: str) -> Chat:
    """A chat; an answer that is empty makes it unfit, since nothing says what to learn."""
    if "messages" in row:
        messages = _messages(row["messages"], "messages", "")
    else:
        prompt, completion = _field(row, "prompt"), _field(row, "completion")
        messages = _messages(prompt, "prompt", "user") + _messages(completion, "completion", "assistant")
    answers = [message for message in messages if message.role == "assistant"]
    if not answers:
        raise _Unfit("no answer", "no message of the assistant")
    if not all(message.content.strip() for message in answers):
        raise _Unfit("empty answer")
    if ("user", "assistant") not in pairwise(message.role for message in messages):
        raise _Unfit("no question", "no message of the assistant follows one of the user")
    return Chat(messages, where)


def _text(row: dict[str, Any]) -> str:
    text = _field(row, "text")
    if not isinstance(text, str) or not text.strip():
        raise _Unfit("empty text" if isinstance(text, str) else "text is no text")
    return text


def _name(label: Any) -> str:
    if label is None or not str(label).strip():
        raise _Unfit("label missing")
    if isinstance(label, list | dict | float):
        raise _Unfit(
            "label is no name", f"{type(label).__name__}; lists go into `labels`, numbers to predict into `score`"
        )
    name = str(label).strip()
    if plain_name(name) != name or len(name) > LONGEST_LABEL:
        raise _Unfit("label is no name", f"control characters, or more than {LONGEST_LABEL} characters")
    return name


def _labels(row: dict[str, Any], where: str) -> Labelled:
    text, labels = _text(row), _listed(_field(row, "labels"))
    if labels is None:
        raise _Unfit("labels are no list", 'such as ["red", "round"]')
    names = sorted(map(_name, labels))
    if len(set(names)) < len(names):
        raise _Unfit("label twice", "give the names of a text's classes, not 0 or 1 for each class")
    return Labelled(text, tuple(names), where)


def _score(row: dict[str, Any], where: str) -> Labelled:
    text, score = _text(row), _field(row, "score")
    try:
        number = float("nan") if isinstance(score, bool) else float(score)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= LARGEST_SCORE:  # nan is neither
        raise _Unfit("score is no number", f"{score!r:.40}; such as 4 or 0.25, with a point, at most {LARGEST_SCORE:g}")
    return Labelled(text, number, where)


LABELLED: dict[Kind, Callable[[dict[str, Any], str], Row]] = {
    "label": lambda row, at: Labelled(_text(row), _name(row.get("label")), at), "labels": _labels, "score": _score,
}  # fmt: skip


def _preference(row: dict[str, Any], where: str) -> Preference:
    """With `prompt`; or where both answers are whole chats, what they have in common."""
    chosen = _messages(_field(row, "chosen"), "chosen", "assistant")
    rejected = _messages(_field(row, "rejected"), "rejected", "assistant")
    prompt = chosen[:-1] or _messages(_field(row, "prompt"), "prompt", "user")
    if rejected[:-1] not in ((), prompt):
        raise _Unfit("two prompts", "`chosen` and `rejected` answer different prompts")
    if not prompt or not chosen or not rejected:
        raise _Unfit("empty prompt" if not prompt else "empty answer")
    if any(messages[-1].role != "assistant" for messages in (chosen, rejected)):
        raise _Unfit("no answer", "the last message is not the assistant's")
    best, worst = chosen[-1].content, rejected[-1].content
    if not best.strip() or not worst.strip():
        raise _Unfit("empty answer")
    if best == worst:
        raise _Unfit("chosen equals rejected")
    return Preference(prompt, best, worst, where)


def _field(row: dict[str, Any], name: str) -> Any:
    if row.get(name) is None:
        raise _Unfit("missing field", name)
    return row[name]


def _listed(value: Any) -> list[Any] | None:
    """A list, which a csv has as JSON; None for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def _messages(value: Any, name: str, role: str) -> tuple[Message, ...]:
    """A text as one message of `role`, or a list of messages (in a csv, as JSON)."""
    if isinstance(value, str) and role:
        return (Message(role, value),)
    value = _listed(value)
    if not value:
        raise _Unfit("no messages", f"{name} must be {'a text or ' if role else ''}a list of messages")
    for number, one in enumerate(value, 1):
        if not isinstance(one, dict) or not isinstance(one.get("content"), str):
            raise _Unfit("message without text", f"{name}, message {number}")
        if one.get("role") not in ROLES:
            raise _Unfit("unknown role", f"{one.get('role')!r} in message {number}; known are {', '.join(ROLES)}")
    return tuple(Message(one["role"], one["content"]) for one in value)


# -- files -------------------------------------------------------------------------------------------------------------


def _values(path: Path) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    """The rows of a file and where each stands; what is no row is `Refused`."""
    if inner_suffix(path.name) == ".parquet":
        try:
            with pq.ParquetFile(path) as table:
                batches = (row for batch in table.iter_batches(batch_size=1000) for row in batch.to_pylist())
                yield from ((f"{path.name} row {number}", row) for number, row in enumerate(batches, 1))
        except (pa.ArrowException, OSError, ValueError) as error:  # a byte that is not UTF-8 is a ValueError
            raise UserError(f"{path}: no whole parquet file ({clause(error)}); write it again") from None
        return
    try:
        with closing(ByteCount(path, Counter())) as file:
            if inner_suffix(path.name) in (".csv", ".tsv"):
                yield from _csv(file, path.name)
                return
            for number, line in enumerate(iter(file.readline, b""), 1):
                where = f"{path.name} line {number}"
                if line.strip():
                    yield where, _parsed(line.removeprefix(b"\xef\xbb\xbf"), where)
    except (csv.Error, pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read to its end ({clause(error)}); write it again") from None


def _parsed(line: bytes, where: str) -> dict[str, Any] | Refused:
    try:
        value = json.loads(line.decode())
        if b"\\ud" in line.lower():  # half of a surrogate pair is no text
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        return Refused(where, "not UTF-8", clause(error))
    except (ValueError, RecursionError) as error:
        return Refused(where, "not JSON", clause(error))
    return value if isinstance(value, dict) else Refused(where, "not JSON", "a row must be an object, {...}")


def _csv(file: ByteCount, name: str) -> Iterator[tuple[str, dict[str, Any] | Refused]]:
    table = CsvTable(file, LONGEST_FIELD)
    for row in table:
        where = f"{name} line {row.line}"
        if row.problem:
            yield where, Refused(where, REASONS[row.problem[0]], row.problem[1])
        elif row.values:
            yield where, dict(zip(table.names, row.values, strict=True))
