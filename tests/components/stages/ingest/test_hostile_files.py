"""Files that strangers give: none costs another, each is named, every byte is counted, and the look agrees."""

import csv
import gzip
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from components.core.errors import UserError
from components.core.plain_text import plain_name
from components.corpus.corpus import read_corpus
from components.params import Ingest
from components.stages.ingest.readers import Options, records_of
from components.stages.ingest.records import BadRecord
from flows.planning import inspect_text
from tests.components.stages.ingest.ingest_run import run_on_files

PROSE = "The quality of mercy is not strained. It droppeth as the gentle rain from heaven upon the place beneath. "


def record(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def parquet(**columns: pa.Array | list) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def not_utf8() -> pa.Array:
    return pa.array([b"caf\xe9", b"fine"], pa.binary()).view(pa.string())


def warc(url: str, body: bytes, encoding: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{encoding}\r\n".encode()
    fields = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(head) + len(body)}"
    return fields.encode() + b"\r\n\r\n" + head + body + b"\r\n\r\n"


def cut_zst() -> bytes:
    """An archive that breaks off in its second block."""
    packer = zstandard.ZstdCompressor().compressobj()
    blocks = packer.compress(LINES) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return (blocks + packer.compress(NOISE) + packer.flush())[:-1500]


PAGE = f"<html><body><article><p>{PROSE * 4}</p></article></body></html>".encode()
LINES = b"".join(record(text=f"{PROSE} {n}") for n in range(40))
NOISE = random.Random(7).randbytes(3000)
PARQUET = parquet(text=[f"{PROSE} {n}" for n in range(500)])

# name, bytes, records kept, and the rules of bad ones or a reason for which the file is left out
HOSTILE: list[tuple[str, Callable[[], bytes], int, set[str]]] = [
    ("open-quote.csv", lambda: b'id,"text\n1,' + PROSE.encode() + b"\n", 0, {"unreadable"}),
    ("nul-header.csv", lambda: b"\0" * 5000 + b"\n1,2\n", 0, {"no column"}),
    ("long-field.csv", lambda: f'id,text\n1,"{"x" * 200_000}"\n2,{PROSE}\n'.encode(), 1, {"invalid_csv"}),
    ("wide.csv", lambda: (",".join(f"c{n}" for n in range(50_000)) + "\n").encode(), 0, {"no column"}),
    ("utf16.csv", lambda: f"id;text\n1;{PROSE}\n".encode("utf-16"), 1, set()),
    ("utf16.jsonl", lambda: record(text=PROSE + "é").decode().encode("utf-16"), 1, set()),
    ("odd.txt", lambda: (PROSE * 3).encode("utf-16") + b"x", 0, {"invalid_utf16"}),
    ("id.parquet", lambda: parquet(text=[PROSE, PROSE + "2"], id=not_utf8()), 1, {"invalid_utf8"}),
    ("licence.parquet", lambda: parquet(text=[PROSE, PROSE + "2"], license=not_utf8()), 1, {"invalid_utf8"}),
    ("group.parquet", lambda: parquet(text=[PROSE, PROSE + "2"], group=not_utf8()), 1, {"invalid_utf8"}),
    ("list.parquet", lambda: parquet(text=[[PROSE], [PROSE]]), 0, {"wrong_type"}),
    ("none.parquet", lambda: parquet(name=[PROSE]), 0, {"no column"}),
    ("wide.parquet", lambda: parquet(text=[PROSE], **{f"c{n}": [1] for n in range(3000)}), 1, set()),
    ("hole.parquet", lambda: PARQUET[:2000] + b"\xff" * 200 + PARQUET[2200:], 0, {"unreadable"}),
    ("end.parquet", lambda: PARQUET[:-300], 0, {"unreadable"}),
    ("empty.parquet", lambda: b"", 0, {"unreadable"}),
    ("short.jsonl.gz", lambda: gzip.compress(LINES + NOISE)[:-1500], 40, {"invalid_utf8", "unreadable"}),
    ("short.jsonl.zst", lambda: cut_zst(), 40, {"unreadable"}),
    ("not.txt.gz", lambda: PROSE.encode(), 0, {"unreadable"}),
    ("not.txt.zst", lambda: PROSE.encode(), 0, {"unreadable"}),
    ("empty.txt.gz", lambda: gzip.compress(b""), 0, {"empty"}),
    ("deep.jsonl", lambda: b"[" * 100_000 + b"\n" + record(text=PROSE), 1, {"invalid_json"}),
    ("deep.json", lambda: b'{"text":' * 60_000 + b"1" + b"}" * 60_000, 0, {"invalid_json"}),
    ("digits.jsonl", lambda: b'{"text": ' + b"9" * 6000 + b"}\n" + record(text=PROSE), 1, {"invalid_json"}),
    ("wide.jsonl", lambda: record(text=PROSE, **{f"k{n}": 1 for n in range(5_000)}), 1, set()),
    ("side.jsonl", lambda: record(name="a", value="b" * 500) * 3, 0, {"no field"}),
    ("long.jsonl", lambda: b'{"text": "' + b"x" * 300_000 + b'"}\n' + record(text=PROSE), 1, {"too_long"}),
    ("bad-url.warc", lambda: warc("http://[", PAGE) + warc("http://a.org/x", PAGE + b"<p>2</p>"), 2, set()),
    ("garbage.warc", lambda: b"what\nis\nthis\n" + warc("http://a.org/", PAGE), 1, {"invalid_warc"}),
    ("cut.warc", lambda: warc("http://a.org/", PAGE)[:-200], 0, {"unreadable"}),
    ("no-length.warc", lambda: b"WARC/1.0\r\nWARC-Type: response\r\n\r\n", 0, {"invalid_warc"}),
    ("deep.html", lambda: b"<div>" * 20_000 + PROSE.encode(), 0, {"no_text", "kept"}),
    ("nul.txt", lambda: b"\0" * 100_000, 0, {"nul"}),
    ("surrogate.jsonl", lambda: b'{"text": "\\udfff ' + PROSE.encode() + b'"}\n', 0, {"lone_surrogate"}),
    ("name-\udce9.txt", lambda: PROSE.encode(), 0, {"its name is not UTF-8"}),
    ("\x1b[31mred\n.txt", lambda: PROSE.encode(), 1, set()),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, a good file, and what is no file."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "good.jsonl").write_bytes(b"".join(record(text=f"{PROSE} good {n}") for n in range(100)))
    for name, content, _, _ in HOSTILE:
        (folder / name).write_bytes(content())
    (folder / "elsewhere").mkdir()
    (folder / "linked").symlink_to(folder / "elsewhere", target_is_directory=True)
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "nothing.txt").symlink_to("nowhere.txt")
    os.mkfifo(folder / "pipe.txt")
    return folder


@pytest.fixture(scope="module")
def finished(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of ingest on that folder."""
    return run_on_files(hostile, tmp_path_factory.mktemp("run"), max_chars=20_000)[1]


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "reports/details" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "kept", "reasons"), [(name, kept, why) for name, _, kept, why in HOSTILE])
def test_each_costs_itself_only_and_is_listed_with_a_reason(
    finished: Path, name: str, kept: int, reasons: set[str]
) -> None:
    shown = plain_name(name.replace("\udce9", "?"))
    documents = [one for part in ("train", "heldout") for one in read_corpus(finished / "data" / part)]
    found = [one for one in documents if one.location.split("#")[0] == shown]
    listed = {row["rule"] for row in table(finished, "quarantine") if row["file"] == shown}
    listed |= {row["reason"] for row in table(finished, "skipped") if row["file"] == shown}
    if "kept" in reasons:
        assert found or listed
        return
    assert len(found) == kept
    assert bool(reasons) == bool(listed)
    assert all(any(reason in entry for entry in listed) for reason in reasons)
    assert all(len(entry) < 700 and "\0" not in entry for entry in listed)


def test_every_byte_of_every_file_is_kept_dropped_quarantined_or_cut_by_a_rule(hostile: Path, finished: Path) -> None:
    rows = {
        row["file"]: {key: int(row[key]) for key in row if key not in ("source", "file")}
        for row in table(finished, "bytes")
    }
    cut: dict[str, int] = {}
    for row in table(finished, "cut"):
        assert row["rule"]
        cut[row["file"]] = cut.get(row["file"], 0) + int(row["bytes"])
    for name, row in rows.items():
        assert row["bytes"] == row["kept"] + row["dropped"] + row["quarantined"] + row["cut"]
        assert row["cut"] == cut.get(name, 0)
        whole = Path(name).suffix not in (".gz", ".zst", ".parquet") and "utf16" not in name and name != "odd.txt"
        skipped = any(entry["file"] == name for entry in table(finished, "skipped"))
        real = "\x1b[31mred\n.txt" if name.endswith("red\\n.txt") else name
        assert not whole or skipped or row["bytes"] == (hostile / real).stat().st_size
    assert len(rows) >= len(HOSTILE)


def test_what_is_no_file_is_listed(finished: Path) -> None:
    reasons = {row["file"]: row["reason"] for row in table(finished, "skipped")}
    assert reasons["linked"] == "a link to a folder, which is not followed"
    assert reasons["loop.txt"] == reasons["nothing.txt"] == "a link to nothing"
    assert reasons["pipe.txt"] == "no regular file"


def test_the_look_before_a_run_goes_on_and_names_what_is_not_read(hostile: Path) -> None:
    own = inspect_text.look(str(hostile), Ingest(max_chars=20_000))
    assert own.text_field == "text"
    assert "more reasons" in own.not_read


@pytest.mark.parametrize("name", [name for name, _, _, _ in HOSTILE if "\udce9" not in name])
def test_the_look_at_each_alone_agrees_with_ingest(hostile: Path, tmp_path: Path, name: str) -> None:
    """It says that nothing would be kept, or plans a run: no traceback."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / name).symlink_to(mine / f"0{name}")
    (mine / f"0{name}").write_bytes((hostile / name).read_bytes())
    kept = next(count for other, _, count, _ in HOSTILE if other == name)
    field, problem = "text", ""
    try:
        field = inspect_text.look(str(mine), Ingest(max_chars=20_000)).text_field
    except UserError as error:
        problem = str(error)
    assert problem.startswith("DATA=") or kept or field != "text" or name == "deep.html"
    assert not (problem and kept) or "no field" in problem


def test_the_field_is_decided_by_all_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,value\n" + f"mercy,{'x' * 200_000}\n" * 3)
    (tmp_path / "b.jsonl").write_bytes(record(text=PROSE, note="y" * 500))
    assert inspect_text.look(str(tmp_path), Ingest()).text_field == "text"
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "a.csv").write_text(f"name,value\nmercy,{'x' * 200}\n")
    (tmp_path / "c.csv").write_text(f"id;story\n1;{PROSE * 90}\n")
    (tmp_path / "d.csv").write_bytes(f"id;story\n1;{PROSE}\n".encode("utf-16"))
    assert inspect_text.look(str(tmp_path), Ingest()).text_field == "story"


def test_a_page_that_unpacks_to_any_length_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.stages.ingest.web_pages.LONGEST_PAGE", 100_000)
    bomb = tmp_path / "bomb.warc"
    packed = gzip.compress(b"<p>x</p>" * 1_000_000)
    bomb.write_bytes(warc("http://a.org/", packed, "Content-Encoding: gzip\r\n"))
    (bad,) = records_of(bomb, "warc", Options())
    assert isinstance(bad, BadRecord)
    assert (bad.rule, bad.num_bytes) == ("too_long", bomb.stat().st_size - 4)


def test_a_file_that_changes_while_it_is_read_is_bad_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "good.jsonl").write_bytes(LINES)
    (mine / "log.txt").write_text(PROSE)
    from components.stages.ingest import file_reading

    read = file_reading.records_of

    def while_it_grows(path: Path, *others: object) -> object:
        if path.name == "log.txt":
            path.write_text(PROSE * 2)
        return read(path, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(file_reading, "records_of", while_it_grows)
    report, out = run_on_files(mine, tmp_path)
    (row,) = table(out, "quarantine")
    assert (row["file"], row["rule"]) == ("log.txt", "unreadable")
    assert "changed while it was read" in row["reason"]
    assert report.metrics["documents/kept"] == 40
