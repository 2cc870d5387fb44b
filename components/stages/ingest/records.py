"""Records and bad records, which a reader yields, and the entries both become.

A reader yields a `Record` for each text it finds and a `BadRecord` in the place of each it cannot
read, so that one bad byte costs one record and never the file. `entry_of` turns either into an
`Entry`: a document with its provenance and whether it is kept, dropped (by which rule) or
quarantined (why, where and the hash; the bytes lie in the source).
"""

import html
import json
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from components.core.files import sha256_bytes
from components.core.plain_text import plain_name
from components.corpus.corpus import Document
from components.stages.ingest.licences import stated_licence

HASHED_BYTES = 3072
"""Bytes at the beginning of a record too long to be read whole, of which the hash is."""

NAME_CHARS = 480
"""Longest id, group or licence of a record that is taken as it is."""

TAKEN = ("id", "group", "license", "licence")
"""Fields of a record that are read beside the text, where there are any."""

TARGET_BYTES = 20_000
"""Length after which a passage of plain text ends at the next blank line."""

WITHOUT_TEXT = ("empty", "no_text")
"""Rules of quarantined records that are whole and have no text: however many there are, the others are read."""

SURROGATE = re.compile("[\ud800-\udfff]")

_BREAK = re.compile(r"<(?:br|/?p)\s*/?>", re.IGNORECASE)
_INLINE = re.compile(r"</?(?:b|i|u|em|strong)>", re.IGNORECASE)
"""Tags that say how a text looks, of which a page is full and a text about tags is not."""
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_CODE = re.compile(r"(^```.*?(?:^```|\Z)|`+[^`\n]*`+|^(?:  |\t)[^\n]*)", re.DOTALL | re.MULTILINE)
"""Where a text shows tags: in backticks, and in lines that are indented."""


class Skipped(NamedTuple):
    """A file that is not read, why, and its bytes as it lies on disk; 0 for what is no file."""

    file: str
    reason: str
    num_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RawRecord:
    """Text of one record, as a reader found it.

    Attributes:
        text: unchecked.
        part: which part of the file, `""` if it is the whole file; becomes `location#part`.
        line: first line, from 1; 0 where lines mean nothing (Parquet, HTML).
        offset: first byte in the (decompressed) file.
        key: the record's own `id`, if it has one; becomes `location#id=key`.
        group: the record's own `group`, if it has one.
        licence: what the record says of its licence, as written.
        transforms: names of the changes the reader made.
    """

    text: str
    part: str = ""
    line: int = 0
    offset: int = 0
    key: str = ""
    group: str = ""
    licence: str = ""
    transforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read: the rule it breaks, why, where, and the hash of its bytes ("" if none was read)."""

    rule: str
    reason: str
    line: int = 0
    offset: int = 0
    num_bytes: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, rule: str, reason: str, raw: bytes, line: int = 0, offset: int = 0) -> "BadRecord":
        """A bad record whose bytes are all at hand; of them the hash is kept."""
        return cls(rule, reason, line, offset, len(raw), sha256_bytes(raw))


@dataclass(frozen=True, slots=True)
class Origin:
    """Fields that all documents of a file have in common: see `Document`."""

    source: str
    source_version: str
    licence: str = "NOASSERTION"
    licence_from: str = ""
    retrieved: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file, and what of it is taken.

    Attributes:
        text_field: field or column that holds the text.
        target_bytes: length of a passage of plain text.
        min_bytes: a text of fewer is dropped. max_chars: a longer record is a bad one; this bounds
            memory.
        max_bytes: text bytes after which its source is full; 0 for no limit.
        piece_bytes, skip_bytes: of jsonl, what is read before so much is left out, again and again;
            0 to read all.
        beginning: bytes of a JSON array to which its items are read, and whether of a page, too; 0
            to read all.
    """

    text_field: str = "text"
    target_bytes: int = TARGET_BYTES
    min_bytes: int = 0
    max_chars: int = 2_000_000
    max_bytes: int = 0
    piece_bytes: int = 0
    skip_bytes: int = 0
    beginning: int = 0


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """A document and its status: kept (`rule` is empty), dropped, or quarantined.

    A quarantined one has no text: by `line`, `offset` and hash it is found in the source. `key` is
    the record's own id, by which repeats are found. `num_bytes` are those of the text (UTF-8), of a
    bad record those that were hashed.
    """

    document: Document
    rule: str = ""
    reason: str = ""
    quarantined: bool = False
    key: str = ""
    line: int = 0
    offset: int = 0
    num_bytes: int = 0

    def as_quarantined(self, rule: str, reason: str) -> "RecordStatus":
        """This entry quarantined: of its text the hash is kept."""
        bad = BadRecord.of(rule, reason, encoded(self.document.text), self.line, self.offset)
        return _quarantined(bad, self.document, self.key)

    def as_dropped(self, rule: str, reason: str) -> "RecordStatus":
        """This entry dropped by a rule."""
        return replace(self, rule=rule, reason=reason)


def encoded(text: str) -> bytes:
    """UTF-8 of a text that may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def record_of(
    value: Any,
    text_field: str,
    part: str,
    label: str = "",
    line: int = 0,
    offset: int = 0,
    raw: bytes | None = None,
) -> RawRecord | BadRecord:
    """The record of a JSON object or table row. `id`, `group` and `license` (or `licence`) are taken if present.

    Args:
        label: begins the reason of a bad record: its number in the file.
        line: of the file; of one that has no lines, the number of the record.
        raw: its bytes, which are hashed if it is bad; a row of a table has none and is hashed as
            JSON.
    """
    problem = _problem_of(value, text_field)
    if problem:
        if raw is None:
            raw = json.dumps(value, default=repr).encode("utf-8", "replace")
        return BadRecord.of(problem[0], label + problem[1], raw, line, offset)
    key, group = (_name(value.get(name)) for name in TAKEN[:2])
    licences = [_name(_licence(value.get(name))) for name in TAKEN[2:]]
    text = without_markup(value[text_field])
    transforms = ("markup",) if text != value[text_field] else ()
    return RawRecord(text, part, line, offset, key, group, licences[0] or licences[1], transforms)


def without_markup(text: str) -> str:
    """A text that was cut out of a web page, as its breaks show: these as line breaks, entities as what they stand for.

    Tags in code stay, and a text without breaks outside code.
    """
    if not _BREAK.search(text):
        return text
    parts = _CODE.split(text)
    if not any(map(_BREAK.search, parts[::2])):
        return text
    parts[::2] = [
        _ENTITY.sub(lambda entity: html.unescape(entity[0]), _INLINE.sub("", _BREAK.sub("\n", part)))
        for part in parts[::2]
    ]
    return "".join(parts)


def _problem_of(value: Any, text_field: str) -> tuple[str, str] | None:
    """The rule that a value without text breaks, and the reason."""
    if not isinstance(value, dict):
        return "wrong_type", f"the record is {_type(value)}, not an object"
    if text_field not in value:
        names = ", ".join(sorted(map(str, value))[:8])
        return "missing_field", f"no field {text_field!r} (there are: {names}); see text_field"
    if value[text_field] is None:
        return "empty", f"field {text_field!r} is null"
    if not isinstance(value[text_field], str):
        return "wrong_type", f"field {text_field!r} is {_type(value[text_field])}, not text"
    return None


def _licence(value: Any) -> Any:
    """The one licence of a list of one; several are kept as written, since nobody says whether all or any hold."""
    if isinstance(value, list) and value:
        return value[0] if len(value) == 1 else json.dumps(value, ensure_ascii=False)
    return value


def _name(value: Any) -> str:
    """A text or a whole number as a name; anything else is none. A long one is cut, its hash keeping it unique.

    Whole numbers come as floats from a table in which one of them is missing.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    return value if len(value) <= NAME_CHARS else f"{value[:NAME_CHARS]}~{sha256_bytes(encoded(value))[:16]}"


def _type(value: Any) -> str:
    names = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else type(value).__name__)


def entry_of(item: RawRecord | BadRecord, location: str, group: str, origin: Origin, options: Options) -> RecordStatus:
    """The entry of what a reader found in the file at `location`.

    Args:
        group: the group of all records of the file, or "" if each is its own.
    """
    if isinstance(item, BadRecord):
        part = f"L{item.line or '?'}@{item.offset}"  # who looks at pieces of a file counts no lines
        return _quarantined(item, _document(RawRecord("", part), location, group, origin))
    document, size = _document(item, location, group, origin), len(encoded(item.text))
    entry = RecordStatus(document, key=item.key, line=item.line, offset=item.offset, num_bytes=size)
    if defect := _defect_in(item.text, options.max_chars):
        return entry.as_quarantined(*defect)
    if size < options.min_bytes:
        return entry.as_dropped("too_short", f"{size} bytes, the limit is {options.min_bytes}")
    return entry


def _document(record: RawRecord, location: str, group: str, origin: Origin) -> Document:
    part = f"id={record.key}" if record.key else record.part
    address = f"{location}#{part}" if part else location
    shown = plain_name(SURROGATE.sub("?", address.replace("\0", "?")))
    licence = stated_licence(record.licence) if record.licence else (origin.licence, origin.licence_from)
    return Document(
        id=sha256_bytes(encoded(f"{origin.source}\n{address}"))[:16],  # of it as it is: `shown` may be another's
        text=record.text,
        source=origin.source,
        source_version=origin.source_version,
        location=shown,
        group=plain_name(SURROGATE.sub("?", record.group or group or shown)),
        licence=licence[0],
        licence_from=licence[1],
        retrieved=origin.retrieved,
        sha256=sha256_bytes(encoded(record.text)),
        transforms=record.transforms,
    )


def _defect_in(text: str, max_chars: int) -> tuple[str, str] | None:
    """The rule a text breaks, and how; None if it is sound."""
    if len(text) > max_chars:
        return "too_long", f"{len(text)} characters, the limit is {max_chars}"
    if not text or text.isspace():
        return "empty", "no text"
    if "\0" in text:
        return "nul", f"a NUL character at character {text.index(chr(0))}"
    surrogate = SURROGATE.search(text) if not text.isascii() else None
    if surrogate:
        return "lone_surrogate", f"half of a pair, U+{ord(surrogate[0]):04X}, at character {surrogate.start()}"
    return None


def _quarantined(bad: BadRecord, document: Document, key: str = "") -> RecordStatus:
    evidence = replace(document, text="", sha256=bad.sha256 or document.sha256)
    return RecordStatus(evidence, bad.rule, bad.reason, True, key, bad.line, bad.offset, bad.num_bytes)
