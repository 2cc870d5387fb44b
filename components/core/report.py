"""Result of a stage: `Report`, metrics and a text that are the same for the same inputs (no times, no joules).

A stage leaves files under its `reports` folder, always in the same places:

    reports/<stage>/metrics.json      Report.metrics, nested by "/"; `dvc metrics show`, MLflow metrics
    reports/<stage>/scores.json       of facts.scores, if it has such, those with a short name; what DVC shows
    reports/<stage>/plots/            PNG pictures, and CSV or JSON that `dvc plots show` can draw
    reports/<stage>/details/          tables (CSV, JSON, Parquet), examples, report.md (= Report.markdown)
"""

from dataclasses import dataclass, field
from pathlib import Path

from components.core.files import nested, rounded, write_json, write_text


@dataclass
class Report:
    """The deterministic result of a stage.

    Attributes:
        metrics: names (`words/with_slashes`) to numbers. Few, and their names mean something: people compare them.
        markdown: a person's summary; shown as Prefect artifact and in MLflow.
        facts: anything JSON the later stages or the summary need that is no metric (a skipped task and why).
    """

    metrics: dict[str, float] = field(default_factory=dict)
    markdown: str = ""
    facts: dict = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write metrics.json, scores.json, details/report.md and details/facts.json under `folder`, and make plots/."""
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        write_json(folder / "metrics.json", rounded(nested(self.metrics, "/")))
        write_text(folder / "details" / "report.md", self.markdown.rstrip() + "\n")
        write_json(folder / "details" / "facts.json", rounded(self.facts))
        scores = self.facts.get("scores", [])
        if short := {row["column"]: round(row["value"], 3) for row in scores if row.get("column")}:
            write_json(folder / "scores.json", short)


def flat(tree: dict, prefix: str = "") -> dict[str, float]:
    """The reverse of `nested`."""
    result: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}/")
        else:
            result[prefix + name] = value
    return result
