"""`greenhouse study labels` in a clone that has run: points, report, children in MLflow; read back."""

import json

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.long]
SMALL = ("labels=[64,80]", "seeds=2", "heldout_items=40")


def test_the_study(finished_clone: PipelineClone) -> None:
    before = finished_clone.git("status", "--porcelain")
    said = finished_clone.run("greenhouse", "study", "labels", *SMALL)
    assert "[16/16] causal-80-seed2" in said
    assert "times as many labels" in said
    reports = finished_clone.root / "reports/label_efficiency"
    first = json.loads((reports / "label_efficiency.json").read_text())
    assert {path.name for path in reports.iterdir()} == {"label_efficiency.json", "report.md", "plots"}
    assert first["label_efficiency"].keys() == {"value", "low", "reached"}
    assert all(row["joules"] > 0 for row in first["curves"]["scratch"])
    runs = finished_clone.mlflow_runs("tags.stage = 'label_efficiency'")
    assert len(runs) == 16
    assert all("accuracy" in run.data.metrics for run in runs)
    points = sorted((finished_clone.root / ".greenhouse/work/label_efficiency").glob("*/points/*/result.json"))
    made = {path: path.stat().st_mtime_ns for path in points}
    assert len(made) == 16
    points[0].unlink()  # as after a kill: what is finished is read back, the rest is made
    again = finished_clone.run("greenhouse", "study", "labels", *SMALL)
    assert again.count("read back") == 15
    assert {path for path in points if path.stat().st_mtime_ns == made[path]} == set(points[1:])
    second = json.loads((reports / "label_efficiency.json").read_text())
    assert second["label_efficiency"] == first["label_efficiency"]
    assert finished_clone.git("status", "--porcelain") == before
