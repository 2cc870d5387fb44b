"""Giving room back: bytes first, then a yes; what has a name stays."""

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone
from tests.flows.toy import BIN, change_seed

pytestmark = [pytest.mark.pipeline]


def cached(clone: PipelineClone) -> int:
    """Objects in DVC's cache."""
    return sum(1 for path in (clone.root / ".dvc/cache/files/md5").glob("??/*"))


def test_clean_takes_leftovers_and_idle_work_folders(toy_clone: PipelineClone) -> None:
    work = toy_clone.root / ".greenhouse" / "work" / "pretrain@causal"
    for name in ("idle", "busy"):
        (work / name).mkdir(parents=True)
        (work / name / "lock").touch()
        (work / name / "checkpoint").write_bytes(b"x" * 1_000_000)
    (work / "lock-alone").mkdir()
    (work / "lock-alone" / "lock").write_text("12345")  # all that a stage leaves that ended
    (toy_clone.root / ".pytest_cache").mkdir()
    with open(work / "busy" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = toy_clone.run("greenhouse", "clean", "--leftovers", expect=1)
        assert "1.0 MB  .greenhouse/work/pretrain@causal/idle" in said
        assert not re.search("busy|lock-alone", said)
        assert (work / "idle").exists()
        toy_clone.run("greenhouse", "clean", "--leftovers", YES="1")
    assert not (work / "idle").exists()
    assert (work / "busy").exists()
    assert not (toy_clone.root / ".pytest_cache").exists()
    assert "up to date" in toy_clone.run("dvc", "status")


def test_gc_keeps_the_workspace_and_tags(toy_clone: PipelineClone) -> None:
    change_seed(toy_clone, 2)
    change_seed(toy_clone, 3, old=2)
    before = cached(toy_clone)
    said = toy_clone.run("greenhouse", "clean", "--unused", expect=1)
    assert "objects of DVC's cache" in said
    assert "MLflow's models that nothing names any more: `greenhouse clean --unused`" in toy_clone.run(
        "greenhouse", "clean"
    )
    assert cached(toy_clone) == before
    toy_clone.run("greenhouse", "clean", "--unused", YES="1")
    assert 0 < cached(toy_clone) < before
    assert "nothing to remove" in toy_clone.run("greenhouse", "clean", "--unused")
    toy_clone.git("stash")
    toy_clone.run("dvc", "checkout")
    assert b"causal 1 " in (toy_clone.root / "models/pretrain/causal/model.safetensors").read_bytes()
    toy_clone.git("stash", "pop")
    toy_clone.run("dvc", "checkout")
    assert b"causal 3 " in (toy_clone.root / "models/pretrain/causal/model.safetensors").read_bytes()


def test_gc_leaves_a_cache_outside_of_the_checkout(toy_clone: PipelineClone, tmp_path: Path) -> None:
    """Others may share it; it took what their workspaces need."""
    (toy_clone.root / ".dvc/cache").rename(tmp_path / "shared")
    toy_clone.run("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    change_seed(toy_clone, 2)
    change_seed(toy_clone, 3, old=2)
    objects = sorted((tmp_path / "shared").rglob("*"))
    assert "nothing to remove" in toy_clone.run("greenhouse", "clean", "--unused", YES="1")
    toy_clone.git("commit", "--quiet", "--all", "--message", "seeds")
    toy_clone.run("dvc", "exp", "run", "--name", "idle-try", "-S", "pretrain.common.seed=5", **BIN)
    said = toy_clone.run("greenhouse", "clean", "--unused", YES="1")
    assert "DVC experiment idle-try" in said
    assert "idle-try" not in toy_clone.git("for-each-ref", "refs/exps")
    assert f"DVC's cache, {tmp_path}/shared/files/md5, lies outside of this checkout: its objects stay" in said
    assert set(objects) <= set((tmp_path / "shared").rglob("*"))


RECORD_RUNS = """
import os, sys
import flows
import mlflow
from flows.tracking.mlflow_run import client, experiment_id
c = client()
e = experiment_id(c)
c.create_registered_model("greenhouse-causal-1")
for argument in sys.argv[1:]:
    name, alias = argument.split(":")
    parent = c.create_run(e, run_name=name)
    c.log_artifact(parent.info.run_id, f"../{name}/dvc.lock")
    child = c.create_run(e, run_name="pretrain@causal", tags={"mlflow.parentRunId": parent.info.run_id})
    with mlflow.start_run(child.info.run_id):
        model = mlflow.create_external_model(name="causal", source_run_id=child.info.run_id)
    version = c.create_model_version(
        "greenhouse-causal-1", f"models:/{model.model_id}", child.info.run_id, model_id=model.model_id)
    if alias:
        c.set_registered_model_alias("greenhouse-causal-1", alias, version.version)
"""


def record_runs(clone: PipelineClone, aliases: dict[str, str]) -> None:
    """Pipeline runs in MLflow as they leave them: a parent with its dvc.lock, a child with a registered model.

    Args:
        aliases: name of a run, whose dvc.lock lies beside the clone in a folder of that name, to its model's alias.
    """
    command = [sys.executable, "-c", RECORD_RUNS, *(f"{name}:{alias}" for name, alias in aliases.items())]
    done = subprocess.run(command, cwd=clone.root, env=clone.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.long
def test_gc_keeps_the_champion_and_forgets_the_rest(toy_clone: PipelineClone) -> None:
    aliases = {"best-run": "champion", "poor-run": "", "last-run": "challenger"}
    for number, name in enumerate(aliases):
        change_seed(toy_clone, number + 2, old=number + 1)
        (toy_clone.root.parent / name).mkdir()
        shutil.copy(toy_clone.root / "dvc.lock", toy_clone.root.parent / name)
    record_runs(toy_clone, aliases)
    change_seed(toy_clone, 9, old=4)
    said = toy_clone.run("greenhouse", "clean", "--unused", YES="1")
    assert "best-run, last-run" in said
    assert "greenhouse-causal-1 version 2" in said
    assert "pretrain.causal.seed: 2 -> 4" in toy_clone.run(
        "greenhouse", "compare", "greenhouse-causal-1@champion", "greenhouse-causal-1@challenger"
    )
    assert "+0.2000" in toy_clone.run("greenhouse", "compare", "best-run", "last-run")
    shows(toy_clone.run("greenhouse", "compare", "best-run", "poor-run", expect=1), "ObjectCache.fetched")


def test_purge_takes_all_but_the_sources_and_the_ledger(toy_clone: PipelineClone, tmp_path: Path) -> None:
    (toy_clone.root / ".greenhouse" / "ledger").mkdir(parents=True)
    (toy_clone.root / ".greenhouse" / "ledger" / "host.jsonl").write_text("{}\n")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/installed").touch()  # the mark of make
    (toy_clone.root / ".venv").symlink_to(tmp_path / "venv")
    said = toy_clone.run("greenhouse", "clean", "--all", expect=1)
    assert said.count("YES=1") == 1
    assert "dvc.lock goes, even if git tracks it" in said, "both stood among `10 more`"
    assert (toy_clone.root / "models").exists()
    assert "energy ledger" in toy_clone.run("greenhouse", "clean", "--all", YES="1")
    for gone in ("data", "models", "reports", ".dvc/cache", ".venv"):
        assert not (toy_clone.root / gone).exists()
    assert (tmp_path / "venv").exists()  # a link goes, not what it points at
    assert {path.name for path in (toy_clone.root / ".greenhouse").iterdir()} == {"checkout.json", "ledger"}
    changed = toy_clone.git("status", "--porcelain").split()
    assert changed == ["D", "dvc.lock"]
    toy_clone.run("greenhouse", "clean", "--all", "--ledger", YES="1")
    assert not list((toy_clone.root / ".greenhouse").iterdir())


def test_purge_leaves_what_no_record_of_this_checkout_names(toy_clone: PipelineClone, tmp_path: Path) -> None:
    """It emptied folders by their names: a thesis beside an `mlflow.db`, rows of one's own, the only adopted copy."""
    root, state = toy_clone.root, tmp_path / "state"
    own = [root / name for name in ("data/rows/mine.csv", "models/adopted/one/weights", "exports/causal/card.md")]
    own += [root / "models/pretrain/causal/notes.txt", root / "reports/letter.txt", root / "build/plan.txt"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    toy_clone.run("dvc", "add", "--quiet", "models/adopted/one")
    toy_clone.git("add", "--force", "models/adopted/one.dvc")
    toy_clone.run("greenhouse", "cost", "--help", GREENHOUSE_STATE=str(state))
    (state / "thesis.txt").write_text("mine")
    said = toy_clone.run("greenhouse", "clean", "--all", YES="1", GREENHOUSE_STATE=str(state))
    left = [path for path in own if path.name != "plan.txt"]
    assert all(f"Left, named by no record: {path}" in said for path in left)
    assert f"Left, not made by this project: {state / 'thesis.txt'}" in said
    assert all(path.read_text() == "mine" for path in [*own, state / "thesis.txt"])
    assert not (root / "models/pretrain/causal/model.safetensors").exists()
    shutil.rmtree(root / "models/adopted/one")
    toy_clone.run("dvc", "checkout", "models/adopted/one.dvc")
    assert own[1].read_text() == "mine", "DVC's cache has it still"


def test_purge_in_a_worktree_leaves_the_main_checkouts_state(toy_clone: PipelineClone, tmp_path: Path) -> None:
    toy_clone.run("greenhouse", "cost", "--help")
    toy_clone.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    shutil.copytree(tmp_path / "tree", tmp_path / "second")
    before = sorted((toy_clone.root / ".greenhouse").rglob("*"))
    for place in ("tree", "second"):
        other = PipelineClone(tmp_path / place)
        said = other.run("greenhouse", "clean", "--all", "--ledger", YES="1")
        assert f"Left: {toy_clone.root}/.greenhouse, the state folder of {toy_clone.root}; clean it there." in said
        assert set(before) <= {*(toy_clone.root / ".greenhouse").rglob("*")}


def test_a_damaged_mlflow_database_hides_nothing_else(toy_clone: PipelineClone) -> None:
    toy_clone.run("greenhouse", "cost")
    (toy_clone.root / ".greenhouse/mlflow.db").write_bytes(b"no database" * 1000)
    (toy_clone.root / ".greenhouse/runs").mkdir(exist_ok=True)
    (toy_clone.root / ".greenhouse/runs/.result.json.4194304.tmp").write_bytes(b"x" * 3_000_000)
    said = toy_clone.run("greenhouse", "clean")
    shows(said, "garbage.unused", "mlflow.db")
    assert "greenhouse clean --all" in said
    assert "3.0 MB" in toy_clone.run("greenhouse", "clean", "--leftovers", YES="1"), "what a kill left of a whole write"


def test_nothing_is_taken_from_under_a_run(toy_clone: PipelineClone) -> None:
    code = (
        "import time; from flows.system.run_folder import RunFolder; "
        "RunFolder('busy-run').open('pipeline'); print('open', flush=True); time.sleep(60)"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=toy_clone.root, env=toy_clone.environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert runner.stdout
        assert runner.stdout.readline() == "open\n"
        for way in ("--unused", "--all"):
            said = toy_clone.run("greenhouse", "clean", way, expect=1, YES="1")
            shows(said, "refuse_while_running.2", "busy-run")
    finally:
        runner.kill()
        runner.wait()
