"""Web pages: the main text of HTML, and archives of pages (WARC, ISO 28500), plain or as the text of a WET file.

An archive is cut into records here and each record is parsed by `warcio`, so that a broken record costs itself and not
the archive: the next line that begins a record is looked for. The URL of a page is its id, its host the group that the
held-out cut keeps on one side. Requests, metadata, redirects, errors and pictures are no documents and are passed over.
"""

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from components.stages.ingest.records import BadRecord, Record

BEGIN = b"WARC/1."
MOST_HEADER_BYTES = 1_000_000
LONGEST_PAGE = 50_000_000
"""Bytes of a record that is read: a page is needed whole."""
HTML = ("text/html", "application/xhtml+xml")


def main_text(raw: bytes) -> str | None:
    """The main text of a page (trafilatura drops menus, footers, advertisements); None if it has none."""
    import trafilatura

    text = trafilatura.extract(raw, include_comments=False, include_tables=True, deduplicate=False)
    return f"{text}\n" if text else None


def warc_records(file: Any) -> Iterator[Record | BadRecord]:
    """The pages of a decompressed archive, a record in memory at a time.

    Args:
        file: has `readline`, `read`, and `offset`, the bytes read so far.
    """
    lost = 0
    while line := file.readline(MOST_HEADER_BYTES):
        offset = file.offset - len(line)
        if not line.startswith(BEGIN):
            if line.strip() and not lost:
                lost = 1
                yield BadRecord.of(
                    "invalid_warc", "no WARC record begins here; passed over to the next", line, 0, offset
                )
            continue
        lost = 0
        yield from _record(line, offset, file)


def _record(line: bytes, offset: int, file: Any) -> Iterator[Record | BadRecord]:
    header = line
    while line.strip() and len(header) < MOST_HEADER_BYTES:
        header += (line := file.readline(MOST_HEADER_BYTES))
    length = _length(header)
    if length is None:
        yield BadRecord.of("invalid_warc", "a record without a readable Content-Length", header, 0, offset)
        return
    body = file.read(min(length, LONGEST_PAGE))
    if length > LONGEST_PAGE:
        left = length - LONGEST_PAGE
        while left and (more := file.read(min(left, 1 << 20))):
            left -= len(more)
        yield BadRecord.of("too_long", f"a record over {LONGEST_PAGE} bytes", header, 0, offset)
    elif len(body) < length:
        yield BadRecord.of("unreadable", f"the archive ends {length - len(body)} bytes too early", header, 0, offset)
    else:
        yield from _page(header + body, offset)


def _length(header: bytes) -> int | None:
    for line in header.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value) if value.strip().isdigit() else None
    return None


def _page(raw: bytes, offset: int) -> Iterator[Record | BadRecord]:
    """The document of one whole record, if it is a page."""
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.recordloader import ArcWarcRecordLoader

    try:
        record = ArcWarcRecordLoader().parse_record_stream(io.BytesIO(raw), known_format="warc")
        kind = _content_type(record)
        content = record.content_stream().read() if kind else b""
    except (ArchiveLoadFailed, EOFError, ValueError) as error:
        yield BadRecord.of("invalid_warc", f"a record that cannot be parsed: {error}", raw, 0, offset)
        return
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    if not kind or not url:
        return
    group = urlsplit(url).hostname or ""
    if kind in HTML:
        if text := main_text(content):
            yield Record(text, "", 0, offset, url, group, transforms=("html_to_text",))
        else:
            yield BadRecord.of("no_text", f"no main text was found in {url}", content, 0, offset)
        return
    try:
        yield Record(content.decode("utf-8"), "", 0, offset, url, group)
    except UnicodeDecodeError as error:
        yield BadRecord.of("invalid_utf8", f"{url}: not UTF-8 at byte {error.start} of the page", content, 0, offset)


def _content_type(record: Any) -> str:
    """`text/html` and the like of a page that was served, `text/plain` of extracted text; "" for other records."""
    headers = record.http_headers
    if record.rec_type == "conversion":
        headers = record.rec_headers
    elif record.rec_type != "response" or not headers or headers.get_statuscode() != "200":
        return ""
    kind = (headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    return kind if kind in (*HTML, "text/plain") else ""
