"""Where things are: what an experiment in DVC's own temporary folder records lies in the checkout that it is of."""

import re
import time

import pytest
import yaml

from components.carbon.ledger.reader import read
from tests.flows.pipeline_clone import ROOT, PipelineClone

pytestmark = pytest.mark.pipeline


def run_queue(clone: PipelineClone) -> None:
    """Start a worker of DVC's queue, and wait until it has done the one experiment that is in it."""
    clone.run("dvc", "queue", "start")
    deadline = time.monotonic() + 300
    while not re.search("(Success|Failed) *$", told := clone.run("dvc", "queue", "status"), re.MULTILINE):
        assert time.monotonic() < deadline, told
        time.sleep(1)
    assert "Success" in told, clone.run("dvc", "queue", "logs", "calm")


@pytest.mark.parametrize("way", ["--temp", pytest.param("--queue", marks=pytest.mark.long)])
def test_an_experiment_in_a_temporary_folder_keeps_ledger_mlflow_and_log(
    toy_clone: PipelineClone, toy_mlflow: None, way: str
) -> None:
    """They went with the folder: it is a repository of its own, which was taken for the main checkout."""
    ingest = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["ingest"]
    (toy_clone.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"ingest": ingest}}))
    toy_clone.git("commit", "--quiet", "--all", "--message", "a stage that keeps the books")
    toy_clone.run("dvc", "exp", "run", way, "--name", "calm", "--set-param", "+ingest.heldout_salt=calm")
    if way == "--queue":
        run_queue(toy_clone)
    assert not list((toy_clone.root / ".dvc/tmp/exps").glob("**/dvc.yaml")), "the folder is gone"
    state = toy_clone.root / ".greenhouse"
    spans = read(state / "ledger").select(stage="ingest")
    assert {span.outcome for span in spans} == {"Completed"}
    (run,) = toy_clone.mlflow_runs("tags.stage = 'ingest'")
    assert run.info.status == "FINISHED"
    assert [str(path) for path in state.glob("runs/*/ingest/stage.log")] == [run.data.tags["log"]]


def test_a_temporary_clone_of_a_worktree_has_the_state_of_the_main_checkout(fresh_clone: PipelineClone) -> None:
    worktree = fresh_clone.root.parent / "worktree"
    fresh_clone.git("worktree", "add", "--quiet", "--detach", str(worktree), "HEAD")
    fresh_clone.git("clone", "--quiet", str(fresh_clone.root), str(clone := worktree / ".dvc/tmp/exps/standalone/tmp1"))
    shown = PipelineClone(clone).run_code("from flows.system import paths; print(paths.ROOT, paths.STATE)")
    assert shown == f"{clone} {fresh_clone.root / '.greenhouse'}"
