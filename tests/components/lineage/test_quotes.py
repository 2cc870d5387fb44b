"""Quotations of a document in reports."""

import html
import json
from pathlib import Path

import pytest

from components.lineage.quotes import Quotes

MIDDLE = '"who walks here\nat night with a lantern & no hat at all,"'
TEXT = f'It began.\n\n"I don\'t know," said Hubert, {MIDDLE} and left. ' * 3


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (json.dumps([{"prompt": MIDDLE}]), True),
        (f"<p>{html.escape(MIDDLE)}</p>", True),
        (f"x,y\n1,{MIDDLE}", True),
        ("word " * 400_000 + MIDDLE, True),
        ("the document 0123456789abcdef was dropped", True),
        ("who walks here at night with another hat", False),
        ("", False),
    ],
)
def test_a_passage_from_the_middle_is_found(content: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "report").write_text(content)
    assert Quotes({"0123456789abcdef"}, [TEXT]).inside(tmp_path / "report") == found


def test_what_another_document_has_too_is_no_quotation(tmp_path: Path) -> None:
    licence = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software. "
    own, other = licence + MIDDLE, licence + "Another story begins here and is told by nobody at all."
    (report := tmp_path / "report").write_text(f"examples: {licence}")
    assert Quotes((), [own]).inside(report)
    assert not Quotes((), [own], [["unlike"], [other]]).inside(report)
    report.write_text(MIDDLE)
    assert Quotes((), [own], [["unlike"], [other]]).inside(report)


def test_nothing_looked_for_is_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\xff")
    (tmp_path / "report.md").write_text(TEXT)
    assert not Quotes((), [TEXT]).inside(tmp_path / "picture.png")
    assert not Quotes((), ()).inside(tmp_path / "report.md")
