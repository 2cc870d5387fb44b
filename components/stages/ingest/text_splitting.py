"""Splitting of long plain text into documents as it streams, at borders its author set.

A novel is no document to sample, shuffle or compare; a passage of some 20 kB is. Text is cut before a heading (acts and
scenes of a play), else at the first blank line after the target length, else at an end of line, else at an end of
sentence. Text that fits one document stays one.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from components.stages.ingest.records import TARGET_BYTES, BadRecord, RawRecord, without_markup
from components.text.opening import OpenFile

LONGEST = 1.5
"""Multiple of the target that no passage exceeds: it then ends at any line."""

SHORTEST_SCENE_BYTES = 2000
"""A heading starts a new passage only after this much: "ACT I." alone is none."""

SCENE = re.compile(rb"\s*(?:ACT|Act|Actus|SCENE|Scene|Sc(?:oe?|ae|e)na)\b")
"""Headings of the modern and the folio editions of Shakespeare."""

SENTENCE_END = re.compile(rb"[.!?]\s|\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f|\s")
"""Where a line without end may be cut: after a sentence (of Chinese or Japanese too), or between words."""

GUTENBERG_START = re.compile(rb"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
GUTENBERG_END = re.compile(
    rb"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|^End of (?:the )?Project Gutenberg", re.IGNORECASE
)
GUTENBERG_HEADER_LINES = 400
"""Where the start mark is looked for."""


@dataclass(frozen=True, slots=True)
class LineBytes:
    """Bytes up to and with an end of line (or a piece of an endless line), and where they start."""

    raw: bytes
    number: int
    offset: int


def lines_of(file: OpenFile, longest: int) -> Iterator[LineBytes]:
    """The lines of a file; one longer than `longest` bytes comes in pieces, cut between sentences or characters."""
    number, offset, rest = 1, 0, b""
    while True:
        raw = rest + file.readline(max(1, longest - len(rest)))
        rest = b""
        if not raw:
            return
        if not raw.endswith(b"\n") and len(raw) >= longest:
            end = _last_end(raw)
            raw, rest = raw[:end], raw[end:]
        yield LineBytes(raw, number, offset)
        offset += len(raw)
        number += raw.endswith(b"\n")


def _last_end(raw: bytes) -> int:
    """Where to cut a piece of a line: after the last sentence or word of its second half, else between characters."""
    half = len(raw) // 2
    ends = [match.end() for match in SENTENCE_END.finditer(raw, half)]
    if ends:
        return ends[-1]
    end = len(raw)
    while end > half and raw[end - 1] & 0xC0 == 0x80:  # back over continuation bytes of UTF-8
        end -= 1
    return end - 1 if end > half and raw[end - 1] >= 0xC0 else len(raw)


class GutenbergBooks:
    """Books of a file, without the header and licence that Project Gutenberg wraps around each.

    The header goes up to the first start mark, the licence from an end mark to the next start mark or the end of the
    file. `has_mark` says whether there was a mark so far.
    """

    has_mark = False

    def of(self, lines: Iterable[LineBytes]) -> Iterator[Iterator[LineBytes]]:
        """The lines of each book; all lines if there is no mark. A book must be read before the next is asked for."""
        source = iter(lines)
        rest, more = chain(self._without_header(source), source), True
        while more:
            yield self._until_end(rest)
            more = any(GUTENBERG_START.search(line.raw) for line in rest)

    def _without_header(self, source: Iterator[LineBytes]) -> Iterator[LineBytes]:
        """The first lines, if none is a start mark."""
        held: list[LineBytes] = []
        for line in islice(source, GUTENBERG_HEADER_LINES):
            held.append(line)
            if GUTENBERG_START.search(line.raw):
                self.has_mark = True
                return
        yield from held

    def _until_end(self, lines: Iterator[LineBytes]) -> Iterator[LineBytes]:
        for line in lines:
            if GUTENBERG_END.search(line.raw):
                self.has_mark = True
                return
            yield line


def passages(
    lines: Iterable[LineBytes], target_bytes: int, heading: re.Pattern[bytes] | None
) -> Iterator[list[LineBytes]]:
    """Runs of lines that make one document each; a short tail stays with the passage before it."""
    before: list[LineBytes] = []
    current: list[LineBytes] = []
    size = before_size = 0
    for line in lines:
        starts = heading is not None and size >= SHORTEST_SCENE_BYTES and heading.match(line.raw) is not None
        if current and (starts or size + len(line.raw) > LONGEST * target_bytes):
            if before:
                yield before
            before, before_size, current, size = current, size, [], 0
        current.append(line)
        size += len(line.raw)
        if size >= target_bytes and not line.raw.strip():
            if before:
                yield before
            before, before_size, current, size = current, size, [], 0
    if before and current and size < target_bytes // 4 and before_size + size <= 2 * target_bytes:
        before, current = before + current, []
    yield from (run for run in (before, current) if run)


def plain_text(
    file: OpenFile, target_bytes: int = TARGET_BYTES, heading: re.Pattern[bytes] | None = None
) -> Iterator[RawRecord | BadRecord]:
    """The documents of a plain-text file in UTF-8; `part` is "" if it is only one. An empty file is an empty record."""
    books = GutenbergBooks()
    transforms = ("cut_at_scenes" if heading else "cut_at_paragraphs",)
    number = 0
    waiting: list[LineBytes] | None = None
    for book in books.of(lines_of(file, target_bytes)):
        for run in passages(book, target_bytes, heading):
            if waiting is not None:
                number += 1
                yield _document(waiting, str(number), transforms, books.has_mark)
            waiting = run
    if waiting is not None:
        yield _document(waiting, str(number + 1) if number else "", transforms if number else (), books.has_mark)
    else:
        yield RawRecord("")


def _document(
    run: list[LineBytes], part: str, transforms: tuple[str, ...], is_gutenberg: bool
) -> RawRecord | BadRecord:
    raw, first = b"".join(line.raw for line in run), run[0]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first.number + raw.count(b"\n", 0, error.start)
        where = f"byte 0x{raw[error.start]:02x} at offset {first.offset + error.start} is not UTF-8"
        reason = f"{where}; convert the file with `iconv -f ENCODING -t utf-8`"
        return BadRecord.of("invalid_utf8", reason, raw, line, first.offset)
    if first.offset == 0 and text.startswith("\ufeff"):
        text, transforms = text[1:], ("strip_byte_order_mark", *transforms)
    if "\r" in text:
        text, transforms = text.replace("\r\n", "\n").replace("\r", "\n"), (*transforms, "unix_newlines")
    if is_gutenberg:
        transforms = (*transforms, "strip_gutenberg")
    if text != (text := without_markup(text)):
        transforms = (*transforms, "markup")
    text = re.sub(r"^(?:[ \t]*\n)+", "", text).rstrip()
    text = text + "\n" if text else ""
    return RawRecord(text, part, first.number, first.offset, transforms=transforms)
