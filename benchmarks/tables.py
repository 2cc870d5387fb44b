"""Fill the tables of README.md and docs/ from benchmarks/results/*.json: `python -m benchmarks.tables`.

A table stands between `<!-- goals NAME -->` and `<!-- end -->`; a benchmark fills its own when it ends. With `--demo`
the table of the last `make demo` in this checkout is put between `<!-- demo -->` and `<!-- end -->`.
"""

import re
import sys
from pathlib import Path

from components.files import read_json

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- (goals (?P<name>[\w-]+)|demo) -->\n).*?(<!-- end -->)", re.DOTALL)


def goals_table(results: dict) -> str:
    """A benchmark's goals as a Markdown table, with the machine and the day below it."""
    rows = ["| | measured | goal | met |", "|---|--:|--:|---|"]
    for row in results["goals"]:
        sign, met = "≥" if row["better"] == "higher" else "≤", "yes" if row["met"] else "no"
        named = f"`{row['name']}`" + (f": {row['says']}" if row.get("says") else "")
        rows.append(f"| {named} | {row['value']:.4g} | {sign} {row['goal']:g} | {met} |")
    return "\n".join(rows) + f"\n\nMeasured on {results['machine']}, {results['date']}, commit {results['commit'][:9]}."


def demo_table() -> str:
    """What `make demo` printed last here."""
    return (ROOT / "reports" / "summary.md").read_text().strip()


def filled(text: str, demo: bool = False) -> str:
    """`text` with its tables made anew; one whose benchmark has no results stays as it is."""

    def fill(match: re.Match[str]) -> str:
        path = ROOT / "benchmarks" / "results" / f"{match['name']}.json"
        if not (path.exists() if match["name"] else demo):
            return match[0]
        table = goals_table(read_json(path)) if match["name"] else demo_table()
        return f"{match[1]}\n{table}\n\n{match[4]}"

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
