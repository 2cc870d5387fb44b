"""Two clean clones give the same hashes: by the flow on all cores, by `dvc repro` on one core with one worker."""

import sys
from collections.abc import Callable

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.long
def test_two_clones_two_ways_two_core_counts_same_hashes(
    fresh_clone: PipelineClone, finished_outputs: Callable[[], dict[str, str]]
) -> None:
    """Undisturbed; test_kill.py holds the same of a clone that is killed time and again, each time the suite runs."""
    other = fresh_clone
    other.set(runtime__workers=1, runtime__parallel_stages=1)
    prefix = ("taskset", "--cpu-list", "0") if sys.platform == "linux" else ()
    other.run("dvc", "repro", prefix=prefix)
    assert other.outputs() == finished_outputs()
    assert "up to date" in other.run("dvc", "status")
    assert "nothing to do" in other.run("greenhouse", "run")
    runs = other.mlflow_runs()
    assert {(run.data.tags["kind"], run.info.status) for run in runs} == {("dvc repro", "FINISHED")}
    assert sum("mlflow.parentRunId" not in run.data.tags for run in runs) == 1
