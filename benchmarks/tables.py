"""Fill the tables of README.md and docs/ from benchmarks/results/*.json: `python -m benchmarks.tables`.

A table stands between `<!-- goals NAME -->`, or the name of one of `TABLES`, and `<!-- end -->`; a benchmark fills its
own when it ends. With `--demo` those of the last `make demo` in this checkout (`<!-- demo -->`, `<!-- answers -->`) are
filled too.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import data_table, demo_tables, stamp, train_table
from components.core.files import read_json

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- (?:goals )?(?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES: dict[str, tuple[str, Callable[[dict], str]]] = {
    "contestants": ("train", train_table.table),
    "terabyte": ("data", data_table.terabyte),
}
"""Name -> the results it is made of, and by what."""
DEMO: dict[str, Callable[[], str]] = {"demo": demo_tables.excerpt, "answers": demo_tables.answers}


def goals_table(results: dict) -> str:
    """A benchmark's goals as a Markdown table; below it where and at which commit each was measured."""
    rows = ["| | measured | goal | met |", "|---|--:|--:|---|"]
    for row in results["goals"]:
        sign, met = "≥" if row["better"] == "higher" else "≤", "yes" if row["met"] else "no"
        named = f"`{row['name']}`" + (f": {row['says']}" if row.get("says") else "")
        rows.append(f"| {named} | {row['value']:.4g} | {sign} {row['goal']:g} | {met} |")
    return "\n".join(rows) + "\n\n" + stamp.in_words({row["name"]: row for row in results["goals"]})


def filled(text: str, demo: bool = False) -> str:
    """`text` with its tables made anew; one whose benchmark has no results stays as it is."""

    def fill(match: re.Match[str]) -> str:
        results, made = TABLES.get(match["name"], (match["name"], goals_table))
        path = ROOT / "benchmarks" / "results" / f"{results}.json"
        if demo and match["name"] in DEMO:
            table = DEMO[match["name"]]()
        elif path.exists():
            table = made(read_json(path))
        else:
            return match[0]
        return f"{match[1]}\n{table}\n\n{match[3]}"

    return BLOCK.sub(fill, text)


def pages() -> list[Path]:
    """Every page that may hold a table."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main(demo: bool = False) -> None:
    """Fill all tables."""
    for page in pages():
        before = page.read_text()
        after = filled(before, demo)
        if after != before:
            page.write_text(after)
            print(f"table filled: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(demo="--demo" in sys.argv[1:])
