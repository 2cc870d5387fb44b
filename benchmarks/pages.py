"""The report in a browser: `make bench NAME=pages`, after `make demo`.

reports/report.html is rendered in headless Chromium as on a telephone and on a screen, with every stage's section open.
The page is shown in a frame of that size, since a window cannot be as narrow; a script beside the frame measures it.
Tasks are those of a reader who had README and docs alone: pages-tasks.csv has what they typed, written down by hand.
"""

import csv
import json
import re
import sys
import tempfile
from html import escape, unescape
from pathlib import Path
from typing import Any

from benchmarks.browser import BROWSERS, REPORT, browser, run
from benchmarks.results import ROOT, figure, goal, write

TASKS = ROOT / "benchmarks" / "results" / "pages-tasks.csv"
MOST_COMMANDS = 12
SCREENS = {"telephone": (390, 844), "screen": (1280, 800)}
OUTER = """<!doctype html><body><iframe style="border:0; width:{width}px; height:{height}px" srcdoc="{page}"></iframe>
<script>
document.querySelector("iframe").onload = event => {{
  const inner = event.target.contentWindow, page = inner.document, root = page.documentElement;
  const answers = [...page.querySelectorAll(".answers dd")].map(each => each.getBoundingClientRect().bottom);
  page.querySelectorAll("details").forEach(each => each.open = true);
  const images = [...page.images];
  document.body.dataset.measured = JSON.stringify({{
    width: inner.innerWidth, sideways: root.scrollWidth - inner.innerWidth, images: images.length,
    answers: answers.filter(bottom => bottom <= inner.innerHeight).length,
    without_text: images.filter(each => !each.alt.trim()).length,
  }});
}};
</script>"""


def measure(chromium: str, html: str, size: tuple[int, int]) -> dict[str, Any]:
    """Figures of a page in a frame: width, sideways scroll (pixels), answers in view, images, those without text."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-pages-") as temporary:
        outer = Path(temporary) / "outer.html"
        outer.write_text(OUTER.format(width=size[0], height=size[1], page=escape(html)), encoding="utf-8")
        shown = run(chromium, outer, (1400, 1000), "--dump-dom")
    found = re.search(r'data-measured="([^"]*)"', shown)
    assert found, "the page was not measured"
    measured: dict[str, Any] = json.loads(unescape(found[1]))
    assert measured["width"] == size[0], f"the frame is {measured['width']} pixels wide and not {size[0]}"
    return measured


def tasks_done() -> dict[str, Any]:
    """The goal of tasks that a reader did with few commands, none of which failed as documented."""
    with open(TASKS, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    typed = [int(row["commands"]) for row in rows]
    right = [row["done"] == "1" and row["failed_as_documented"] == "0" for row in rows]
    done = sum(one and number <= MOST_COMMANDS for one, number in zip(right, typed, strict=True))
    says = f"by one reader with README and docs alone, at {rows[0]['commit']}; commands typed: "
    says += ", ".join(map(str, typed))
    return goal("tasks_done", done, 5, "higher", says)


def main() -> None:
    """Measure, write benchmarks/results/pages.json."""
    chromium = browser()
    if chromium is None:
        print(f"not tried: none of {', '.join(BROWSERS)} is on PATH; install Chromium, then run this again")
        return
    if not REPORT.exists():
        sys.exit(f"{REPORT}: there is no report to look at; run make demo first")
    html = REPORT.read_text(encoding="utf-8")
    found = {name: measure(chromium, html, size) for name, size in SCREENS.items()}
    answers = min(row["answers"] for row in found.values())
    without_text = max(row["without_text"] for row in found.values())
    results = {f"{name}_{key}": figure([row[key]]) for name, row in found.items() for key in row}
    goals = [
        goal("sideways_scroll_px", found["telephone"]["sideways"], 0, "lower", "at 390 pixels, all sections open"),
        goal("answers_in_first_screen", answers, 5, "higher", "the fewer of a telephone (390 x 844) and a screen"),
        goal("images_without_text", without_text, 0, "lower", f"of {found['screen']['images']} images in the report"),
        tasks_done(),
    ]
    write("pages", results, goals)


if __name__ == "__main__":
    main()
