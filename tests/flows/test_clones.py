"""Two clean clones give the same hashes: by the flow on all cores, by `dvc repro` on one core with one worker."""

import sys

import pytest

from tests.flows.pipeline_clone import PipelineClone, make_clone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(900)]


def test_two_clones_two_ways_two_core_counts_same_hashes(
    finished_clone: PipelineClone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_clone(tmp_path_factory.mktemp("other"))
    other.edit("params.yaml", "  workers: 2", "  workers: 1")
    other.edit("params.yaml", "  parallel_stages: 2", "  parallel_stages: 1")
    prefix = ("taskset", "--cpu-list", "0") if sys.platform == "linux" else ()
    log = other.run("dvc", "repro", prefix=prefix)
    assert "no server runs" in log
    assert other.outputs() == finished_clone.outputs()
    assert "up to date" in other.run("dvc", "status")
    assert "nothing to do" in other.run("flows.pipeline")
    kinds = other.ask("""
import mlflow
c = mlflow.MlflowClient()
runs = c.search_runs([c.get_experiment_by_name("greenhouse").experiment_id])
kinds = sorted({(run.data.tags["kind"], run.info.status) for run in runs})
print(kinds, sum("mlflow.parentRunId" not in run.data.tags for run in runs))
""").splitlines()[-1]
    assert kinds == "[('dvc repro', 'FINISHED')] 1"


def test_other_filter_settings_leave_the_exam_as_it_is(finished_clone: PipelineClone) -> None:
    before = finished_clone.outputs()
    with finished_clone.edited(
        "params.yaml", ("min_words: 5 ", "min_words: 1500 "), ("threshold: 0.7 ", "threshold: 0.6 ")
    ):
        finished_clone.run("flows.pipeline", "--until", "filter")
        after = finished_clone.outputs()
    assert after["data/ingest/heldout"] == before["data/ingest/heldout"]
    assert after["data/filter"] != before["data/filter"]
    assert finished_clone.outputs() == before
