"""Files that strangers give: none costs another, each is named, and the look agrees."""

import csv
import gzip
import shutil
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.plain_text import plain_name
from components.params import Ingest
from components.stages.ingest.readers import records_of
from components.stages.ingest.records import SURROGATE, BadRecord, Options
from flows.planning import inspect_text
from tests.components.stages.ingest.hostile_files import HOSTILE, LINES, MOST_CHARS, PROSE, TREE, record, warc
from tests.components.stages.ingest.ingest_run import documents, run_on_files
from tests.errors import refused

UNLISTED = {"its name is not UTF-8", "hidden"}
"""Reasons for which a file is not opened."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, a good file, and what is no file."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "good.jsonl").write_bytes(b"".join(record(text=f"{PROSE} good {n}") for n in range(100)))
    for name, content, _, _ in HOSTILE:
        (folder / name).write_bytes(content())
    for name, (make, _) in TREE.items():
        make(folder / name)
    return folder


@pytest.fixture(scope="module")
def finished(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of ingest on that folder."""
    return run_on_files(hostile, tmp_path_factory.mktemp("run"), max_chars=MOST_CHARS)[1]


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "reports/details" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "kept", "reasons"), [(name, kept, why) for name, _, kept, why in HOSTILE])
def test_each_costs_itself_only_and_is_listed_with_a_reason(
    finished: Path, name: str, kept: int, reasons: set[str]
) -> None:
    shown = plain_name(name.replace("\udce9", "?"))
    found = [place for place in documents(finished) if place.split("#")[0] == shown]
    listed = {row["rule"] for row in table(finished, "quarantine") if row["file"] == shown}
    listed |= {row["reason"] for row in table(finished, "skipped") if row["file"] == shown}
    if "kept" in reasons:
        assert found or listed
        return
    assert len(found) == kept
    assert bool(reasons) == bool(listed)
    assert all(any(reason in entry for entry in listed) for reason in reasons)
    assert all(len(entry) < 700 and "\0" not in entry for entry in listed)


def test_what_is_no_file_is_listed(finished: Path) -> None:
    reasons = {row["file"]: row["reason"] for row in table(finished, "skipped")}
    for name, (_, reason) in TREE.items():
        assert reasons[name].startswith(reason)


def test_the_look_before_a_run_goes_on_and_names_what_is_not_read(hostile: Path, tmp_path: Path) -> None:
    """Where DVC can read the folder as well: what is neither file nor folder is refused first."""
    odd = [name for name, (_, why) in TREE.items() if why in ("a link to nothing", "no regular file")]
    with refused("inspect_text._inspect_files.1", hostile, "a link to nothing", "no regular file", *odd):
        inspect_text.inspect(str(hostile), Ingest(max_chars=MOST_CHARS))
    mine = tmp_path / "mine"
    shutil.copytree(hostile, mine, symlinks=True, ignore=lambda folder, names: odd)
    for path in [path for path in mine.rglob("*") if SURROGATE.search(path.name)]:
        path.unlink()
    own = inspect_text.inspect(str(mine), Ingest(max_chars=MOST_CHARS))
    assert own.text_field == "text"
    assert "more reasons" in own.not_read


@pytest.mark.parametrize("name", [name for name, _, _, why in HOSTILE if why.isdisjoint(UNLISTED)])
def test_the_look_at_each_alone_agrees_with_ingest(hostile: Path, mine: Path, tmp_path: Path, name: str) -> None:
    """It says that nothing would be kept, or plans a run: no traceback."""
    (mine / name).symlink_to(mine / f"0{name}")
    (mine / f"0{name}").write_bytes((hostile / name).read_bytes())
    kept, why = next((count, why) for other, _, count, why in HOSTILE if other == name)
    field, problem = "text", ""
    try:
        field = inspect_text.inspect(str(mine), Ingest(max_chars=MOST_CHARS)).text_field
    except UserError as error:
        problem = str(error)
    assert problem.startswith(str(mine)) or kept or field != "text" or "kept" in why
    assert not (problem and kept) or "no field" in problem


def test_the_field_is_decided_by_all_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,value\n" + f"mercy,{'x' * 200_000}\n" * 3)
    (tmp_path / "b.jsonl").write_bytes(record(text=PROSE, note="y" * 500))
    assert inspect_text.inspect(str(tmp_path), Ingest()).text_field == "text"
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "a.csv").write_text(f"name,value\nmercy,{'x' * 200}\n")
    (tmp_path / "c.csv").write_text(f"id;story\n1;{PROSE * 90}\n")
    (tmp_path / "d.csv").write_bytes(f"id;story\n1;{PROSE}\n".encode("utf-16"))
    assert inspect_text.inspect(str(tmp_path), Ingest()).text_field == "story"


def test_a_page_that_unpacks_to_any_length_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.stages.ingest.web_pages.LONGEST_PAGE", 100_000)
    bomb = tmp_path / "bomb.warc"
    packed = gzip.compress(b"<p>x</p>" * 1_000_000)
    bomb.write_bytes(warc("http://a.org/", packed, "Content-Encoding: gzip\r\n"))
    (bad,) = records_of(bomb, "warc", Options())
    assert isinstance(bad, BadRecord)
    assert (bad.rule, bad.offset) == ("too_long", 0)


def test_a_file_that_changes_while_it_is_read_is_bad_as_a_whole(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
