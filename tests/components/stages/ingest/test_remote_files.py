"""Sources on other file systems, archives of web pages, and going on after a kill."""

import gzip
import io
import os
from pathlib import Path

import fsspec
import numpy
import pytest
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from components.corpus.corpus import read_manifest
from components.params import Files, Ingest
from tests.components.killed import killed_when
from tests.components.real_text import tree
from tests.components.stages.ingest.ingest_run import (
    documents,
    lines_of,
    run_ingest,
    run_on_files,
)
from tests.errors import refused, refuses

DOCS = sorted(Path(numpy.__file__).parent.glob("ma/*.py"))
TEXT = "\n\n".join(path.read_text() for path in DOCS)
LINES = [line for line in TEXT.splitlines() if len(line) > 60]


def remote(address: str, revision: str = "", **more: str) -> Ingest:
    return Ingest(sources=[Files(path=address, revision=revision, **more)], max_quarantine=1.0)


# -- fsspec ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> str:
    """A bucket in memory: a plain file, a compressed one, one below a folder, one of another kind."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pipe("/bucket/a.txt", TEXT[:900].encode())
    system.pipe("/bucket/b.jsonl.gz", gzip.compress(lines_of(*LINES[:20]).encode()))
    system.pipe("/bucket/deep/c.md.zst", zstandard.compress(TEXT[2000:2900].encode()))
    system.pipe("/bucket/picture.png", b"\x89PNG")
    return "memory://bucket"


def revision_of(address: str, tmp_path: Path) -> str:
    with refused("remote_files.listing.3", "params.yaml", "revision") as error:
        run_ingest(remote(address), tmp_path, "ask")
    return str(error.value).split("revision: ")[1][:16]


def test_a_bucket_is_read_like_a_folder(bucket: str, tmp_path: Path) -> None:
    report, out = run_ingest(remote(bucket, revision_of(bucket, tmp_path)), tmp_path)
    found = documents(out)
    assert {name.split("#")[0] for name in found} == {"a.txt", "b.jsonl.gz", "deep/c.md.zst"}
    assert found["b.jsonl.gz#3"].text == LINES[2]
    assert report.facts["sources"]["files"]["files_skipped"] == {".png is no format that ingest reads": 1}
    local = tmp_path / "local"
    fsspec.filesystem("memory").get("/bucket/", str(local), recursive=True)
    _, same = run_on_files(local, tmp_path, "local-run", max_chars=2_000_000)
    assert tree(out / "data") == tree(same / "data")
    assert not list((tmp_path / "run-work").rglob("*.txt")), "copies are removed"


def test_what_changed_there_is_refused(bucket: str, tmp_path: Path) -> None:
    revision = revision_of(bucket, tmp_path)
    fsspec.filesystem("memory").pipe("/bucket/a.txt", TEXT[:800].encode())
    refuses(lambda: run_ingest(remote(bucket, revision), tmp_path), "remote_files.listing.3", f"revision {revision}")


def test_a_file_address_and_one_that_is_nowhere(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(lines_of(*LINES[:30]))
    address = f"file://{tmp_path}/one.jsonl"
    _, out = run_ingest(remote(address, revision_of(address, tmp_path)), tmp_path)
    assert len(documents(out)) == 30
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in out.rglob("*.json"))
    with refused("remote_files.listing.2", "memory://nowhere"):
        run_ingest(remote("memory://nowhere"), tmp_path, "nowhere")
    with refused("remote_files.listing.1", "ftpx://host/x", "Protocol not known"):
        run_ingest(remote("ftpx://host/x"), tmp_path, "unknown")


# -- WARC --------------------------------------------------------------------------------------------------------------


def archive(gzipped: bool) -> bytes:
    """Pages of three hosts, what is no page, a page of plain text and one without text."""
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=gzipped)
    html = "<html><head><title>T</title></head><body><nav>Menu Home</nav><article><p>{}</p></article></body></html>"
    pages = [
        ("https://a.example/1", "text/html; charset=utf-8", html.format("</p><p>".join(LINES[:12])), "200 OK"),
        ("https://c.example/2", "text/html", html.format("</p><p>".join(LINES[12:24])), "200 OK"),
        ("https://b.example/gone", "text/html", html.format("not found " * 40), "404 Not Found"),
        ("https://b.example/x.png", "image/png", "PNG", "200 OK"),
        ("https://b.example/plain", "text/plain", "\n".join(LINES[24:30]), "200 OK"),
        ("https://b.example/empty", "text/html", "<html></html>", "200 OK"),
    ]
    for url, kind, body, status in pages:
        headers = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
        writer.write_record(writer.create_warc_record(url, "response", io.BytesIO(body.encode()), http_headers=headers))
    writer.write_record(writer.create_warc_record("https://a.example/1", "metadata", io.BytesIO(b"x: y")))
    return stream.getvalue()


@pytest.mark.parametrize("gzipped", [True, False])
def test_pages_of_an_archive(gzipped: bool, mine: Path, tmp_path: Path) -> None:
    name = "crawl.warc.gz" if gzipped else "crawl.warc"
    (mine / name).write_bytes(archive(gzipped))
    report, out = run_on_files(mine, tmp_path)
    found = documents(out)
    assert {place: one.group for place, one in found.items()} == {
        f"{name}#id=https://a.example/1": "a.example",
        f"{name}#id=https://c.example/2": "c.example",
        f"{name}#id=https://b.example/plain": "b.example",
    }
    first = found[f"{name}#id=https://a.example/1"].text
    assert " ".join(LINES[0].split()) in first
    assert "Menu" not in first
    assert report.facts["sources"]["files"]["quarantined"] == {"no_text": 1}


def test_the_encoding_that_a_server_names_is_the_page_s(tmp_path: Path) -> None:
    stream, text = io.BytesIO(), "très bœuf, fenêtre où naïve Noël. " * 8
    page = f"<html><body><article><p>{text}</p></article></body></html>"
    writer = WARCWriter(stream, gzip=False)
    for number, (kind, body) in enumerate([("text/html", page), ("text/plain", text.strip() + "\n")]):
        headers = StatusAndHeaders("200 OK", [("Content-Type", f"{kind}; charset=ISO-8859-1")], protocol="HTTP/1.1")
        content = io.BytesIO(body.encode("cp1252"))
        writer.write_record(
            writer.create_warc_record(f"https://a.example/{number}", "response", content, http_headers=headers)
        )
    (tmp_path / "crawl.warc").write_bytes(stream.getvalue())
    _, out = run_on_files(tmp_path / "crawl.warc", tmp_path)
    found = list(documents(out).values())
    assert [one.text for one in found] == [text.strip() + "\n"] * 2
    assert all("from_declared_charset" in one.transforms for one in found)


def test_an_archive_s_url_can_be_opted_out(tmp_path: Path) -> None:
    (tmp_path / "crawl.warc").write_bytes(archive(False))
    (tmp_path / "opt_out.txt").write_text("location: https://a.example/\nlocation: https://b.example/nothing\n")
    report, out = run_on_files(tmp_path / "crawl.warc", tmp_path)
    assert report.facts["sources"]["files"]["dropped"] == {"opted_out": 1}
    assert not any("a.example" in name for name in documents(out))


# -- resuming ----------------------------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from components.stages.ingest import ingest_pass
from components.stages.ingest.stage import ingest
from components.params import Files, Ingest
ingest_pass.RESUMED_BYTES = 0
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
settings = Ingest(sources=[Files(path=str(folder))], watch=str(folder))
ingest(root=out.parent, params=settings, out=out / "data", reports=out / "reports", work=out.parent / "kept-work")
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL when some files are read; they are then emptied, and the next run does not miss them."""
    for number in range(40):
        (mine / f"f{number:02}.jsonl").write_text(lines_of(*(f"{number} {line}" for line in LINES[:700])))
    monkeypatch.setattr("components.stages.ingest.ingest_pass.RESUMED_BYTES", 0)
    settings = Ingest(sources=[Files(path=str(mine))], watch=str(mine))
    _, whole = run_ingest(settings, tmp_path, "whole")
    (tmp_path / "first" / "data").mkdir(parents=True)
    spool = tmp_path / "kept-work" / "spool"
    killed_when(lambda: len(list(spool.glob("*.json"))) >= 5, KILLED, mine, tmp_path / "first")
    done = len(list(spool.glob("*.json")))
    assert 5 <= done < 40
    for number in range(done):
        os.truncate(mine / f"f{number:02}.jsonl", 0)
    _, resumed = run_ingest(settings, tmp_path, "kept")
    assert tree(resumed) == tree(whole)
    assert read_manifest(resumed / "data/train").num_documents > 40 * 600
    assert not spool.exists()
