"""Files that strangers give, and what ingest makes of each: documents kept, and the reasons that must be listed.

They are read with `max_chars` = `MOST_CHARS`.
"""

import bz2
import gzip
import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from socket import AF_UNIX, socket

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import zstandard

MOST_CHARS = 20_000
PROSE = "The quality of mercy is not strained. It droppeth as the gentle rain from heaven upon the place beneath. "


def record(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def parquet(**columns: pa.Array | list) -> bytes:
    return as_parquet(pa.table(columns))


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def not_utf8() -> pa.Array:
    return pa.array([b"caf\xe9", b"fine"], pa.binary()).view(pa.string())


def warc(url: str, body: bytes, encoding: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{encoding}\r\n".encode()
    fields = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(head) + len(body)}"
    return fields.encode() + b"\r\n\r\n" + head + body + b"\r\n\r\n"


def good(number: int) -> bytes:
    """A page of its own."""
    return warc(f"http://a.org/good/{number}", PAGE)


def cut_zst() -> bytes:
    """An archive that breaks off in its second block."""
    packer = zstandard.ZstdCompressor().compressobj()
    blocks = packer.compress(LINES) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return (blocks + packer.compress(NOISE) + packer.flush())[:-1500]


def zip_file() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", PROSE * 20)
    return sink.getvalue()


def feather() -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"text": [PROSE]}), sink)
    return sink.getvalue()


PAGE = f"<html><body><article><p>{PROSE * 4}</p></article></body></html>".encode()
LINES = b"".join(record(text=f"{PROSE} {n}") for n in range(40))
NOISE = random.Random(7).randbytes(3000)
PARQUET = parquet(text=[f"{PROSE} {n}" for n in range(500)])
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
LICENCE = b"*** END OF THE PROJECT GUTENBERG EBOOK A ***\n"
TWO = [PROSE, PROSE + "2"]
UNREAD, NO_FORMAT, KEPT = {"unreadable"}, {"no format"}, set[str]()

# name, bytes, records kept, and the rules of bad ones or a reason for which the file is left out
CSV: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("open-quote.csv", lambda: b'id,"text\n1,' + PROSE.encode() + b"\n", 0, UNREAD),
    ("nul-header.csv", lambda: b"\0" * 5000 + b"\n1,2\n", 0, {"no column"}),
    ("long-field.csv", lambda: f'id,text\n1,"{"x" * 200_000}"\n2,{PROSE}\n'.encode(), 1, {"invalid_csv"}),
    ("wide.csv", lambda: (",".join(f"c{n}" for n in range(50_000)) + "\n").encode(), 0, {"no column"}),
    ("utf16.csv", lambda: f"id;text\n1;{PROSE}\n".encode("utf-16"), 1, KEPT),
    ("bom.csv", lambda: f"\ufefftext\n{PROSE}\n".encode(), 1, KEPT),
    ("named-twice.csv", lambda: f"text,text\n{PROSE},other\n".encode(), 0, {"2 columns"}),
    ("nul-row.csv", lambda: f"nr,text\n1,a\0{PROSE}\n2,{PROSE}\n".encode(), 1, {"nul"}),
    ("ragged.csv", lambda: f"nr,text\n1\n1,2,3\n2,{PROSE}\n".encode(), 1, {"invalid_csv"}),
    ("old-mac.csv", lambda: f"nr,text\r1,{PROSE}\r".encode(), 0, UNREAD),
    ("only-header.tsv", lambda: b"nr\ttext\n", 0, KEPT),
    ("lines-in-field.csv", lambda: f'nr,text\n1,"{PROSE}\n\n{PROSE}"\n'.encode(), 1, KEPT),
]
JSON: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("utf16.jsonl", lambda: record(text=PROSE + "é").decode().encode("utf-16"), 1, KEPT),
    ("utf32.jsonl", lambda: record(text=PROSE).decode().encode("utf-32"), 0, {"invalid_json"}),
    ("deep.json", lambda: b'{"text":' * 60_000 + b"1" + b"}" * 60_000, 0, {"invalid_json"}),
    ("digits.jsonl", lambda: b'{"text": ' + b"9" * 6000 + b"}\n" + record(text=PROSE), 1, {"invalid_json"}),
    ("wide.jsonl", lambda: record(text=PROSE, **{f"k{n}": 1 for n in range(5_000)}), 1, KEPT),
    ("side.jsonl", lambda: record(name="a", value="b" * 500) * 3, 0, {"no field"}),
    ("two-on-a-line.jsonl", lambda: record(text=PROSE)[:-1] * 2 + b"\n" + record(text=PROSE), 1, {"invalid_json"}),
    ("pretty.jsonl", lambda: json.dumps({"text": PROSE}, indent=1).encode(), 0, {"invalid_json"}),
    ("nan.jsonl", lambda: b'{"text": "' + PROSE.encode() + b'", "x": NaN, "y": -Infinity}\n', 1, KEPT),
    ("same-id.jsonl", lambda: record(text=PROSE, id=771) + record(text=PROSE, id="771"), 1, {"duplicate_id"}),
    ("odd-names~id.jsonl", lambda: b"".join(
        record(text=f"{PROSE} {n}", id=value) for n, value in enumerate(["x" * 10**5, {"a": 1}, "a\nb\x1b[2J", True])
    ), 4, KEPT),
    ("odd-names~group.jsonl", lambda: record(text=PROSE, group="\ud800\0\u202e" + "g" * 10**5), 1, KEPT),
    ("odd-names~licence.jsonl", lambda: record(text=PROSE, license="(MIT OR <b>" + "(" * 5000), 1, KEPT),
    ("scalar.json", lambda: b"5", 0, {"without a field"}),
    ("two.json", lambda: record(text=PROSE) * 2, 0, {"invalid_json"}),
    ("mixed.json", lambda: json.dumps([{"text": PROSE}, 5, None, {"text": 5}, []]).encode(), 1, {"wrong_type"}),
    ("utf16.json", lambda: record(text=PROSE).decode().encode("utf-16"), 1, KEPT),
    ("empty.json", lambda: b"", 0, {"invalid_json"}),
]  # fmt: skip
PARQUETS: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("not-utf8~id.parquet", lambda: parquet(text=TWO, id=not_utf8()), 1, {"invalid_utf8"}),
    ("not-utf8~licence.parquet", lambda: parquet(text=TWO, license=not_utf8()), 1, {"invalid_utf8"}),
    ("not-utf8~group.parquet", lambda: parquet(text=TWO, group=not_utf8()), 1, {"invalid_utf8"}),
    ("dictionary.parquet", lambda: parquet(
        text=pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([b"\xff" + PROSE.encode(), PROSE.encode()],
                                            pa.binary()).view(pa.string()))), 0, UNREAD),
    ("list.parquet", lambda: parquet(text=[[PROSE], [PROSE]]), 0, {"not text"}),
    ("struct.parquet", lambda: parquet(text=[{"a": PROSE}]), 0, {"not text"}),
    ("numbers.parquet", lambda: parquet(text=[1.5, None]), 0, {"wrong_type"}),
    ("binary.parquet", lambda: parquet(text=[PROSE.encode(), b"\xff\0"]), 1, {"invalid_utf8"}),
    ("odd-time.parquet", lambda: parquet(text=TWO, group=pa.array([2**62, 1], pa.timestamp("us"))), 2, KEPT),
    ("none.parquet", lambda: parquet(name=[PROSE]), 0, {"no column"}),
    ("no-rows.parquet", lambda: parquet(text=pa.array([], pa.string())), 0, KEPT),
    ("named-twice.parquet", lambda: as_parquet(pa.table([TWO, TWO], ["text", "text"])), 0, {"2 columns"}),
    ("wide.parquet", lambda: parquet(text=[PROSE], **{f"c{n}": [1] for n in range(3000)}), 1, KEPT),
    ("hole.parquet", lambda: PARQUET[:2000] + b"\xff" * 200 + PARQUET[2200:], 0, UNREAD),
    ("end.parquet", lambda: PARQUET[:-300], 0, UNREAD),
    ("footer.parquet", lambda: PARQUET[:-8] + b"\xff\xff\xff\x7fPAR1", 0, UNREAD),
    ("empty.parquet", lambda: b"", 0, UNREAD),
    ("renamed~csv.parquet", lambda: f"text\n{PROSE}\n".encode(), 0, UNREAD),
    ("renamed~feather.parquet", feather, 0, UNREAD),
]  # fmt: skip
PACKED: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("short.jsonl.gz", lambda: gzip.compress(LINES + NOISE)[:-1500], 40, {"invalid_utf8", "unreadable"}),
    ("short.jsonl.zst", lambda: cut_zst(), 40, UNREAD),
    ("members.jsonl.gz", lambda: gzip.compress(LINES) + gzip.compress(record(text=PROSE + "last")), 41, KEPT),
    ("padded.jsonl.gz", lambda: gzip.compress(LINES) + b"\0" * 20, 40, UNREAD),
    ("tail.jsonl.gz", lambda: gzip.compress(LINES) + b"rest of a download", 40, UNREAD),
    ("not.txt.gz", lambda: PROSE.encode(), 0, UNREAD),
    ("not.txt.zst", lambda: PROSE.encode(), 0, UNREAD),
    ("empty.txt.gz", lambda: gzip.compress(b""), 0, {"empty"}),
    ("nested.txt.gz", lambda: gzip.compress(gzip.compress(NOISE)), 0, {"invalid_utf8"}),
    ("window.jsonl.zst", lambda: zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(
        window_log=30)).compressobj().compress(b"") + b"\x28\xb5\x2f\xfd\x00\xa0" + b"\0" * 40, 0, UNREAD),
]  # fmt: skip
PAGES: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("bad-url.warc", lambda: warc("http://[", PAGE) + warc("http://a.org/x", PAGE + b"<p>2</p>"), 2, KEPT),
    ("garbage.warc", lambda: b"what\nis\nthis\n" + good(1), 1, {"invalid_warc"}),
    ("cut.warc", lambda: warc("http://a.org/", PAGE)[:-200], 0, UNREAD),
    ("no-length.warc", lambda: b"WARC/1.0\r\nWARC-Type: response\r\n\r\n" + good(2), 1, {"invalid_warc"}),
    ("odd-length~digits.warc", lambda: b"WARC/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + good(3), 1,
     {"invalid_warc"}),
    ("odd-length~huge.warc", lambda: b"WARC/1.0\r\nContent-Length: 999999999999\r\n\r\n" + good(4), 0, UNREAD),
    ("odd-length~minus.warc", lambda: b"WARC/1.0\r\nContent-Length: -5\r\n\r\n" + good(5), 1, {"invalid_warc"}),
    ("long-header.warc", lambda: b"WARC/1.0\r\n" + b"X: y\r\n" * 300_000 + b"\r\n" + good(6), 1, {"invalid_warc"}),
    ("encoding~br.warc", lambda: warc("http://a.org/", NOISE, "Content-Encoding: br\r\n") + good(7), 1, {"no_text"}),
    ("encoding~gzip.warc", lambda: warc("http://a.org/", NOISE, "Content-Encoding: gzip\r\n") + good(8), 1,
     {"no_text"}),
    ("encoding~chunked.warc", lambda: warc("http://a.org/", NOISE, "Transfer-Encoding: chunked\r\n") + good(9), 1,
     {"no_text"}),
    ("no-http.warc", lambda: b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n" + good(10), 1,
     {"invalid_warc"}),
    ("same-page.warc", lambda: good(0) * 2, 1, {"duplicate_id"}),
    ("deep.html", lambda: b"<div>" * 20_000 + PROSE.encode(), 0, {"no_text", "kept"}),
    ("laughs.xhtml", lambda: f"<!DOCTYPE x [<!ENTITY l0 'ha'>{LAUGHS}]><html><p>{PROSE * 4}&l11;</p></html>".encode(),
     0, {"no_text", "kept"}),
    ("charset.html", lambda: PAGE.replace(b"<body>", b"<meta charset=klingon><body>"), 0, {"no_text", "kept"}),
    ("script.html", lambda: b"<html><script>" + PROSE.encode() * 10, 0, {"no_text"}),
    ("attributes.html", lambda: b"<html><body " + b" ".join(b"a%d=1" % n for n in range(50_000)) + b">" + PAGE, 0,
     {"no_text", "kept"}),
    ("comment.html", lambda: b"<html><!-- " + PAGE, 0, {"no_text", "kept"}),
    ("picture.html", lambda: b"\x89PNG\r\n" + NOISE, 0, {"no_text"}),
    ("feed.html", lambda: b"<?xml version='1.0'?><rss><item>" + PROSE.encode() * 5 + b"</item></rss>", 0,
     {"no_text", "kept"}),
]  # fmt: skip
TEXTS: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("odd.txt", lambda: (PROSE * 3).encode("utf-16") + b"x", 0, {"invalid_utf16"}),
    ("utf16-unmarked.txt", lambda: (PROSE * 3).encode("utf-16-le"), 0, {"nul"}),
    ("utf32.txt", lambda: (PROSE * 3).encode("utf-32"), 0, {"nul"}),
    ("old-mac.txt", lambda: f"{PROSE}\r{PROSE}\r".encode(), 1, KEPT),
    ("nul.txt", lambda: b"\0" * 100_000, 0, {"nul"}),
    ("boms.jsonl", lambda: 2 * (b"\xef\xbb\xbf" + json.dumps({"text": PROSE}).encode() + b"\n"), 2, set()),
    ("bom.txt", lambda: b"\xef\xbb\xbf", 0, {"empty"}),
    ("spaces.md", lambda: b" \n\t" * 50_000, 0, {"empty"}),
    ("unbroken.txt", lambda: b"x" * 500_000, 75, KEPT),
    ("separators.txt", lambda: ("\u2028\u2029\x0b\x0c\x85".join([PROSE] * 4)).encode(), 1, KEPT),
    ("picture.txt", lambda: b"\x89PNG\r\n\x1a\n" + NOISE, 0, {"invalid_utf8"}),
    ("only-licence.txt", lambda: LICENCE + PROSE.encode() * 3, 0, {"empty"}),
    ("name-\udce9.txt", lambda: PROSE.encode(), 0, {"its name is not UTF-8"}),
    ("\x1b[31mred\n.txt", lambda: PROSE.encode(), 1, KEPT),
    ("odd-name~-rf $(id) %0a '\".txt", lambda: PROSE.encode() + b"1", 1, KEPT),
    ("odd-name~\u202etxt.exe\u2066\N{PILE OF POO}.txt", lambda: PROSE.encode() + b"2", 1, KEPT),
    ("long-name~" + "n" * 230 + ".txt", lambda: PROSE.encode() + b"3", 1, KEPT),
    (".hidden.txt", lambda: PROSE.encode(), 0, {"hidden"}),
    ("dump.xml", lambda: b"<mediawiki><page><text>" + PROSE.encode(), 0, NO_FORMAT),
    ("dump.xml.bz2", lambda: bz2.compress(b"<mediawiki>" + PROSE.encode()), 0, NO_FORMAT),
    ("archive.zip", zip_file, 0, NO_FORMAT),
    ("archive.tar.gz", lambda: gzip.compress(NOISE), 0, NO_FORMAT),
    ("no-suffix", lambda: PROSE.encode(), 0, NO_FORMAT),
]
TREE: dict[str, tuple[Callable[[Path], None], str]] = {
    "linked": (lambda path: path.symlink_to(path.parent, target_is_directory=True), "a link to a folder"),
    "loop.txt": (lambda path: path.symlink_to(path.name), "a link to nothing"),
    "nothing.txt": (lambda path: path.symlink_to("nowhere.txt"), "a link to nothing"),
    "outside.txt": (lambda path: path.symlink_to("/etc/passwd"), "a link that leads out"),
    "zeros.txt": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "pipe.txt": (os.mkfifo, "no regular file"),
    "socket.txt": (lambda path: socket(AF_UNIX).bind(os.path.relpath(path)), "no regular file"),
}
"""What is no file of the folder -> how it is made, and the reason for which it is left out."""
HOSTILE = CSV + JSON + PARQUETS + PACKED + PAGES + TEXTS
