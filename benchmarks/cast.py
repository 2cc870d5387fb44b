"""A terminal cast as an animated SVG, recorded from a real run: the picture of README.

    python -m benchmarks.cast docs/images/NAME.svg make demo

The command runs in a terminal of 100 columns. Each line appears in the picture as it did there, in `SECONDS`
altogether; of a line that was rewritten (progress) its last state is kept. Where nothing is animated the picture is
the last screen.
"""

import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from components.core.files import write_text

COLUMNS, ROWS = 100, 30
SECONDS = 15.0
CHAR_WIDTH, LINE_HEIGHT, MARGIN = 7.8, 17, 16
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Line:
    """A line of the terminal, and when its last state appeared, in seconds."""

    text: str
    at: float


def record(command: list[str]) -> list[Line]:
    """Run a command in a terminal of its own, shown here too; the lines it printed.

    Raises:
        SystemExit: the command failed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    started = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    lines = [Line("", 0.0)]
    while chunk := _read(ours):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        add(lines, chunk.decode("utf-8", "replace"), time.monotonic() - started)
    if status := process.wait():
        sys.exit(status)
    return [Line("$ " + " ".join(command), 0.0), *lines]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: its other end is closed
        return b""


def add(lines: list[Line], text: str, at: float) -> None:
    """Apply what a command wrote to the lines so far; a carriage return begins the line anew."""
    for piece in re.split(r"(\r*\n|\r)", ESCAPES.sub("", text)):
        if piece.endswith("\n"):
            lines.append(Line("", at))
        elif piece == "\r":
            lines[-1] = Line("\r", at)
        elif piece:
            kept = "" if lines[-1].text == "\r" else lines[-1].text
            lines[-1] = Line(kept + piece, at)


def rows_of(text: str) -> list[str]:
    """A line as a terminal breaks it."""
    return [text[start : start + COLUMNS] for start in range(0, len(text) or 1, COLUMNS)]


def svg(lines: list[Line]) -> str:
    """The lines as an animated SVG."""
    shown = [Line(row, line.at) for line in lines for row in rows_of(line.text.rstrip())]
    while not shown[-1].text.strip():
        shown.pop()
    scale = SECONDS / max(shown[-1].at, 1e-9)
    width, height = COLUMNS * CHAR_WIDTH + 2 * MARGIN, ROWS * LINE_HEIGHT + 2 * MARGIN
    texts = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + (row + 0.75) * LINE_HEIGHT:.0f}" '
        f'style="animation-delay:{line.at * scale:.2f}s">{html.escape(line.text)}</text>'
        for row, line in enumerate(shown)
        if line.text.strip()
    )
    hidden = max(0, len(shown) - ROWS)
    steps = "".join(
        f"{100 * line.at * scale / SECONDS:.2f}%{{transform:translateY({-(row + 1) * LINE_HEIGHT}px)}}"
        for row, line in enumerate(shown[ROWS:])
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" xml:space="preserve">
<title>{html.escape(shown[0].text[2:])}, {shown[-1].at:.0f} seconds shown in {SECONDS:.0f}</title>
<style>
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d6deeb; white-space: pre;
  animation: appear 0.01s backwards }}
#page {{ transform: translateY({-hidden * LINE_HEIGHT}px); animation: scroll {SECONDS}s step-end }}
@keyframes appear {{ from {{ visibility: hidden }} }}
@keyframes scroll {{ 0%{{transform:translateY(0)}} {steps} }}
@media (prefers-reduced-motion: reduce) {{ text, #page {{ animation: none }} }}
</style>
<rect width="100%" height="100%" rx="8" fill="#0b1420"/>
<clipPath id="screen"><rect x="0" y="{MARGIN}" width="{width:.0f}" height="{ROWS * LINE_HEIGHT}"/></clipPath>
<g clip-path="url(#screen)"><g id="page">
{texts}
</g></g>
</svg>
"""


def main(arguments: list[str]) -> None:
    """Record and write."""
    if len(arguments) < 2:
        sys.exit("usage: python -m benchmarks.cast FILE.svg COMMAND...")
    path, *command = arguments
    write_text(Path(path), svg(record(command)))


if __name__ == "__main__":
    main(sys.argv[1:])
