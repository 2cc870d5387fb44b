"""Text of strangers is text everywhere: no control character of theirs reaches a terminal, a table or a card."""

import json
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.plain_text import plain, plain_name
from components.corpus.corpus import read_corpus
from components.params import Files, Hub
from tests.components.stages.ingest.ingest_run import run_on_files
from tests.errors import refused

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r<script>alert(1)</script>|`$(id)`"
PROSE = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want. "


def test_control_characters_are_written_out_and_all_else_stays() -> None:
    assert plain("a\x1b[31m\tb\nç 道 \U0001f600") == "a\\x1b[31m\tb\nç 道 \U0001f600"
    assert plain("\x9b\u202e\ud800\r\0") == "\\x9b\\u202e\\ud800\\r\\x00"
    assert plain_name("a\nb\tc") == "a\\nb\\tc"
    assert str(UserError(f"{EVIL}: no such file")).isprintable()


def test_names_from_records_and_files_are_plain_in_the_corpus_and_its_report(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    row = {"text": PROSE + EVIL, "id": EVIL, "group": EVIL, "license": EVIL, EVIL: "x"}
    (mine / "a\x1b[31m\n.jsonl").write_text("".join(json.dumps(row | {"id": f"{EVIL}{n}"}) + "\n" for n in range(3)))
    (mine / "b\x1b[31m.exe").write_text("x")
    report, out = run_on_files(mine, tmp_path)
    documents = [one for part in ("train", "heldout") for one in read_corpus(out / "data" / part)]
    assert len(documents) == 3
    for one in documents:
        assert one.text.startswith(PROSE + EVIL[:3])  # the text itself is not changed
        assert all(value.isprintable() for value in (one.id, one.location, one.group, one.licence))
    pages = [report.markdown, json.dumps(report.facts), *(path.read_text() for path in out.rglob("*.csv"))]
    assert not any("\x1b" in page or "\u202e" in page or "\x9b" in page for page in pages)


@pytest.mark.parametrize("name", ["a(b", "$x", "a<b", "c+d", "#1", "a b", "a: b", "", "../up", "\x1b[31m", "x" * 65])
def test_a_source_has_a_plain_name(name: str) -> None:
    for kind, place in ((Files, {"path": "x"}), (Hub, {"dataset": "a/b"})):
        with refused("matching.checked", "name"):
            kind(name=name, **place)
    assert Files(name="my-Wiki_2.0", path="x").name == "my-Wiki_2.0"
