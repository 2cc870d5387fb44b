"""Where things are: what an experiment's worktree uses is booked in the ledger of the checkout it was made from."""

import shutil
from pathlib import Path

import pytest

from components.carbon.ledger.reader import read
from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone

pytestmark = pytest.mark.pipeline

METERED = """
from flows.system import paths
from greenhouse_record.metering.meter import Meter
with Meter(paths.LEDGER, 1.0, {"stage": "dedup", "run": "calm-otter", "checkout": paths.ROOT.name}):
    sum(range(1_000_000))
"""


def test_an_experiments_spans_are_in_the_main_checkouts_ledger(fresh_clone: PipelineClone) -> None:
    root = fresh_clone.root / ".greenhouse" / "worktrees" / "calm-otter"
    fresh_clone.git("worktree", "add", "--quiet", "--detach", str(root), "HEAD")
    PipelineClone(root).run_code(METERED)
    fresh_clone.git("worktree", "remove", "--force", str(root))  # as at the end of an experiment
    ledger = read(fresh_clone.root / ".greenhouse" / "ledger")
    (span,) = ledger.select(stage="dedup")
    assert (span.outcome, span.labels["checkout"]) == ("Completed", "calm-otter")
    assert span.energy.mid_uj > 0


def test_a_checkout_that_git_refuses_is_one_sentence(fresh_clone: PipelineClone) -> None:
    """Of every command: it is the import of `flows` that says so."""
    shown = fresh_clone.run("greenhouse", "plan", "--why", "--help", expect=1, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert shown.count("\n") == 1, shown
    shows(shown, "paths._state.4", fresh_clone.root, "safe.directory")
    shutil.rmtree(fresh_clone.root / ".git")
    shown = fresh_clone.run("greenhouse", "plan", "--why", expect=1)
    assert shown.count("\n") == 1, shown
    shows(shown, "paths._state.5", fresh_clone.root)


def test_a_state_folder_has_any_name_and_nothing_of_others_in_it(fresh_clone: PipelineClone, tmp_path: Path) -> None:
    own = tmp_path / "my books"
    for _ in range(2):  # new, and as the first left it
        shown = fresh_clone.run("greenhouse", "cost", "--help", GREENHOUSE_STATE=str(own))
        assert "Usage:" in shown
        assert (own / "dvc-config").is_dir()
    fresh_clone.run("greenhouse", "cost", "--help", GREENHOUSE_STATE="~/books", HOME=str(tmp_path))
    assert (tmp_path / "books" / "dvc-config").is_dir()
    shared, file = tmp_path / "shared", tmp_path / "file"
    shared.mkdir(mode=0o755)
    (shared / "letter").touch()
    file.touch()
    for named, *says in (
        (shared, "paths._state.2"),
        (file, "paths._state.1", "Not a directory"),
        ("/proc/x", "environment.private.1"),
    ):
        shown = fresh_clone.run("greenhouse", "cost", "--help", expect=1, GREENHOUSE_STATE=str(named))
        assert shown.count("\n") == 1, shown
        shows(shown, *says, named)
    assert shared.stat().st_mode & 0o777 == 0o755


MODES = """
import os, subprocess
os.umask(0)
from flows.system import dvc, paths
from flows.system.run_folder import RunFolder
subprocess.run(dvc.command("status"), cwd=paths.ROOT, capture_output=True)
RunFolder("calm-otter").open("pipeline")
folders = [paths.STATE, paths.STATE / "dvc", paths.STATE / "dvc" / "repo", paths.STATE / "dvc-config"]
for path in [*folders, paths.RUNS / "calm-otter" / "run.json"]:
    print(oct(path.stat().st_mode & 0o777), end=" ")
"""


def test_no_other_user_can_enter_the_state_folder_or_plant_what_dvc_reads(fresh_clone: PipelineClone) -> None:
    state = fresh_clone.root / ".greenhouse"
    assert fresh_clone.run_code(MODES) == "0o700 0o700 0o700 0o700 0o600"
    for folder in (state, state / "dvc", state / "dvc" / "repo"):
        folder.chmod(0o777)
    assert fresh_clone.run_code(MODES) == "0o700 0o700 0o700 0o700 0o600"
    asked = "import flows; from dvc.dirs import global_config_dir, system_config_dir; "
    told = fresh_clone.run_code(asked + "print(global_config_dir(), system_config_dir(), sep='\\n')").splitlines()
    assert told == [str(state / "dvc-config")] * 2  # not the site cache
