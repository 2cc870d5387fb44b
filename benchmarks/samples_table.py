"""Tables made of benchmarks/results/evidence-samples.csv: docs/results.md on what the preset's models write."""

import csv

from benchmarks import ROOT
from components.reporting.tables import markdown_table

ROWS = ROOT / "benchmarks" / "results" / "evidence-samples.csv"


def page(_: dict) -> str:
    """The two tables, in Markdown; what is not printed in a line stands as Python writes it."""
    with ROWS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {
        kind: [[repr(row[name])[1:-1].replace("|", "\\|") for name in ("prompt", "model", "right")] for row in rows
               if row["kind"] == kind]
        for kind in ("answer", "sample")
    }  # fmt: skip
    answers = markdown_table(("question", "answer", "right"), cells["answer"], "lll")
    samples = markdown_table(("beginning", "continuation"), [cell[:2] for cell in cells["sample"]], "ll")
    return f"{answers}\n\n{samples}"
