"""Web pages: the main text of HTML, and archives of pages (WARC, ISO 28500), plain or as the text of a WET file.

An archive is cut into records here and each record is parsed by `warcio`, so that a broken record costs itself and not
the archive: the next line that begins a record is looked for. The URL of a page is its id, its host the group that the
held-out cut keeps on one side. Requests, metadata, redirects, errors and pictures are no documents and are passed over.
"""

import codecs
import io
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from components.core.errors import clause
from components.stages.ingest.records import BadRecord, RawRecord
from components.text.opening import OpenFile

BEGIN = b"WARC/1."
MOST_HEADER_BYTES = 1_000_000
LONGEST_PAGE = 50_000_000
"""Bytes of a record that is read: a page is needed whole."""
LONG_TAG, QUOTED, MOST_ATTRIBUTES = re.compile(rb"<[a-zA-Z][^<>]{4000,}"), re.compile(rb"\"[^\"]*\"|'[^']*'"), 2000
HTML = ("text/html", "application/xhtml+xml")
CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
"""Of a Content-Type."""
DECLARED = re.compile(
    rb"<(?:meta\b[^>]{0,300}?\bcharset|\?xml\b[^>]{0,300}?\bencoding)\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE
)
DECLARED_WITHIN = 4096
"""Bytes of a page in which it declares its encoding; browsers look at 1024."""
WIDER = dict.fromkeys(("iso8859-1", "ascii"), "cp1252") | {"gb2312": "gb18030", "gbk": "gb18030"}
"""Encodings that browsers read as one which contains them (https://encoding.spec.whatwg.org)."""
NO_CHARSET = re.compile("idna|punycode|.*escape|undefined|mbcs|oem|utf-?(7|16|32).*")
"""Codecs of Python in which no page is served."""


class MainText(NamedTuple):
    """The main text of a page, and the changes that made it."""

    text: str
    transforms: tuple[str, ...]


def main_text(raw: bytes, charset: str = "") -> MainText | None:
    """The main text of a page (trafilatura drops menus, footers, advertisements); None if it has none.

    Nor has a page with a tag of thousands of attributes any: libxml2's time grows with the square of their number.

    Args:
        charset: that its server names; else the page's own counts, and without one trafilatura guesses.
    """
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is quarantined, with its name
    if any(len(QUOTED.sub(b"", tag[0]).split()) > MOST_ATTRIBUTES for tag in LONG_TAG.finditer(raw)):
        return None
    page, changes = _decoded(raw, charset)
    text = trafilatura.extract(page, include_comments=False, include_tables=True, deduplicate=False)
    return MainText(f"{text}\n", (*changes, "html_to_text")) if text else None


def _decoded(raw: bytes, charset: str) -> tuple[str | bytes, tuple[str, ...]]:
    """A page as text, and the change that names its encoding if that is not UTF-8; as it is where none is declared.

    What is UTF-8 is no text in another encoding, whatever it declares.
    """
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8"), ()
    declared = DECLARED.search(raw[:DECLARED_WITHIN])
    for name in (charset, declared[1].decode("ascii") if declared else ""):
        if codec := _codec(name):
            return raw.decode(codec, "replace"), ("from_declared_charset",)
    return raw, ("from_guessed_charset",)


def _codec(charset: str) -> str:
    """Python's name of an encoding of the web; "" if it is none."""
    with suppress(LookupError, ValueError):
        name = codecs.lookup(charset).name
        return "" if NO_CHARSET.fullmatch(name) else WIDER.get(name, name)
    return ""


def warc_records(file: OpenFile) -> Iterator[RawRecord | BadRecord]:
    """The pages of an unpacked archive, a record in memory at a time."""
    is_lost = False
    while line := file.readline(MOST_HEADER_BYTES):
        offset = file.offset - len(line)
        if line.startswith(BEGIN):
            is_lost = False
            if record := _record(line, offset, file):
                yield record
        elif line.strip() and not is_lost:
            is_lost = True
            yield BadRecord.of("invalid_warc", "no WARC record begins here; passed over to the next", line, 0, offset)


def _record(line: bytes, offset: int, file: OpenFile) -> RawRecord | BadRecord | None:
    """The page of the record that begins with a line, which is read to its end; None if it is no page."""
    lines, size = [line], len(line)
    while line.strip() and size < MOST_HEADER_BYTES:
        lines.append(line := file.readline(MOST_HEADER_BYTES))
        size += len(line)
    header = b"".join(lines)
    length = _length(header)
    if length is None:
        return BadRecord.of("invalid_warc", "a record without a readable Content-Length", header, 0, offset)
    body = file.read(min(length, LONGEST_PAGE))
    left = length - len(body)
    while left and (more := file.read(min(left, 1 << 20))):
        left -= len(more)
    if left:
        return BadRecord.of("unreadable", f"the archive ends {left} bytes too early", header, 0, offset)
    if length > LONGEST_PAGE:
        return BadRecord.of("too_long", f"a record over {LONGEST_PAGE} bytes", header, 0, offset)
    return _page(header + body, offset)


def _length(header: bytes) -> int | None:
    for line in header.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            return int(digits) if digits.isdigit() and len(digits) < 20 else None
    return None


def _page(raw: bytes, offset: int) -> RawRecord | BadRecord | None:
    """The document of one whole record; None if it is no page."""
    from warcio.recordloader import ArcWarcRecordLoader

    try:
        record = ArcWarcRecordLoader().parse_record_stream(io.BytesIO(raw), known_format="warc")
        kind, charset = _content_type(record)
        content = record.content_stream().read(LONGEST_PAGE + 1) if kind else b""  # it may unpack to any length
    except Exception as error:  # of warcio's parts; one bad record costs no other
        return BadRecord.of("invalid_warc", f"a record that cannot be parsed: {clause(error)}", raw, 0, offset)
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    if not kind or not url:
        return None
    if len(content) > LONGEST_PAGE:
        return BadRecord.of("too_long", f"a page over {LONGEST_PAGE} bytes when unpacked", raw, 0, offset)
    group = _host(url)
    if kind in HTML:
        if page := main_text(content, charset):
            return RawRecord(page.text, "", 0, offset, url, group, transforms=page.transforms)
        return BadRecord.of("no_text", f"no main text was found in {url}", content, 0, offset)
    try:
        return RawRecord(content.decode("utf-8"), "", 0, offset, url, group)
    except UnicodeDecodeError as error:
        if (codec := _codec(charset)) not in ("", "utf-8"):
            text = content.decode(codec, "replace")
            return RawRecord(text, "", 0, offset, url, group, "", ("from_declared_charset",))
        return BadRecord.of("invalid_utf8", f"{url}: not UTF-8 at byte {error.start} of the page", content, 0, offset)


def _host(url: str) -> str:
    """The host of a URL; "" of one that is none, such as `http://[`."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _content_type(record: Any) -> tuple[str, str]:
    """`text/html` and the like of a page that was served, `text/plain` of extracted text, "" of other records; and the
    encoding that the server names, if any.
    """
    headers = record.http_headers
    if record.rec_type == "conversion":
        headers = record.rec_headers
    elif record.rec_type != "response" or not headers or headers.get_statuscode() != "200":
        return "", ""
    stated = headers.get_header("Content-Type") or ""
    kind, charset = stated.partition(";")[0].strip().lower(), CHARSET.search(stated)
    return kind if kind in (*HTML, "text/plain") else "", charset[1] if charset else ""
