"""The report in a browser: what is measured of a page, and what is said without a browser."""

import json
from html import escape
from pathlib import Path

import pytest

from benchmarks import pages

ANSWERS = "".join(f"<dt>Question {number}</dt><dd>Answer.</dd>" for number in range(5))
PAGE = f'<!doctype html><meta name="viewport" content="width=device-width"><dl class="answers">{ANSWERS}</dl>'
GOOD = {"width": 390, "sideways": 0, "images": 1, "answers": 5, "without_text": 0}


def test_what_is_wrong_with_a_page_is_counted(tmp_path: Path) -> None:
    """With Chromium where there is one, else with a program that prints what Chromium would of the good page."""
    chromium, size = pages.browser(), (390, 844)
    if chromium is None:
        fake = tmp_path / "chromium"
        fake.write_text(f"#!/bin/sh\necho '<body data-measured=\"{escape(json.dumps(GOOD))}\">'\n")
        fake.chmod(0o755)
        assert pages.measure(str(fake), PAGE, size) == GOOD
        return
    assert pages.measure(chromium, PAGE + '<img alt="words">', size) == GOOD
    bad = '<div style="height: 800px"></div>' + PAGE + '<details><img><p style="width: 600px">text</p></details>'
    measured = pages.measure(chromium, bad, size)
    assert measured["sideways"] > 200
    assert measured["answers"] < 5
    assert measured["without_text"] == 1


def test_without_a_browser_it_was_not_tried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "browser", lambda: None)
    monkeypatch.setattr("sys.argv", ["pages"])
    pages.main()
    assert capsys.readouterr().out.startswith("not tried: none of chromium,")


def test_without_a_report_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "browser", lambda: "chromium")
    monkeypatch.setattr(pages, "REPORT", tmp_path / "report.html")
    monkeypatch.setattr("sys.argv", ["pages"])
    with pytest.raises(SystemExit, match="run make demo first"):
        pages.main()
