"""The scaling flow in a clone: killed, it goes on; what it predicted it wrote down before it looked."""

import json
import os
import signal
import time

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


def test_a_killed_sweep_goes_on_and_checks_what_it_predicted(finished_clone: PipelineClone) -> None:
    sweep = finished_clone.start("flows.scaling")
    cells = finished_clone.root / ".greenhouse" / "work" / "scaling"
    deadline = time.monotonic() + 120
    while len(list(cells.glob("*/cells/*/result.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    done = {path.parent.name for path in cells.glob("*/cells/*/result.json")}
    assert done, "it was killed before any cell was finished"
    assert not list(cells.glob("*/predictions.json")), "it was killed too late"

    log = finished_clone.run("flows.scaling")
    for name in done:
        assert any(name in line and "read back" in line for line in log.splitlines()), name
    assert log.index("predicted: check-") < log.index("] check-")
    assert "scaling: Completed" in log
    reports = finished_clone.root / "reports" / "scaling"
    found = json.loads((reports / "scaling.json").read_text())
    predictions = json.loads((reports / "predictions.json").read_text())
    assert [row["loss"] for row in predictions] == pytest.approx([row["loss"] for row in found["checks"]], rel=1e-5)
    work = next(cells.iterdir())
    made = (work / "predictions.json").stat().st_mtime
    assert all(path.stat().st_mtime > made for path in work.glob("cells/check-*/result.json"))
    assert children(finished_clone) == {row["name"] for row in found["cells"]}


def children(clone: PipelineClone) -> set[str]:
    """Names of the child runs of the finished sweep in MLflow."""
    code = """
from flows.tracking import mlflow_run as tracking
mlflow = tracking.client()
ids = [tracking.experiment_id(mlflow)]
parents = mlflow.search_runs(ids, "tags.kind = 'scaling' and attributes.status = 'FINISHED'")
runs = mlflow.search_runs(ids, f"tags.mlflow.parentRunId = '{parents[0].info.run_id}'", max_results=200)
print("\\n".join(sorted(run.info.run_name for run in runs)))
"""
    return set(clone.ask(code).splitlines())


def test_without_data_it_says_what_to_run_first(fresh_clone: PipelineClone, finished_clone: PipelineClone) -> None:
    fresh_clone.api = finished_clone.api
    assert "data/mix is not there; run `make demo`" in fresh_clone.run("flows.scaling", expect=1)
