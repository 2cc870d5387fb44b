"""The runs that are open now, so that what a kill leaves open can be found and closed.

In Prefect every run of ours carries its process as a tag (`house.process_tag`). For MLflow and worktrees a file of
`.greenhouse/open/` holds the process and the run's id or the path; it is removed when the run ends. At the next start
`recover()` closes those whose process is gone: Prefect `Crashed`, MLflow `KILLED`, worktree removed. A run of another
host is never touched, nor one naming no process unless this process alone could have started it.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from components.files import read_json, write_json
from flows.house import ROOT, STATE, is_process_tag, process_tag, tag_alive

OPEN = STATE / "open"


def opened(name: str, **facts: str) -> Path:
    """Record that this process has a run open, or add to the record: `mlflow` (its id), `worktree` (a path)."""
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


def recover(say: Callable[[str], None] = print, serving: bool = False) -> int:
    """Close what dead processes left open. Returns how many runs that were.

    Args:
        serving: this process is the only one that starts runs of deployments, and has not begun: one that is unfinished
            and names no process was killed before our code began, and would hold its deployment's slot for ever.
    """
    crashed = _crash_in_prefect(say, serving)
    records = dead()
    for path in records:
        record = read_json(path)
        say(f"closing {path.stem}: its process ended without closing it")
        if run := record.get("mlflow"):
            _kill_in_mlflow(run)
        if worktree := record.get("worktree"):
            remove_worktree(Path(worktree))
        path.unlink(missing_ok=True)
    return crashed + len(records) + _close_parents(say)


UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")


def _crash_in_prefect(say: Callable[[str], None], serving: bool) -> int:
    """Force unfinished runs of dead processes, with their tasks, to `Crashed`: they would hold a deployment's slot."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed, State

    state: State = Crashed(message="the process of this run is gone; run it again, it resumes")
    with get_client(sync_client=True) as client:
        unfinished = FlowRunFilter.model_validate({"state": {"type": {"any_": list(UNFINISHED)}}})
        found = client.read_flow_runs(flow_run_filter=unfinished)
        runs = [run for run in found if _is_dead(run.tags, never_began=serving and run.deployment_id is not None)]
        for run in runs:
            say(f"closing {run.name} in Prefect: its process is gone")
            client.set_flow_run_state(run.id, state, force=True)
            only = FlowRunFilter.model_validate({"id": {"any_": [str(run.id)]}})
            for task in client.read_task_runs(flow_run_filter=only):
                if not task.state or not task.state.is_final():
                    client.set_task_run_state(task.id, state, force=True)
    return len(runs)


def _is_dead(tags: list[str], never_began: bool = False) -> bool:
    """Whether a run names its process (one per try), and none of them lives; `never_began` if it names none."""
    processes = [tag for tag in tags if is_process_tag(tag)]
    return never_began if not processes else not any(tag_alive(tag) for tag in processes)


def tag_flow_run(flow_run_id: str) -> None:
    """Have a flow run of this process carry it as a tag."""
    from uuid import UUID

    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        tags = client.read_flow_run(UUID(flow_run_id)).tags
        client.update_flow_run(UUID(flow_run_id), tags=[*tags, process_tag()])


def _kill_in_mlflow(run_id: str) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, "KILLED")
    except MlflowException as error:  # another database than the one that held it
        print(f"MLflow run {run_id} cannot be closed: {error}")


def _close_parents(say: Callable[[str], None]) -> int:
    """End MLflow parent runs whose process is gone: a `dvc repro` has nobody to close its own when it is done."""
    found = sorted((STATE / "parents").glob("*.json"))
    gone = [path for path in found if not tag_alive(read_json(path)["process"])]
    for path in gone:
        from mlflow import MlflowClient

        record, client = read_json(path), MlflowClient()
        run = client.get_run(record["mlflow"])
        children = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        whole = run.data.tags.get("kind") == "dvc repro" and all(one.info.status == "FINISHED" for one in children)
        say(f"closing {path.stem} in MLflow: its process is gone")
        client.set_terminated(run.info.run_id, "FINISHED" if whole else "KILLED")
        path.unlink()
        path.with_suffix(".lock").unlink(missing_ok=True)
    return len(gone)


def remove_worktree(path: Path) -> None:
    """Remove a worktree of ours and git's record of it."""
    subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, capture_output=True)
    subprocess.run(["git", "worktree", "prune"], cwd=ROOT, capture_output=True)
