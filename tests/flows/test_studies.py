"""`greenhouse study labels` and `mitigate` in a clone that has run: a report, children in MLflow; points read back."""

import json
from typing import Any

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.long]

LABELS = ("labels=[64,80]", "seeds=2", "heldout_items=40")
TRIAL = ("seeds=2", "model={size: 1, width: 32}", "steps=3", "batch=2", "context=32", "heldout_kilobytes=4.0")


@pytest.mark.parametrize(
    ("verb", "name", "settings", "points", "figure", "result", "says"),
    [
        ("labels", "label_efficiency", LABELS, 16, "accuracy", "label_efficiency",
         ["[16/16] causal-80-seed2", "times as many labels"]),
        ("mitigate", "mitigate", TRIAL, 6, "spread", "contrasts",
         ["[6/6] random-seed2: spread", "| difference, counterfactual - random | "]),
    ],
    ids=["labels", "mitigate"],
)  # fmt: skip
def test_a_study_is_recorded_point_by_point_and_read_back(
    finished_clone: PipelineClone, verb: str, name: str, settings: tuple[str, ...], points: int, figure: str,
    result: str, says: list[str],
) -> None:  # fmt: skip
    before, reports = finished_clone.git("status", "--porcelain"), finished_clone.root / "reports" / name

    def studied() -> tuple[str, dict[str, Any]]:
        said = finished_clone.run("greenhouse", "study", verb, *settings)
        return said, json.loads((reports / f"{name}.json").read_text())

    said, first = studied()
    assert all(part in said for part in says)
    assert {path.name for path in reports.iterdir()} == {f"{name}.json", "report.md", "plots"}
    runs = finished_clone.mlflow_runs(f"tags.stage = '{name}'")
    assert len(runs) == points
    assert all(figure in run.data.metrics for run in runs)
    made = {path: path.stat().st_mtime_ns for path in finished_clone.root.glob(
        f".greenhouse/work/{name}/*/points/*/result.json"
    )}  # fmt: skip
    assert len(made) == points
    undone, *rest = sorted(made)
    undone.unlink()  # as after a kill: what is finished is read back, the rest is made
    said, second = studied()
    assert said.count("read back") == points - 1
    assert {path for path in made if path.stat().st_mtime_ns == made[path]} == set(rest)
    assert second[result] == first[result]
    assert finished_clone.git("status", "--porcelain") == before
