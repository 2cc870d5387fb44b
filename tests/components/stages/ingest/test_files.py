"""One's own files: formats, encodings, compression, long texts, other languages, and what is left out."""

import csv
import gzip
import json
import os
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from components.corpus.corpus import read_corpus, read_manifest
from components.lineage.documents import SKIPPED, query_of
from components.params import Files, Ingest, LicencePolicy
from components.stages.ingest.licences import normalise
from components.stages.ingest.stage import dry_run
from tests.components.real_text import tree
from tests.components.stages.ingest.ingest_run import documents, lines_of, run_ingest, run_on_files
from tests.errors import refused, refuses
from tests.progress_recorder import Recorder

DOCS = sorted(Path(numpy.__file__).parent.glob("ma/*.py"))
PROSE = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want. "


def real_text(num_bytes: int) -> str:
    """Real prose and code of an installed package, with blank lines between paragraphs."""
    text = "".join(path.read_text() for path in DOCS)
    assert len(text) > num_bytes
    return text[:num_bytes]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with a file of every format, plain and compressed, and some that are no text."""
    folder = tmp_path / "mine"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / "a.txt").write_text(PROSE + "plain")
    (folder / "sub" / "b.md.gz").write_bytes(gzip.compress((PROSE + "markdown").encode()))
    (folder / "c.rst.zst").write_bytes(zstandard.compress((PROSE + "rst").encode()))
    (folder / "d.jsonl").write_text("".join(json.dumps({"text": f"{PROSE} row {n}"}) + "\n" for n in range(3)))
    (folder / "e.csv").write_text(f'id;text\nx;"{PROSE} semicolons"\n')
    pq.write_table(pa.table({"text": [PROSE + "parquet"], "license": ["mit"]}), folder / "f.parquet")
    (folder / "g.json").write_text(json.dumps([{"text": PROSE + "json", "id": 7}]))
    page = f"<html><head><title>T</title></head><body><nav>Menu Home About</nav><article><p>{PROSE * 5}</p></article>"
    (folder / "h.html").write_text(page + "<footer>All rights reserved</footer></body></html>")
    (folder / "settings.json").write_text('{"name": "no text"}')
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "sub" / ".git" / "config.txt").write_text(PROSE)
    outside = tmp_path / "secret.txt"
    outside.write_text(PROSE)
    os.symlink(outside, folder / "link.txt")
    return folder


def test_every_format_is_read_and_what_is_not_is_listed(mixed: Path, tmp_path: Path) -> None:
    report, out = run_on_files(mixed, tmp_path, source={"licence": "cc-by-4.0", "retrieved": "2026-01-02"})
    found = documents(out)
    names = "a.txt sub/b.md.gz c.rst.zst d.jsonl#1 d.jsonl#2 d.jsonl#3 e.csv#id=x f.parquet#1 g.json#id=7 h.html"
    assert set(found) == set(names.split())
    assert found["sub/b.md.gz"].text == PROSE + "markdown\n"
    assert "Menu" not in found["h.html"].text
    assert found["h.html"].transforms == ("html_to_text",)
    assert (found["a.txt"].licence, found["a.txt"].licence_from) == ("CC-BY-4.0", "params")
    assert (found["f.parquet#1"].licence, found["f.parquet#1"].licence_from) == ("MIT", "record field")
    assert {document.retrieved for document in found.values()} == {"2026-01-02"}
    assert all(document.source_version.startswith("sha256:") for document in found.values())
    assert report.facts["sources"]["files"]["files_skipped"] == {
        ".png is no format that ingest reads": 1,
        "JSON without a field 'text'; see text_field": 1,
        "a link that leads out of the folder": 1,
        "hidden": 1,
    }
    with (out / "reports/details/skipped.csv").open() as file:
        sizes = {row["file"]: int(row["bytes"]) for row in csv.DictReader(file)}
    on_disk = ("picture.png", "sub/.git/config.txt", "link.txt")
    assert {name: sizes[name] for name in on_disk} == {name: (mixed / name).lstat().st_size for name in on_disk}


def test_a_table_without_the_text_column_is_left_out_whole_and_said(mine: Path, tmp_path: Path) -> None:
    """50 rows of it were in no count, and the terminal said nothing."""
    (mine / "a.txt").write_text(PROSE * 60)
    (mine / "odd.csv").write_text("Body Text;author\n" + "words of a row;somebody\n" * 50)
    told = Recorder()
    _, out = run_on_files(mine, tmp_path, progress=told)
    size = (mine / "odd.csv").stat().st_size
    assert told.lines[0].startswith(
        f"files: 1 file left out whole ({size:,} bytes), the largest odd.csv: no column 'text'"
    )
    skipped = out / "reports/details/skipped.csv"
    assert f",{size}" in skipped.read_text()
    refuses(lambda: query_of("odd.csv", {SKIPPED: skipped}.get), "documents.query_of.1", "odd.csv", "'text'")


def test_no_absolute_path_and_the_same_bytes_for_any_number_of_workers(mine: Path, tmp_path: Path) -> None:
    for number in range(6):
        lines = [json.dumps({"text": f"{number} {n} {real_text(2500)}", "id": f"{number % 5}-{n}"}) for n in range(500)]
        (mine / f"{number}.jsonl").write_text("\n".join(lines) + "\nbroken\n")
    passage = " ".join(["3 17", *real_text(500).split()[:20]])
    (tmp_path / "opt_out.txt").write_text(f"passage: {passage}\nlocation: 1.jsonl#id=1-7\n")
    report, one = run_on_files(mine, tmp_path, "one", 1, max_chars=5000, shard_megabytes=1.0)
    facts = report.facts["sources"]["files"]
    assert (facts["kept"], facts["dropped"]) == (2998, {"opted_out": 2}), "ids are of their file"
    _, three = run_on_files(mine, tmp_path, "three", 3, max_chars=5000, shard_megabytes=1.0)
    assert tree(one) == tree(three)
    assert read_manifest(one / "data/train").num_bytes > 5_500_000
    for path in one.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_a_file_larger_than_a_piece_goes_through_the_work_folder(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps({"text": f"{n} {PROSE}", "id": n}) for n in range(300)]
    odd = json.dumps({"text": PROSE, "id": "half a pair: \ud800"})
    (mine / "big.jsonl").write_text("\n".join([*lines[:100], "broken", *lines[100:], lines[5], odd]))
    _, whole = run_on_files(mine, tmp_path, "whole")
    monkeypatch.setattr("components.stages.ingest.file_reading.PIECE_BYTES", 5000)
    _, pieces = run_on_files(mine, tmp_path, "pieces")
    assert tree(whole) == tree(pieces)
    assert not list((tmp_path / "pieces-work").rglob("*.*"))


def test_a_corpus_of_one_text_file_has_a_heldout_set(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    text = real_text(150_000)
    book.write_text(text)
    report, out = run_on_files(book, tmp_path, max_chars=100_000)
    assert 0.04 < report.metrics["heldout_share"] < 0.1
    assert report.facts["sources"]["files"]["heldout_works_cut"] == 1
    assert "WARNING: files: the held-out set is tiny" in report.markdown
    found = documents(out)
    assert [d.location for d in read_corpus(out / "data" / "heldout")] == list(found)[-2:]
    assert len(found) > 30
    assert list(found) == [f"book.txt#{n}" for n in range(1, len(found) + 1)]
    joined = "".join(found[f"book.txt#{n}"].text for n in range(1, len(found) + 1))
    assert joined.split() == text.split()
    assert {document.transforms for document in found.values()} == {("cut_at_paragraphs",)}


@pytest.mark.parametrize(
    "sentence", ["道可道，非常道。名可名，非常名。無名天地之始；", "كان يا ما كان في الزمان. ", "Жили-были старик. "]
)
def test_text_in_other_scripts_even_without_spaces_or_lines(tmp_path: Path, sentence: str) -> None:
    book = tmp_path / "book.txt"
    text = "".join(sentence + str(n) for n in range(3000))
    book.write_text(text, encoding="utf-8")
    report, out = run_on_files(book, tmp_path, max_chars=100_000)
    found = documents(out)
    assert report.metrics["documents/quarantined"] == 0
    assert len(found) > 10
    joined = "".join(found[f"book.txt#{n}"].text.rstrip("\n") for n in range(1, len(found) + 1))
    assert "".join(joined.split()) == "".join(text.split())


def test_windows_text_is_read_and_the_changes_named(mine: Path, tmp_path: Path) -> None:
    (mine / "utf16.txt").write_bytes((PROSE + "\r\nsecond line").encode("utf-16"))
    (mine / "bom.txt").write_bytes(b"\xef\xbb\xbf" + PROSE.encode() + b"\r\nsecond line")
    _, out = run_on_files(mine, tmp_path)
    found = documents(out)
    assert {document.text for document in found.values()} == {PROSE + "\nsecond line\n"}
    assert found["utf16.txt"].transforms == ("from_utf16", "unix_newlines")
    assert found["bom.txt"].transforms == ("strip_byte_order_mark", "unix_newlines")


def test_every_gutenberg_book_of_a_file_is_kept(mine: Path, tmp_path: Path) -> None:
    header = "Title: Faust {0}\n*** START OF THE PROJECT GUTENBERG EBOOK FAUST {0} ***\n"
    footer = "*** END OF THE PROJECT GUTENBERG EBOOK FAUST {0} ***\n" + "Updated editions replace this one.\n" * 500
    books = [f"{number} {PROSE * size}\n\n" for number, size in ((1, 300), (2, 1), (3, 300))]
    wrapped = [header.format(n) + text + footer.format(n) for n, text in enumerate(books, 1)]
    (mine / "faust.txt").write_text("".join(wrapped))
    (mine / "faust16.txt").write_text("".join(wrapped[:2]), encoding="utf-16")
    (mine / "own.txt").write_text(PROSE + "no book")
    licence = "End of Project Gutenberg's X\n" + "Redistribution is subject to the licence.\n" * 600
    (mine / "end-near-the-top.txt").write_text(PROSE + "\n" + licence)
    _, out = run_on_files(mine, tmp_path)
    found = documents(out)
    parts = [found[f"faust.txt#{n}"].text for n in range(1, sum(name.startswith("faust.txt") for name in found) + 1)]
    assert "".join(parts).split() == "".join(books).split()
    assert any(part.strip() == books[1].strip() for part in parts)  # no document holds text of two books
    assert all(one.transforms[-1] == "strip_gutenberg" for name, one in found.items() if name.startswith("faust"))
    assert found["own.txt"].transforms == ()
    assert found["end-near-the-top.txt"].text == PROSE.strip() + "\n"


def test_a_size_limit_stops_reading_and_counts_what_is_over(mine: Path, tmp_path: Path) -> None:
    for number in range(20):
        (mine / f"{number:02}.jsonl").write_text(lines_of(*(f"{number} {n} {PROSE}" for n in range(100))))
    report, out = run_on_files(mine, tmp_path, source={"max_megabytes": 0.03})
    facts = report.facts["sources"]["files"]
    assert 30_000 <= facts["kept_bytes"] < 30_300
    assert facts["files"] + facts["files_not_read"] == 20
    assert facts["files"] == 3
    assert read_manifest(out / "data/dropped").facts["rules"] == {"over_limit": facts["dropped"]["over_limit"]}
    assert facts["documents_in"] == facts["kept"] + facts["dropped"]["over_limit"]


@pytest.mark.parametrize(("limit", "shares"), [(0.0, [0.9, 0.95, 1.0]), (0.05, [1.0]), (1.0, [0.9, 0.95, 1.0])])
def test_progress_goes_by_bytes(tmp_path: Path, limit: float, shares: list[float]) -> None:
    """A first file of nine tenths of the bytes was a third of the work."""
    mine, progress = tmp_path / "mine", Recorder()
    mine.mkdir()
    for name, count in (("a", 900), ("b", 50), ("d", 50)):  # in the order of the names' hash too
        (mine / f"{name}.jsonl").write_text(lines_of(*(f"{n:03} {PROSE}" for n in range(count))))
    run_on_files(mine, tmp_path, source={"max_megabytes": limit}, progress=progress)
    ((total, unit),) = progress.totals
    size = sum(path.stat().st_size for path in mine.iterdir())
    assert (unit, total) == ("bytes", 50_000 if limit == 0.05 else size)
    assert [round(done / total, 2) for done in progress.done] == shares


@pytest.mark.parametrize(("limit", "is_whole"), [(0.03, False), (1, True)])
def test_a_file_that_is_read_up_to_a_limit_is_named(tmp_path: Path, limit: float, is_whole: bool) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(lines_of(*(f"{n} {PROSE}" for n in range(1000))))
    report, _ = run_on_files(mine, tmp_path, source={"max_megabytes": limit})
    assert report.facts["sources"]["files"]["files_in_part"] == (not is_whole)
    told = "files: full at its limit: of mine.jsonl only the beginning was read."
    assert (told in report.markdown) == (not is_whole)


def test_a_jsonl_whose_text_begins_late_is_read(mine: Path, tmp_path: Path) -> None:
    headers = "".join(json.dumps({"header": n}) + "\n" for n in range(25))
    (mine / "late.jsonl").write_text(headers + lines_of(*(f"{n} {PROSE}" for n in range(60))))
    (mine / "none.jsonl").write_text(headers)
    report, _ = run_on_files(mine, tmp_path)
    facts = report.facts["sources"]["files"]
    assert (facts["kept"], facts["quarantined"]) == (60, {"missing_field": 25})
    assert sum(facts["files_skipped"].values()) == 1


def test_the_encoding_that_a_page_declares_is_its_own(tmp_path: Path) -> None:
    mine, text = tmp_path / "mine", "Café déjà vu, naïve résumé, très bœuf. " * 6
    mine.mkdir()
    for name, head, codec in [
        ("meta", "<meta charset='iso-8859-1'>", "cp1252"),
        ("equiv", '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">', "cp1252"),
        ("wrong", "<meta charset='iso-8859-1'>", "utf-8"),
        ("unknown", "<meta charset='rot13'>", "utf-8"),
        ("none", "", "utf-8"),
        ("guess", "", "cp1252"),
    ]:
        page = f"<html><head>{head}<title>T</title></head><body><article><p>{text}</p></article></body></html>"
        (mine / f"{name}.html").write_bytes(page.encode(codec))
    _, out = run_on_files(mine, tmp_path)
    found = documents(out)
    guess = found.pop("guess.html")
    assert {one.text for one in found.values()} == {text.strip() + "\n"}
    own = ("from_declared_charset", "html_to_text")
    assert {name: one.transforms for name, one in found.items() if one.transforms != ("html_to_text",)} == {
        "meta.html": own,
        "equiv.html": own,
    }
    assert guess.transforms == ("from_guessed_charset", "html_to_text")


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [
        (LicencePolicy(deny=["GPL-3.0-only"]), 3, 1),
        (LicencePolicy(allow=["MIT"], unknown="drop"), 2, 2),
        (LicencePolicy(unknown="drop"), 3, 1),
    ],
)
def test_the_licence_policy_holds(tmp_path: Path, policy: LicencePolicy, kept: int, dropped: int) -> None:
    rows = [("mit", 0), ("GPL-3.0-only", 1), ("MIT OR GPL-3.0-only", 2), ("who knows", 3)]
    mine = tmp_path / "rows.jsonl"
    mine.write_text("\n".join(json.dumps({"text": f"{PROSE} {n}", "license": name}) for name, n in rows))
    report, out = run_on_files(mine, tmp_path, licences=policy)
    assert (report.metrics["documents/kept"], report.metrics["documents/dropped"]) == (kept, dropped)
    assert read_manifest(out / "data/dropped").facts["rules"] == {"licence": dropped}
    with (out / "reports/details/licences.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (sum(int(row["kept"]) for row in rows), sum(int(row["refused"]) for row in rows)) == (kept, dropped)
    refused = {row["licence"] for row in rows if row["refused"] == "1"}
    assert refused <= {"GPL-3.0-only", "NOASSERTION"}
    assert f"unknown (NOASSERTION): {policy.unknown}." in report.markdown


@pytest.mark.parametrize(
    ("written", "spdx"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC-BY 4.0", "CC-BY-4.0"),
        ("CC BY-SA 3.0", "CC-BY-SA-3.0"),
        ("cc by-nc-nd 4.0 International", "CC-BY-NC-ND-4.0"),
        ("CC0 1.0", "CC0-1.0"),
        ("CC BY", "NOASSERTION"),
        ("CC BY 3.0 DE", "NOASSERTION"),
        ("CC BY 9.9", "NOASSERTION"),
        ("my own licence", "NOASSERTION"),
    ],
)
def test_common_spellings_of_creative_commons_are_their_spdx_ids(written: str, spdx: str) -> None:
    assert normalise(written) == spdx


def test_a_dry_run_counts_and_shows_samples_and_writes_nothing(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "opt_out.txt").touch()
    before = tree(tmp_path)
    settings = Ingest(sources=[Files(path=str(mixed))], watch=str(mixed))
    text, problem = dry_run(root=tmp_path, params=settings, work=tmp_path / "work")
    assert tree(tmp_path) == before
    assert "| files | 8 | 10 | 10 |" in text
    assert "# Samples" in text
    assert text.count("\n## files: ") == 3
    assert PROSE[:60] in text
    assert not problem
    (mixed / "bad.jsonl").write_text("{\n" * 9)
    _, problem = dry_run(root=tmp_path, params=settings, work=tmp_path / "work")
    assert problem.startswith("a run would end here: ingest source files: 9 of")
    assert "or add the line `max_quarantine: " in problem
    assert len((tmp_path / "work" / "quarantine.jsonl").read_text().splitlines()) == 9


def test_what_a_person_gets_wrong_is_named(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    files = {
        "pictures/a.png": b"\x89PNG", "tiny.txt": b"too little", "table.csv": b"body,date\nx,y\n",
        "lines.json": b'{"text": "a"}\n{"text": "b"}\n', "nothing.jsonl.gz": gzip.compress(b""), "blank.json": b"\n",
        "rows.jsonl": lines_of(PROSE).encode(),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    cases: list[tuple[str, dict, list[str]]] = [
        ("lines.json", {"max_quarantine": 0.05}, ["_raise_if_unfit.2", "lines.json", "not JSON", ".jsonl"]),
        ("nothing.jsonl.gz", {}, ["_raise_if_unfit.1", "0 records in 1 file, 0 kept, for they are empty"]),
        ("blank.json", {"max_quarantine": 0.05}, ["_raise_if_unfit.2", "blank.json", "not JSON", "empty"]),
        ("nowhere", {}, ["sources.watched_path.1", "nowhere", "`path`"]),
        ("empty", {}, ["sources._files", "empty; it is empty"]),
        ("pictures", {}, ["sources._files", "1 x .png"]),
        ("tiny.txt", {}, ["_raise_if_unfit.3", "files: 1 record in 1 file, 0 kept, 1 too_short"]),
        ("table.csv", {}, ["_raise_if_unfit.1", "no column 'text'", "body, date", "text_field"]),
        ("mine/a.txt", {}, ["ingest.stage._split"]),
        ("mine", {"watch": str(tmp_path / "empty")}, ["sources.watched_path.2", "mine", "ingest.watch"]),
        ("mine", {"source": {"licence": "my own"}}, ["licence_param", "licence = 'my own'"]),
        ("mine", {"licences": LicencePolicy(deny=["GPLish"])}, ["licence_param", "ingest.licences.deny = 'GPLish'"]),
        ("rows.jsonl", {"licences": LicencePolicy(unknown="refuse")}, ["IngestPass._decided", "rows.jsonl#1"]),
    ]
    for number, (name, options, says) in enumerate(cases):
        with refused(*says):
            run_on_files(tmp_path / name, tmp_path, f"run-{number}", **options)


def test_a_source_in_which_nothing_is_found_stops_the_run(mixed: Path, tmp_path: Path) -> None:
    """Beside one that is read, too: its weights and limits would name a source the corpus does not have."""
    folder = mixed / "facts"
    folder.mkdir()
    (folder / "one.json").write_text(json.dumps({"Introduction": {"Background": "a record without the field"}}))
    sources = [Files(path="mine", pattern="*.jsonl"), Files(name="facts", path="mine/facts")]
    with refused("stage._raise_if_unfit.1", "source facts", "0 records in 0 files", "'text'"):
        run_ingest(Ingest(sources=sources, watch="mine"), tmp_path)


def test_markup_of_a_page_in_a_field_is_cleaned_and_text_about_it_stays(mine: Path, tmp_path: Path) -> None:
    """1,708 of 33,000 reviews kept their `<br />`."""
    review = "A slow film, and I liked it.<br /><br />The <i>end</i> is worth the wait.<p>Nine of ten.</p>"
    about = "In HTML a line is broken by `<br />`, a paragraph is put in `<p>`; <b> and <i> say how it looks."
    (mine / "rows.jsonl").write_text(lines_of(f"{review} {PROSE}", f"{about} {PROSE}"))
    marked = "Salt &amp; pepper.<br>\n`<br>` &amp;\n    <br> &lt;\n```\n<p>&amp;</p>\n```\n&lt;b&gt;"
    names = [f"{number}.{suffix}" for number in range(3) for suffix in ("txt", "md")]
    for name in names:
        (mine / name).write_text(f"{marked} {name} {PROSE}")
    (mine / "entities.txt").write_text(f"Written as `&amp;amp;`, read as &amp;. {PROSE}")
    _, out = run_on_files(mine, tmp_path)
    for name in names:
        text = documents(out)[name].text
        assert text.startswith("Salt & pepper.\n\n`<br>` &\n    <br> &lt;\n```\n<p>&amp;</p>\n```\n<b> ")
    assert "read as &amp;." in documents(out)["entities.txt"].text
    first, second = [one for place, one in sorted(documents(out).items()) if place.startswith("rows")]
    assert first.text.startswith("A slow film, and I liked it.\n\nThe end is worth the wait.\nNine of ten.\n")
    assert (first.transforms, second.transforms) == (("markup",), ())
    assert second.text == f"{about} {PROSE}"


def test_short_is_said_in_bytes(mine: Path, tmp_path: Path) -> None:
    """Forty characters dropped 43% of Chinese poems and 2% of German sayings."""
    texts = ["床前明月光，疑是地上霜。举头望明月。", "Wer rastet, der rostet.", "Любовь отважней ненависти"]
    for number, text in enumerate(texts):
        (mine / f"{number}.txt").write_text(text)
    (mine / "long.txt").write_text(PROSE * 15)
    _, out = run_on_files(mine, tmp_path)
    assert {name for name in documents(out) if name[0].isdigit()} == {"0.txt", "2.txt"}
    (short,) = read_corpus(out / "data/dropped")
    assert short.location == "1.txt"
