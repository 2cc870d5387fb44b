"""The scaling flow in a clone: killed, it goes on; what it predicted it wrote down before it looked."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from components.core.files import read_json
from components.params import Params
from components.studies.scaling.fits import Fits
from components.studies.scaling.law import Law
from components.studies.scaling.report import predictions
from components.studies.scaling.sweep import Cell, plan
from flows import scaling
from tests.components.studies.scaling.test_sweep import PARAMS, made_up
from tests.flows.pipeline_clone import SWEEP, PipelineClone

LAWS = (Law(1.0, 500.0, 0.7, 60.0, 0.35), Law(1.0, 3000.0, 0.7, 6.0, 0.35))


def test_a_resumed_sweep_that_fits_another_law_makes_the_runs_that_it_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the predictions; the next start's fit (another scipy, another processor) prefers another width."""
    fit, ran = Fits.of, list[str]()

    def run_cells(cells: list[Cell], *_: object) -> list[dict]:
        ran.extend(cell.name for cell in cells if cell.purpose == "check")
        if any(cell.purpose == "check" for cell in cells) and len(ran) == len(cells):
            raise KeyboardInterrupt
        return made_up(cells, LAWS[0])

    monkeypatch.setattr(scaling, "as_task", lambda function: function)
    monkeypatch.setattr(scaling, "tokens", lambda *_: tmp_path)
    monkeypatch.setattr(scaling, "run_cells", run_cells)
    monkeypatch.setattr(scaling, "reports", lambda _: tmp_path / "reports")
    sweep, record = scaling.Sweep("calm-otter", Params(), PARAMS, tmp_path), object()
    with pytest.raises(KeyboardInterrupt):
        sweep._run(record)
    refitted = Fits.of(PARAMS, made_up(plan(PARAMS), LAWS[1]))
    assert predictions(refitted)[0]["width"] != read_json(tmp_path / "predictions.json")[0]["width"]
    monkeypatch.setattr(Fits, "of", lambda params, results: refitted if results else fit(params, results))
    sweep._run(record)
    assert ran[:2] == ran[2:]
    checks = read_json(tmp_path / "reports/scaling.json")["checks"]
    assert [len(row["losses"]) for row in checks] == [PARAMS.seeds]


@pytest.mark.pipeline
@pytest.mark.long
def test_a_killed_sweep_goes_on_and_checks_what_it_predicted(finished_clone: PipelineClone) -> None:
    sweep = finished_clone.start("greenhouse", "study", "scaling", *SWEEP)
    cells = finished_clone.root / ".greenhouse" / "work" / "scaling"
    deadline = time.monotonic() + 120
    while len(list(cells.glob("*/cells/*/result.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    done = {path.parent.name for path in cells.glob("*/cells/*/result.json")}
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
    assert all(path.stat().st_mtime > made for path in work.glob("cells/check-*/result.json"))
    assert children(finished_clone) == {row["name"] for row in found["cells"]}


def children(clone: PipelineClone) -> set[str]:
    """Names of the child runs of the finished sweep in MLflow."""
    parents = clone.mlflow_runs("tags.kind = 'scaling' and attributes.status = 'FINISHED'")
    runs = clone.mlflow_runs(f"tags.mlflow.parentRunId = '{parents[0].info.run_id}'")
    return {run.info.run_name for run in runs}


def test_without_data_it_says_what_to_run_first(fresh_clone: PipelineClone, finished_clone: PipelineClone) -> None:
    fresh_clone.api = finished_clone.api
    assert "data/mix is not there; run `make demo`" in fresh_clone.run("greenhouse", "study", "scaling", expect=1)
