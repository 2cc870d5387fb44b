"""The result of a stage: a JSON file that the stage's process writes and that the pipeline reads.

It lies beside the run's logs, so both sides know it by the names of run and stage. What DVC did without starting the
stage leaves no such file.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.core.errors import STOPPED_EXIT
from components.core.files import read_json, write_json, write_text
from flows.system import paths


@dataclass
class StageResult:
    """How a stage ended: one sentence, the log, seconds of its function, `Spent` as a mapping, and its energy.

    `name` is `Completed`, `Failed`, what DVC did without it (`Cached`, `Restored`), or the name of a stop on purpose.
    """

    name: str
    message: str
    log: str = ""
    function_s: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    kwh: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def stopped(self) -> bool:
        return self.name not in ("Completed", "Failed", "Cached", "Restored")

    @property
    def exit_status(self) -> int:
        return STOPPED_EXIT if self.stopped else int(self.name == "Failed")

    @property
    def state(self) -> Any:
        """The Prefect state of the run that ended so: a stop on purpose, unfinished, is of the type Cancelled."""
        from prefect.states import Cancelled, Completed, Failed

        if self.name == "Failed":
            return Failed(message=self.message)
        kind = Cancelled if self.stopped else Completed
        return kind(name=self.name, message=self.message)


def run_name() -> str:
    """The name all records of this run share: the pipeline's, or one for the `dvc repro` above this process."""
    return os.environ.get("GREENHOUSE_RUN") or f"dvc-repro-{os.getppid()}"


def result_file(run: str, stage: str) -> Path:
    """Where the process of a stage leaves its result."""
    return paths.LOGS / run / "results" / f"{stage}.json"


def write_result(run: str, stage: str, result: StageResult) -> None:
    """Leave the result for whoever started the stage."""
    write_json(result_file(run, stage), vars(result))


def read_result(run: str, stage: str) -> StageResult | None:
    """The result that the stage's process left; None if it did not come that far."""
    path = result_file(run, stage)
    if not path.exists():
        return None
    raw = read_json(path)
    return StageResult(**raw | {"kwh": tuple(raw["kwh"])})


def headline(root: Path) -> dict[str, float]:
    """The few figures that stand for a run as a whole (reports/summary.json, "headline")."""
    path = root / "reports" / "summary.json"
    return read_json(path).get("headline", {}) if path.exists() else {}


def summary_text(root: Path) -> str:
    """The summary that the account stage left: the five answers, and scores beside their baselines; "" if none."""
    path = root / "reports" / "summary.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def kept_files(root: Path, accounted: bool, unmade: Collection[str] = (), folder: Path = paths.LOGS) -> list[Path]:
    """Files that MLflow keeps with a run: what it was made from and, if it came to its end, the report.

    Args:
        unmade: stages left out of its dvc.lock, which names what an earlier run made of them; that copy is written to
            `folder`.
    """
    reports = ["reports/report.html", "reports/summary.json", "reports/cards"] if accounted else []
    lock = root / "dvc.lock"
    if unmade and lock.exists():
        tree = yaml.safe_load(lock.read_text(encoding="utf-8")) or {}
        stages = {stage: entry for stage, entry in tree.get("stages", {}).items() if stage not in unmade}
        lock = folder / "dvc.lock"
        write_text(lock, yaml.safe_dump(tree | {"stages": stages}, sort_keys=False))
    return [root / "params.yaml", root / "defaults.yaml", lock, *(root / name for name in reports)]
