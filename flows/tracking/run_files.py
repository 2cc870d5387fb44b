"""The files and figures of a checkout that the record of a run or of a stage holds."""

from collections.abc import Collection
from pathlib import Path

import yaml

from components.core.files import read_json, write_text
from components.params import yaml_text


def report_files(reports: Path) -> list[Path]:
    """A stage's pictures, report and metrics."""
    return [*sorted(reports.rglob("*.png")), reports / "details" / "report.md", reports / "metrics.json"]


def headline(root: Path) -> dict[str, float]:
    """Every score and the cost of a run as a whole (reports/summary.json, "headline")."""
    path = root / "reports" / "summary.json"
    return read_json(path).get("headline", {}) if path.exists() else {}


def summary_text(root: Path) -> str:
    """The summary that the account stage left: the five answers, and scores beside their baselines; "" if none."""
    path = root / "reports" / "summary.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def run_files(root: Path, accounted: bool, unmade: Collection[str] = (), folder: Path | None = None) -> list[Path]:
    """Files that MLflow keeps with a run: what it was made from and, if it came to its end, the report.

    Args:
        unmade: stages left out of its dvc.lock, which names what an earlier run made of them; that
            copy is written to `folder`.
    """
    reports = ["reports/report.html", "reports/summary.json", "reports/cards"] if accounted else []
    lock = root / "dvc.lock"
    if unmade and folder and lock.exists():
        tree = yaml_text.load(lock.read_text(encoding="utf-8")) or {}
        stages = {stage: entry for stage, entry in tree.get("stages", {}).items() if stage not in unmade}
        lock = folder / "dvc.lock"
        write_text(lock, yaml.safe_dump(tree | {"stages": stages}, sort_keys=False))
    return [root / "params.yaml", root / "defaults.yaml", lock, *(root / name for name in reports)]
