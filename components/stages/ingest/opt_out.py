"""Opt-out list: texts that must not be trained on, by id, location, hash, source, licence, or a passage they contain.

An entry is a line `kind: value`, or a JSON object `{"kind": "value"}` for a passage of many lines; `#` begins a comment
line. What matches is dropped at ingest by the rule `opted_out`, and of its text nothing is kept: the dropped record
holds the provenance and the hash alone. A line that is no entry is an error, never skipped: a misspelt opt-out that
does nothing is worse than a run that stops.
"""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

from components.core.errors import UserError
from components.corpus.corpus import Document
from components.stages.ingest.records import RecordStatus
from components.text.passage_match import HEAD, Passages, words

RULE = "opted_out"
KINDS = ("id", "location", "sha256", "source", "licence", "passage")
HEX = {"id": 16, "sha256": 64}
"""Hex digits that an id (of a document, see corpus.py) and a hash have."""


class OptOut:
    """A list that has been read.

    Attributes:
        name: of the file, as reports name it.
        entries: (line, kind, value) in the order of the file.
    """

    def __init__(self, name: str, entries: list[tuple[int, str, str]]) -> None:
        self.name, self.entries = name, entries
        self._exact: dict[tuple[str, str], int] = {}
        self._folders: list[tuple[str, int]] = []
        for line, kind, value in entries:
            if kind == "location" and value.endswith("/"):
                self._folders.append((value, line))
            elif kind != "passage":
                self._exact.setdefault((kind, value), line)
        passages = {line: words(value) for line, kind, value in entries if kind == "passage"}
        self._passage_lines, self._passages = list(passages), Passages(passages.values())

    def line_of(self, document: Document) -> int:
        """The line of the list that a document falls under; 0 if none."""
        file, _, key = document.location.partition("#id=")
        locations = (document.location, file.split("#")[0], key)  # `key` is the URL of an archived page
        keys = [(kind, getattr(document, kind)) for kind in ("id", "sha256", "source", "licence")]
        keys += [("location", location) for location in locations]
        if exact := next((self._exact[key] for key in keys if key in self._exact), 0):
            return exact
        for folder, line in self._folders:
            if any(location.startswith(folder) for location in locations):
                return line
        number = self._passages.first_in(document.text)
        return 0 if number is None else self._passage_lines[number]

    def applied(self, entry: RecordStatus) -> RecordStatus:
        """`entry`, or in its place one dropped by `RULE`, without the text."""
        if not self.entries or not (line := self.line_of(entry.document)):
            return entry
        withheld = entry.document.changed("", "text_withheld")
        emptied = replace(entry, document=withheld, quarantined=False)
        return emptied.as_dropped(RULE, self.reason(line))

    def reason(self, line: int) -> str:
        """Reason for a dropped record: the line and its kind, never the passage."""
        kind = next(kind for number, kind, _ in self.entries if number == line)
        return f"{self.name} line {line} ({kind})"


def load(path: Path) -> OptOut:
    """Read a list.

    Raises:
        UserError: no such file, or a line that is no entry; it is named.
    """
    try:
        return _parsed(path.name, path.read_bytes())
    except OSError as error:
        raise UserError(f"ingest.opt_out: {path}: {error.strerror}; correct the path in params.yaml") from None


@functools.lru_cache(maxsize=1)
def _parsed(name: str, data: bytes) -> OptOut:
    """The list of these bytes; kept, for a worker asks for it with every file."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} line {data[: error.start].count(10) + 1}: not UTF-8; convert the file") from None
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            entries.append((number, *_entry(line.strip(), f"{name} line {number}")))
    return OptOut(name, entries)


def _entry(line: str, where: str) -> tuple[str, str]:
    """Kind and value of a line.

    Raises:
        UserError: it is no entry.
    """
    if line.startswith("{"):
        kind, value = _from_json(line, where)
    else:
        kind, _, value = (part.strip() for part in line.partition(":"))
    if kind not in KINDS or not value:
        raise UserError(f"{where}: no opt-out entry; write `kind: value`, the kind being one of {', '.join(KINDS)}")
    if (digits := HEX.get(kind)) and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value := value.lower()):
        raise UserError(f"{where}: {kind} {value[:70]!r} is not {digits} hex digits")
    if kind == "passage" and (count := len(words(value))) < HEAD:
        raise UserError(f"{where}: a passage of {count} words would be found by chance; give {HEAD} or more")
    return kind, value


def _from_json(line: str, where: str) -> tuple[str, str]:
    try:
        ((kind, value),) = json.loads(line).items()
    except (ValueError, AttributeError):
        raise UserError(f'{where}: not a JSON object of one field, such as {{"passage": "..."}}') from None
    return str(kind), value.strip() if isinstance(value, str) else ""
