"""The runs that are open now: one small file each, so that what a kill leaves open can be found and closed.

A file of `.greenhouse/open/` holds the process that owns a run and the run's ids in Prefect and MLflow (and a worktree,
if the run made one). It is removed when the run ends. At the next start `recover()` closes those whose process is gone:
Prefect `Crashed`, MLflow `KILLED`, worktree removed. A run with no file is never touched, nor one of another host.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from components.files import read_json, write_json
from flows.house import ROOT, STATE, process_tag, tag_alive

OPEN = STATE / "open"


def opened(name: str, **facts: str) -> Path:
    """Record that this process has a run open, or add to the record: `prefect`, `mlflow` (ids), `worktree` (path)."""
    path = OPEN / f"{name}.json"
    before = read_json(path) if path.exists() else {}
    write_json(path, before | {"process": process_tag()} | facts)
    return path


def closed(name: str) -> None:
    """The run ended and its trackers know."""
    (OPEN / f"{name}.json").unlink(missing_ok=True)


def dead() -> list[Path]:
    """Records of runs whose process is gone."""
    paths = sorted(OPEN.glob("*.json")) if OPEN.exists() else []
    return [path for path in paths if not tag_alive(read_json(path)["process"])]


def recover(say: Callable[[str], None] = print) -> int:
    """Close what dead processes left open. Returns how many runs that were."""
    records = dead()
    for path in records:
        record = read_json(path)
        say(f"closing {path.stem}: its process ended without closing it")
        if flow_run := record.get("prefect"):
            _crash_in_prefect(flow_run)
        if run := record.get("mlflow"):
            _kill_in_mlflow(run)
        if worktree := record.get("worktree"):
            remove_worktree(Path(worktree))
        path.unlink(missing_ok=True)
    return len(records)


def _crash_in_prefect(flow_run_id: str) -> None:
    """Force an unfinished run and its task runs to `Crashed`: a leaked slot would block its deployment."""
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed, State

    state: State = Crashed(message="the process of this run is gone; run it again, it resumes")
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return
        if not run.state or not run.state.is_final():
            client.set_flow_run_state(run.id, state, force=True)
        only = FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}})
        for task in client.read_task_runs(flow_run_filter=only):
            if not task.state or not task.state.is_final():
                client.set_task_run_state(task.id, state, force=True)


def _kill_in_mlflow(run_id: str) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, "KILLED")
    except MlflowException as error:  # another database than the one that held it
        print(f"MLflow run {run_id} cannot be closed: {error}")


def remove_worktree(path: Path) -> None:
    """Remove a worktree of ours and git's record of it."""
    subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, capture_output=True)
    subprocess.run(["git", "worktree", "prune"], cwd=ROOT, capture_output=True)
