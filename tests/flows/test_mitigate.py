"""`greenhouse study mitigate` in a clone that has run: three arms, their differences, children in MLflow; read back."""

import json

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline]
SMALL = ("seeds=2", "model={size: 1, width: 32}", "steps=3", "batch=2", "context=32", "heldout_kilobytes=4.0")


@pytest.mark.long
def test_the_trial(finished_clone: PipelineClone) -> None:
    before = finished_clone.git("status", "--porcelain")
    said = finished_clone.run("greenhouse", "study", "mitigate", *SMALL)
    assert "[6/6] random-seed2: spread" in said
    assert "| difference, counterfactual - random | " in said
    reports = finished_clone.root / "reports/mitigate"
    first = (reports / "mitigate.json").read_bytes()
    assert {path.name for path in reports.iterdir()} == {"mitigate.json", "report.md", "plots"}
    assert len(json.loads(first)["runs"]) == 6
    arms = [(arm, seed, True) for arm in ("counterfactual", "none", "random") for seed in ("1", "2")]
    runs = finished_clone.mlflow_runs("tags.stage = 'mitigate'")
    found = [(run.data.params["arm"], run.data.params["seed"], "spread" in run.data.metrics) for run in runs]
    assert sorted(found) == arms
    models = list((finished_clone.root / ".greenhouse/work/mitigate").glob("*/points/*/model/model.safetensors"))
    made = {path: path.stat().st_mtime_ns for path in models}
    assert len(made) == 6
    finished_clone.run("greenhouse", "study", "mitigate", *SMALL)
    assert {path: path.stat().st_mtime_ns for path in models} == made, "finished models are read back"
    assert (reports / "mitigate.json").read_bytes() == first
    assert finished_clone.git("status", "--porcelain") == before
