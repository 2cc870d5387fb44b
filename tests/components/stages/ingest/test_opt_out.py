"""The opt-out list: each kind of entry is honoured, counted and told; a bad line stops the run."""

import base64
import csv
import json
from pathlib import Path

import numpy
import pyarrow.parquet as pq
import pytest

from components.text.passage_match import Passages, words
from tests.components.stages.ingest.ingest_run import documents, run_on_files
from tests.errors import refuses

DOCS = sorted(Path(numpy.__file__).parent.glob("ma/*.py"))


@pytest.fixture
def folder(mine: Path) -> Path:
    """Real text: one file in three paragraphs, and a jsonl of 12 passages of another."""
    (mine / "essays").mkdir()
    text = DOCS[0].read_text()
    for number in range(3):
        (mine / "essays" / f"e{number}.txt").write_text(text[number * 600 : number * 600 + 600])
    rows = [DOCS[1].read_text()[at : at + 900] for at in range(0, 12 * 900, 900)]
    lines = [json.dumps({"id": f"r{number}", "text": row}) for number, row in enumerate(rows)]
    (mine / "rows.jsonl").write_text("\n".join(lines))
    return mine


def lost(out: Path) -> dict[str, str]:
    """Location -> reason of what was opted out; none of it may keep its text."""
    found = {}
    for path in sorted((out / "data" / "dropped").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if row["rule"] == "opted_out":
                assert (row["text"], row["transforms"][-1]) == ("", "text_withheld")
                assert len(row["sha256"]) == 64
                found[row["location"]] = row["reason"]
    return found


def test_every_kind_is_honoured_and_counted(folder: Path, tmp_path: Path) -> None:
    _, before = run_on_files(folder, tmp_path, "before")
    whole = documents(before)
    passage = " ".join(whole["rows.jsonl#id=r5"].text.split()[20:32]).upper()
    entries = [
        "# a comment, then a blank line",
        "",
        f"id: {whole['rows.jsonl#id=r1'].id}",
        f"sha256: {whole['rows.jsonl#id=r2'].sha256.upper()}",
        "location: rows.jsonl#id=r3",
        "location: essays/",
        f"passage: {passage}",
        json.dumps({"passage": "words that are nowhere in\nthis text at all"}),
    ]
    (tmp_path / "opt_out.txt").write_text("\n".join(entries))
    report, out = run_on_files(folder, tmp_path, "after")
    assert lost(out) == {
        "rows.jsonl#id=r1": "opt_out.txt line 3 (id)",
        "rows.jsonl#id=r2": "opt_out.txt line 4 (sha256)",
        "rows.jsonl#id=r3": "opt_out.txt line 5 (location)",
        **{f"essays/e{n}.txt": "opt_out.txt line 6 (location)" for n in range(3)},
        "rows.jsonl#id=r5": "opt_out.txt line 7 (passage)",
    }
    assert set(documents(out)) == set(whole) - set(lost(out))
    assert report.facts["sources"]["files"]["dropped"] == {"opted_out": 7}
    rows = list(csv.reader((out / "reports" / "details" / "opted_out.csv").open()))
    assert [int(row[2]) for row in rows[1:]] == [1, 1, 1, 3, 1, 0]
    assert "6 entries, 7 documents opted out; matched nothing that other entries had left: line 8." in report.markdown
    assert passage.lower() not in "".join(path.read_text() for path in (out / "reports").rglob("*.md")).lower()


def test_of_a_bad_record_that_is_opted_out_nothing_is_kept_either(folder: Path, tmp_path: Path) -> None:
    letter = "\ufeffa personal letter of Mr Smith, caf\xe9 at noon"
    (folder / "essays" / "latin.txt").write_bytes(letter.encode("latin-1", "ignore"))
    (folder / "essays" / "nul.txt").write_text(letter + "\0" * 200)
    (tmp_path / "opt_out.txt").write_text("\ufefflocation: essays/latin.txt\nlocation: essays/nul.txt\n")
    report, out = run_on_files(folder, tmp_path)
    assert {place.split("#")[0] for place in lost(out)} == {"essays/latin.txt", "essays/nul.txt"}
    assert report.metrics["documents/quarantined"] == 0
    assert "2 documents opted out." in report.markdown
    for path in (file for file in out.rglob("*") if file.is_file()):
        kept = path.read_bytes()
        if path.suffix == ".parquet":
            kept = json.dumps(pq.read_table(path).to_pylist()).encode()
        assert b"Mr Smith" not in kept
        assert base64.b64encode(b"a personal letter")[:-4] not in kept


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("pasage: one two three four five", ["_entry.1"]),
        ("passage:", ["_entry.1"]),
        ("id: 12ab", ["_entry.2", "16 hex digits"]),
        ("sha256: " + "g" * 64, ["_entry.2", "64 hex digits"]),
        ("passage: too short by one", ["_entry.3", 5]),
        ('{"passage": "one two three four five"', ["_from_json"]),
        ('{"id": "0123456789abcdef", "note": "two fields"}', ["_from_json"]),
    ],
)
def test_a_bad_entry_stops_the_run_and_names_the_line(line: str, says: list, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "opt_out.txt").write_text(f"# first\nid: 0123456789abcdef\n{line}\n")
    refuses(lambda: run_on_files(folder, tmp_path), f"opt_out.{says[0]}", "opt_out.txt line 3", *says[1:])


def test_what_counts_as_the_same_passage() -> None:
    looked_for = Passages([words("The old man’s boat — it drifted, away!"), words("吾輩は猫である")])
    assert looked_for.first_in("see: THE OLD\n\nMAN'S BOAT (it drifted away)") == 0
    assert looked_for.first_in("the old mans boat it drifted away") is None
    assert looked_for.first_in("「吾輩は猫である。名前はまだ無い」") == 1
    assert looked_for.first_in("an old man s boat it drifted") is None
    assert Passages([]).first_in("anything at all goes here") is None
    assert words("ﬁnal ＡＢＣ") == ["final", "abc"]
