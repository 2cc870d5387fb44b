"""Thirty sentences of README and docs with a measured figure, drawn by a fixed seed, each held against its raw rows.

benchmarks/results/evidence-claims.csv is written by hand. For each sentence it has: its page and first 80 characters;
the file of its raw rows, none if they were not kept, and an expression of `raw`, that file's content, which gives the
sentence's figures; what its section says of n and of variance, or "one run". Numbers are masked where texts are
compared: what is measured again needs no new line, as the page's figures are held against those of the raw rows.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from statistics import mean, median, quantiles
from typing import Any

from benchmarks import ROOT
from benchmarks.results import goal

SEED, NUMBER, START, PLACE = 20261207, 30, 80, 24
RESULTS = ROOT / "benchmarks" / "results"
TABLE = RESULTS / "evidence-claims.csv"
USED = {"mean": mean, "median": median, "quantiles": quantiles}
"""What expressions use."""
PAGES = ("README", *(f"docs/{page}" for page in ("answering", "architecture", "data", "glossary", "guide", "ledger",
                                                 "models", "results", "team")))  # fmt: skip
LINES = re.compile(
    r"(?m)^(?:#+ .*|\|.*(?=\n\|[ :|-]+$)|\|[ :|-]+|Measured on.*|- `.*commit \w+\.|.*--(?:only|trials|nanochat).*"
    r"|.*minutes?(?:, resumable)?\.|<!--.*|!\[.*|    .*|```.*)$|(?s:Twenty answers and.*)"
)
"""Headings, heads of tables, places, what a bench takes, commands, what models wrote: no figure that was measured."""
CONDITIONS = re.compile(r"Between|Blocks of|Commit|Size 4|What 1 TB|\S*Read in|All its|Each")
SKIPPED = ("### What the data benchmark compares", "### Compared with other projects", "### Tried for pretraining")
NO_FIGURE = re.compile(r"`[^`]*`|\]\([^)]*\)|arXiv:[\d.]+|[Cc]ommit \w+|20[12]\d(?:-\d\d)*")
MEASURED = re.compile(r"seed \(|training per side|\d Wh|documents under|choice acc|simulated worlds|by work, |by one \|"
                      r"|whole works|GB more|Tried up to|demo's energy|\d\.\d{3} (?!\|)")  # fmt: skip
"""In pages by hand: their other figures are settings, limits and constants of others."""


def sentences(page: str) -> Iterator[tuple[str, str]]:
    """Section, and each of its sentences or rows of a table that has a measured figure."""
    for section in re.split(r"(?m)^(?=##)", (ROOT / f"{page}.md").read_text("utf-8")):
        demo = re.search(r"(?s)```\n(.*?)```", section) if page == "README" else None
        rows = demo[1].splitlines() if demo else []
        plain = LINES.sub("", section.replace(demo[1], "") if demo else section)
        for block in re.split(r"\n\s*\n|\n(?=[|*-]|\d+\. )", plain):
            line = " ".join(block.split())
            rows += [line] if line.startswith("|") else re.split(r"(?<=[.:]) (?=[A-Z`*[])", line)
        for row in rows:
            bare = NO_FIGURE.sub("", row)
            measured = (page.endswith("results") and not CONDITIONS.match(row)) or MEASURED.search(bare)
            if re.search(r"\d", bare) and measured and not section.startswith(SKIPPED):
                yield section, row


def place(page: str, section: str, row: str) -> str:
    """Where a sentence stands, without its figures: a sentence that is measured again or mended keeps its place."""
    return f"{page}, {section.splitlines()[0]}: {re.sub('[^a-z]', '', row.lower())[:PLACE]}"


def drawn() -> list[tuple[str, str, str]]:
    """Page, section and text of the sentences whose places have the smallest hashes."""
    every = [(page, section, row) for page in PAGES for section, row in sentences(page)]
    return sorted(every, key=lambda one: hashlib.sha256(f"{SEED} {place(*one)}".encode()).digest())[:NUMBER]


def shape(text: str) -> str:
    """A text with its numbers masked."""
    return re.sub(r"\d[\d.,]*(?:e-?\d+)?", "0", text)


def raw_of(file: str) -> Any:
    """Content of a file of raw rows; of a table its rows."""
    text = (RESULTS.parent / file).read_text("utf-8")
    if file.endswith(".json"):
        return json.loads(text)
    return [*csv.DictReader(text.splitlines())] if file.endswith(".csv") else [*map(json.loads, text.splitlines())]


def stands(figure: float, row: str) -> bool:
    """Whether a sentence has a figure, to the digits that it writes, or to four."""
    for word in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|\.\d+", NO_FIGURE.sub("", row)):
        written, digits = float(word.replace(",", "")), len(word.partition(".")[2])
        near = (digits or written >= 100) and abs(abs(figure) - written) <= 0.5001 * 10**-digits
        if near or f"{abs(figure):.4g}" == f"{written:.4g}":
            return True
    return False


def wrong(page: str, section: str, row: str, held: list[dict[str, str]]) -> str:
    """What keeps a sentence from being checked; nothing if it is."""
    of = [one for one in held if one["page"] == page and shape(row).startswith(shape(one["sentence"]).rstrip("0"))]
    of.sort(key=lambda one: not row.startswith(one["sentence"]))
    if not of or not of[0]["file"]:
        return "no raw row was kept" if of else "no raw row is named"
    figures = eval(of[0]["figures"], {**USED, "raw": raw_of(of[0]["file"])})  # of our own table
    where = [row.split(" | ")[1] if row.startswith("| `") and not number else row for number in range(len(figures))]
    if missing := [one for one, part in zip(figures, where, strict=True) if not stands(one, part)]:
        return f"the raw rows have {missing}"
    beside = shape(row if row.startswith("| `") else section)
    said = [of[0][key] for key in ("n", "interval") if not of[0][key] or shape(of[0][key]) not in beside]
    return f"not said beside it: {said}" if said or not figures else ""


def measure(_: int) -> tuple[dict, list[dict]]:
    """The goal of sentences that are checked; the results name the others."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        held = list(csv.DictReader(file))
    found = {row[:START]: wrong(page, section, row, held) for page, section, row in drawn()}
    unchecked = {start: why for start, why in found.items() if why}
    says = "sentences and rows of README and docs, drawn by a seed, that equal their raw rows and say n and interval"
    return {"claims_unchecked": unchecked}, [goal("claims_checked", NUMBER - len(unchecked), NUMBER, "higher", says)]
