"""The cast of README: lines as a terminal shows them, and a picture without what was overwritten."""

import sys
from xml.etree import ElementTree

from benchmarks.cast import ROWS, Line, add, record, svg


def test_a_rewritten_line_keeps_its_last_state() -> None:
    lines = [Line("", 0.0)]
    for at, text in enumerate(["stage 1\r\n", "\x1b[2K\r10 %", "\r100 %", " done\r\n", "end\n"]):
        add(lines, text, float(at))
    assert lines == [Line("stage 1", 0.0), Line("100 % done", 3.0), Line("end", 4.0), Line("", 4.0)]


def test_the_picture_ends_with_the_last_screen() -> None:
    lines = record([sys.executable, "-c", f"for n in range({ROWS + 10}): print('line', n, '<&>')"])
    picture = svg(lines)
    texts = [
        text for node in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text") if (text := node.text)
    ]
    assert texts[0].startswith("$ ")
    assert texts[-1] == f"line {ROWS + 9} <&>"
    assert "transform: translateY(-187px)" in picture  # eleven lines have left the screen
