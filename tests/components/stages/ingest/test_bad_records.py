"""Bad records are quarantined one by one by place, reason and hash, and the rest of the file survives."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.corpus.corpus import read_corpus, read_manifest
from components.stages.ingest import file_reading
from components.stages.ingest.readers import PAGE_BEGINNING, records_of
from components.stages.ingest.records import Options, RawRecord
from tests.components.stages.ingest.hostile_files import PROSE, record
from tests.components.stages.ingest.ingest_run import documents, quarantined
from tests.components.stages.ingest.ingest_run import run_on_files as run
from tests.errors import refused, refuses

# line, what is wrong with it, the rule it breaks ("" for a good one; blank lines are no records)
LINES: list[tuple[bytes, str]] = [
    (record(text=PROSE + "one"), ""),
    (b'{"text": "' + PROSE.encode() + b"\n", "invalid_json"),
    (b"\n", "blank"),
    (record(text=None), "empty"),
    (record(text=123), "wrong_type"),
    (record(title="no text here"), "missing_field"),
    (record(text=[PROSE]), "wrong_type"),
    (b"[1, 2, 3]\n", "wrong_type"),
    (b'{"text": "caf\xe9 ' + PROSE.encode() + b'"}\n', "invalid_utf8"),
    (b'{"text": "\\ud800 ' + PROSE.encode() + b'"}\n', "lone_surrogate"),
    (record(text=PROSE + "\0"), "nul"),
    (record(text="", id="empty"), "empty"),
    (record(text=PROSE + "two", id="a"), ""),
    (record(text=PROSE + "three", id="a"), "duplicate_id"),
    (record(text="x" * 3000, id="long"), "too_long"),
    (b"[" * 50_000 + b"\n", "invalid_json"),
    (record(text="short"), "too_short"),
    (record(text=PROSE + "last"), ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the bad file, and a good one."""
    made = tmp_path / "mine"
    made.mkdir()
    (made / "bad.jsonl").write_bytes(b"".join(line for line, _ in LINES))
    (made / "good.jsonl").write_bytes(b"".join(record(text=f"{PROSE} good {n}") for n in range(10)))
    return made


def test_each_bad_record_is_quarantined_with_place_reason_and_hash_and_the_rest_survives(
    folder: Path, tmp_path: Path
) -> None:
    report, out = run(folder, tmp_path)
    evidence = quarantined(out)
    expected = [(number, rule) for number, (_, rule) in enumerate(LINES, 1) if rule not in ("", "blank", "too_short")]
    assert [(item["line"], item["rule"]) for item in evidence] == expected
    raw_file = (folder / "bad.jsonl").read_bytes()
    for item in evidence:
        line = LINES[item["line"] - 1][0]
        assert raw_file[item["byte_offset"] :].startswith(line)
        assert item["file"] == "bad.jsonl"
        assert item["reason"]
        if item["rule"] in ("invalid_json", "invalid_utf8", "wrong_type", "missing_field"):
            assert item["num_bytes"] == len(line)
            assert item["sha256"] == hashlib.sha256(line).hexdigest()
    rows = pq.read_table(sorted((out / "data/quarantine").glob("*.parquet"))).to_pylist()
    assert [(row["text"], row["rule"]) for row in rows] == [("", rule) for _, rule in expected]
    assert set(evidence[0]) == {"source", "file", "line", "byte_offset", "num_bytes", "sha256", "rule", "reason"}

    kept = {place: one.text.removeprefix(PROSE) for place, one in documents(out).items()}
    assert {text for place, text in kept.items() if place.startswith("bad")} == {"one", "two", "last"}
    metrics = report.metrics
    assert metrics["documents/in"] == 10 + sum(rule != "blank" for _, rule in LINES)
    assert metrics["documents/in"] == sum(metrics[f"documents/{fate}"] for fate in ("kept", "dropped", "quarantined"))
    assert read_manifest(out / "data/dropped").facts["rules"] == {"too_short": 1}
    assert read_manifest(out / "data/quarantine").num_documents == metrics["documents/quarantined"]


def test_too_many_bad_records_stop_the_stage_and_name_the_first(folder: Path, tmp_path: Path) -> None:
    with refused("stage._raise_if_unfit.2", "11 of 27", "41%", "5%", "3 wrong_type", "bad.jsonl line 2: invalid_json"):
        run(folder, tmp_path, max_quarantine=0.05)
    assert (tmp_path / "run-work/quarantine.jsonl").read_text().count("\n") == 11


ROWS = 9000


@pytest.mark.parametrize(
    ("row", "number", "rule"),
    [
        (lambda n: record(text=f"{PROSE} {n}", id=n % 9), 1, "duplicate_id"),
        (lambda n: record(text=f"{PROSE} {n}")[: None if n % 4 else 40], 1, "invalid_json"),
        (lambda n: record(text=f"{PROSE} {n}")[: None if n % 12 else 40], 1, "invalid_json"),
        (lambda n: b"\xff" * (n > ROWS / 2) + record(text=f"{PROSE} {n}"), 1, "invalid_utf8"),
        (lambda n: record(text=f"Short: {n}", url="x" * 99), 2, "too_short"),
    ],
)
def test_what_surely_fails_is_refused_before_a_tenth_is_read(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Callable[[int], bytes], number: int, rule: str
) -> None:
    for name in ("a", "b"):
        (mine / f"{name}.jsonl").write_bytes(b"".join(map(row, range(ROWS))))
    (mine / "empty.jsonl").touch()
    judged = Mock(side_effect=file_reading.entry_of)
    monkeypatch.setattr(file_reading, "entry_of", judged)
    refuses(lambda: run(mine, tmp_path, max_quarantine=0.05), f"raise_if_sample_unfit.{number}", rule)
    assert 0 < judged.call_count < 2 * ROWS / 10


@pytest.mark.parametrize(("large", "small"), [(1, 0), (0, 3)])
def test_a_json_array_and_few_small_files_are_looked_at_before_all_is_read(
    mine: Path, tmp_path: Path, large: int, small: int
) -> None:
    """A large array was read whole, and of two small files none was looked at."""
    rows = [{"text": f"{PROSE} {n}" if n % 2 else [PROSE]} for n in range(ROWS * large)]
    (mine / "a.json").write_text(json.dumps(rows or [{"text": PROSE}]))
    (mine / "b.jsonl").write_bytes(b"".join(record(text=f"{PROSE} {n}") for n in range(ROWS)))
    for number in range(small):
        (mine / f"{number}.json").write_text(json.dumps([{"text": 0}] * ROWS))
    refuses(lambda: run(mine, tmp_path, max_quarantine=0.05), "raise_if_sample_unfit.1", "of a sample")


def test_a_few_bad_files_of_many_do_not_stop_it_before_all_is_read(mine: Path, tmp_path: Path) -> None:
    (mine / "rows.jsonl").write_bytes(b"".join(record(text=f"{PROSE} {n}") for n in range(20_000)))
    for number in range(400):  # most of the files, and 2% of the records
        (mine / f"{number:03}.txt").write_bytes(f"Maß {number} {PROSE}".encode("latin-1") * (number % 2))
        (mine / f"{number:03}.md").write_text(f"{number} {PROSE}")
    report, _ = run(mine, tmp_path, max_quarantine=0.02)
    assert report.metrics["documents/quarantined"] == 400


@pytest.mark.parametrize(("mark", "chars"), [(b"", 2000), (b"\xef\xbb\xbf", 20_000)])
def test_bad_utf8_in_plain_text_costs_its_passage_only(mark: bytes, chars: int, mine: Path, tmp_path: Path) -> None:
    paragraph = (PROSE * 20 + "\n\n").encode()
    book = mark + paragraph * 30 + b"caf\xe9\n\n" + paragraph * 30
    (mine / "book.txt").write_bytes(book)
    report, out = run(mine, tmp_path, max_chars=chars)
    (item,) = quarantined(out)
    evidence = book[item["byte_offset"] :][: item["num_bytes"]]
    assert hashlib.sha256(evidence).hexdigest() == item["sha256"]
    assert b"caf\xe9" in evidence
    assert item["rule"] == "invalid_utf8"
    assert f"byte 0xe9 at offset {book.index(0xE9)}" in item["reason"]
    assert report.metrics["documents/kept"] >= 60_000 // chars


def test_a_bad_row_of_csv_costs_that_row_only(mine: Path, tmp_path: Path) -> None:
    rows = [
        b"id,text\n",
        b'1,"' + PROSE.encode() + b' one, with a comma\nand a second line"\n',
        b"2," + PROSE.encode() + b",too many,fields\n",
        b'3,"an open quotation mark swallows the rest ' + PROSE.encode() + b"\n",
        b"4,caf\xe9 " + PROSE.encode() + b"\n",
        b"5," + PROSE.encode() + b" five\n",
        b"1," + PROSE.encode() + b" again\n",
    ]
    (mine / "table.csv").write_bytes(b"".join(rows))
    report, out = run(mine, tmp_path)
    evidence = quarantined(out)
    rules = {4: "invalid_csv", 5: "invalid_csv", 6: "invalid_utf8", 8: "duplicate_id"}
    assert [(item["line"], item["rule"]) for item in evidence] == list(rules.items())
    assert evidence[1]["byte_offset"] == sum(map(len, rows[:3]))
    assert report.metrics["documents/kept"] == 2


def test_a_bad_row_of_parquet_costs_that_row_only(mine: Path, tmp_path: Path) -> None:
    texts = [f"{PROSE} {n}".encode() for n in range(200)]
    texts[70] = b"caf\xe9 " + PROSE.encode()
    column = pa.array(texts, pa.binary()).view(pa.string())
    column = pa.concat_arrays([column, pa.array([None, PROSE], pa.string())])
    pq.write_table(pa.table({"text": column}), mine / "table.parquet")
    report, out = run(mine, tmp_path)
    evidence = quarantined(out)
    places = {item["reason"].split(":")[0]: item["rule"] for item in evidence}
    assert places == {"row 71": "invalid_utf8", "row 201": "empty"}
    assert report.metrics["documents/kept"] == 200


def test_rows_without_text_are_listed_and_end_no_run(mine: Path, tmp_path: Path) -> None:
    texts = [*(f"{PROSE} {n}" for n in range(60)), *[None] * 30, *[""] * 30]
    pq.write_table(pa.table({"text": texts}), mine / "table.parquet")
    (mine / "page.html").write_text("<body><script>1</script></body>")
    report, out = run(mine, tmp_path, max_quarantine=0)
    assert Counter(item["rule"] for item in quarantined(out)) == {"empty": 60, "no_text": 1}
    assert report.metrics["documents/kept"] == 60


def test_a_page_is_judged_by_its_beginning_if_its_body_is_in_that(mine: Path) -> None:
    text, filled = f"<article><p>{PROSE * 5}</p></article>", f"<script>{'x' * PAGE_BEGINNING}</script>"
    pages = {f"<body>{text}{filled}": 1, f"<body>{filled}{text}": 0, f"{filled}<body>{text}": 1}
    for number, (page, found) in enumerate(pages.items()):
        path = mine / f"{number}.html"
        path.write_text(f"<html>{page}</body></html>")
        assert [isinstance(one, RawRecord) for one in records_of(path, "html", Options(beginning=1))] == [found]


def test_ids_of_a_table_need_be_no_text(mine: Path, tmp_path: Path) -> None:
    """UUIDs of 16 bytes, and whole numbers that pandas made floats since one is missing; lists are no ids."""
    texts = [f"{PROSE} {n}" for n in range(4)]
    uuids = pa.array([bytes([200, n % 3] * 8) for n in range(4)], pa.binary(16))
    for name, ids in (("uuid", uuids), ("float", pa.array([1.0, None, 3.0, 1.0])), ("list", pa.array([[1]] * 4))):
        pq.write_table(pa.table({"text": [f"{name} {text}" for text in texts], "id": ids}), mine / f"{name}.parquet")
    _, out = run(mine, tmp_path)
    found = [(item["file"], item["rule"]) for item in quarantined(out)]
    assert found == [("float.parquet", "duplicate_id"), ("uuid.parquet", "duplicate_id")]


def test_ids_that_differ_late_or_in_odd_characters_are_different(mine: Path, tmp_path: Path) -> None:
    odd = ["x" * 600 + "one", "x" * 600 + "two", "a\0b", "a?b", "a\ud800b", "a\udfffb"]
    lines = [record(text=f"{PROSE} {number}", id=name) for number, name in enumerate([*odd, odd[0], odd[4]])]
    (mine / "ids.jsonl").write_bytes(b"".join(lines))
    _, out = run(mine, tmp_path)
    assert read_manifest(out / "data/quarantine").facts["rules"] == {"duplicate_id": 2}
    kept = [one for part in ("train", "heldout") for one in read_corpus(out / "data" / part)]
    assert len(kept) == len({each.id for each in kept}) == len(odd)
    plain = next(each for each in kept if each.text.endswith(" 3"))
    assert plain.id == hashlib.sha256(b"files\nids.jsonl#id=a?b").hexdigest()[:16]
    assert all("\0" not in each.location and len(each.location) < 600 for each in kept)
