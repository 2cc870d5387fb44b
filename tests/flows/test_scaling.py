"""The scaling flow in a clone: killed, it goes on; what it predicted it wrote down before it looked."""

import json
import os
import signal

import pytest

from tests.flows.pipeline_clone import SWEEP, PipelineClone, until


@pytest.mark.pipeline
@pytest.mark.long
def test_a_killed_sweep_goes_on_and_checks_what_it_predicted(finished_clone: PipelineClone) -> None:
    sweep = finished_clone.start("greenhouse", "study", "scaling", *SWEEP)
    cells = finished_clone.root / ".greenhouse" / "work" / "scaling"
    until(lambda: len(list(cells.glob("*/points/*/result.json"))) > 2)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    done = {path.parent.name for path in cells.glob("*/points/*/result.json")}
    assert done, "it was killed before any cell was finished"
    assert not list(cells.glob("*/predictions.json")), "it was killed too late"

    log = finished_clone.run("greenhouse", "study", "scaling", *SWEEP)
    for name in done:
        assert any(name in line and "read back" in line for line in log.splitlines()), name
    assert log.index("predicted: 2x") < log.index("] check-")
    assert "scaling: Completed" in log
    reports = finished_clone.root / "reports" / "scaling"
    found = json.loads((reports / "scaling.json").read_text())
    predictions = json.loads((reports / "predictions.json").read_text())
    assert [row["loss"] for row in predictions] == pytest.approx([row["loss"] for row in found["checks"]], rel=1e-5)
    work = next(cells.iterdir())
    made = (work / "predictions.json").stat().st_mtime
    assert all(path.stat().st_mtime > made for path in work.glob("points/check-*/result.json"))
    assert children(finished_clone) == {row["name"] for row in found["cells"]}


def children(clone: PipelineClone) -> set[str]:
    """Names of the child runs of the finished sweep in MLflow."""
    parents = clone.mlflow_runs("tags.kind = 'scaling' and attributes.status = 'FINISHED'")
    runs = clone.mlflow_runs(f"tags.mlflow.parentRunId = '{parents[0].info.run_id}'")
    return {run.info.run_name for run in runs}
