"""Runs of words of a text: what counts as one, whose it is, and in which formats of files it is found."""

import base64
import gzip
import html
import json
from pathlib import Path

import pytest

from benchmarks.proof.forms import FORMS, SEALED, zipped
from components.lineage import readings
from components.lineage.needles import Needles
from components.lineage.readings import hits_in, parts_of, parts_of_bytes
from tests.errors import refused

QUOTE = "copied the pages by candlelight and sold them to a captain of a foreign vessel"
LICENCE = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software."
TEXT = f"Ebenezer kept the harbour ledgers in an oak cabinet. His daughter {QUOTE}. {LICENCE}"
ESSAY = f"He wrote that she {QUOTE}, which nobody believes."


def needles(*others: str, most: int = 5) -> Needles:
    return Needles.of([TEXT], [list(others)], 7, most)


def words_in(text: str, wanted: Needles) -> tuple[int, int]:
    """Words in runs, and in runs of the text alone."""
    words, own = wanted.within([text])
    return int(words[0]), int(own[0])


@pytest.mark.parametrize(
    ("text", "num"),
    [
        ("kept the harbour ledgers in an", 6),
        ("She KEPT the\nharbour (ledgers), in  an oak chest", 7),
        ("kept the harbour ledgers in", 0),
        ("kept the harbour ledgers in no oak cabinet", 0),
        ("\ud800 Kept the harbour ledgers in an", 6),
        (f"one: {QUOTE}; two: kept the harbour ledgers in an", 15 + 6),
    ],
)
def test_a_quotation_of_six_words_is_found_whatever_the_punctuation(text: str, num: int) -> None:
    assert words_in(text, needles()) == (num, num)


def test_what_a_document_that_stays_has_too_is_looked_for_and_called_its_own_no_more() -> None:
    wanted = needles(ESSAY, *[f"{number}. {LICENCE}" for number in range(6)])
    assert words_in(ESSAY, wanted) == (15, 0), "it was dropped from the search, so nobody said that it stays"
    assert words_in("kept the harbour ledgers in an oak cabinet", wanted) == (8, 8)
    assert words_in(LICENCE, wanted) == (0, 0)
    assert wanted.num_common == 11
    assert words_in(LICENCE, needles(*[LICENCE] * 6, most=6)) == (16, 0)


def test_of_too_many_runs_some_are_drawn_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    every = needles(ESSAY)
    monkeypatch.setattr("components.lineage.needles.MOST_RUNS", 20)
    some = needles(ESSAY)
    assert len(some.own) + len(some.shared) == 20
    assert some.num_left == len(every.own) + len(every.shared) - 20
    assert set(some.own) < set(every.own)
    assert Needles.from_json(some.as_json(), 7).num_left == some.num_left


@pytest.mark.parametrize("num", [12, 11])
def test_twelve_characters_of_a_script_without_spaces_are_a_run(num: int) -> None:
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    wanted = Needles.of([text], [], 7)
    quoted = text.replace("。", "")[3 : 3 + num]
    assert words_in(f"They say {quoted[:6]}、{quoted[6:]} and leave.", wanted) == ((num, num) if num == 12 else (0, 0))


def test_what_git_keeps_holds_no_text_and_finds_the_same() -> None:
    wanted = needles(ESSAY)
    kept = json.dumps(wanted.as_json())
    assert "ledgers" not in kept
    again = Needles.from_json(json.loads(kept), 7)
    assert words_in(TEXT + ESSAY, again) == words_in(TEXT + ESSAY, wanted)
    assert not set(again.own) & set(Needles.of([TEXT], [], 8).own), "another salt, other hashes"
    assert words_in(ESSAY, wanted.joined(Needles.of([ESSAY], [], 7))) == words_in(ESSAY, Needles.of([ESSAY], [], 7))


CONTENT = f"Ebenezer said: {QUOTE} & left.\nIt was \u00e9t\u00e9."


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("note.txt", CONTENT.encode()),
        ("page.html", html.escape(CONTENT).replace("copied the", "copied&nbsp;the").encode()),
        ("facts.json", json.dumps({"a": [CONTENT.replace("pages by", "pages\nby")]}).encode()),
        ("records.jsonl", b"{}\n" + json.dumps({"raw": base64.b64encode(CONTENT.encode()).decode()}).encode()),
        ("url.json", json.dumps(base64.urlsafe_b64encode(CONTENT.encode()).decode().rstrip("=")).encode()),
        ("packed", gzip.compress(CONTENT.encode(), mtime=0)),
        ("database", b"SQLite\0\xff\xfe" + CONTENT.encode() + b"\0\0"),
        ("late.txt", b"word " * 300_000 + CONTENT.encode()),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_words_are_found_in_files_of_any_format(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    (hit,) = hits_in(parts_of(tmp_path / name), needles())
    assert (hit.words, hit.own) == (15, True)
    assert hit.where == ("line 2" if name.endswith("jsonl") else "")


@pytest.mark.parametrize("name", FORMS)
def test_words_are_found_in_whatever_form_or_the_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name](QUOTE))
    unread = list[str]()
    hits = hits_in(parts_of(tmp_path / name), needles(), unread=unread)
    assert [hit.own for hit in hits] == ([] if name in SEALED else [True])
    assert bool(unread) == (name in SEALED or name == "broken.gz")


def test_what_is_packed_too_often_or_too_large_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data, unread = QUOTE.encode(), list[str]()
    for _ in range(readings.MOST_LAYERS + 1):
        data = gzip.compress(data)
    assert not hits_in(parts_of_bytes(data, ""), needles(), unread=unread)
    assert unread == ["packed in more than 6 layers"]
    monkeypatch.setattr(readings, "MOST_BYTES", 1000)
    with refused("readings.parts_of_bytes"):  # each fits, both together do not
        list(parts_of_bytes(zipped("inner.zip", zipped("note.txt", b"x" * 900)), ""))


def test_what_is_too_large_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MOST_BYTES", 1000)
    for name, data in (("plain", b"x" * 1001), ("packed", gzip.compress(b"x" * 1001))):
        (tmp_path / name).write_bytes(data)
        with refused("readings.parts_of_bytes"):
            list(parts_of(tmp_path / name))
