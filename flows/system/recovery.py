"""The runs that are open now, so that what a kill leaves open can be found and closed.

In Prefect every run of ours carries its process as a tag (`processes.process_tag`). For MLflow and worktrees a file of
`.greenhouse/open/` holds the process and the run's id or the path; it is removed when the run ends. At the next start
`recover()` closes those whose process is gone: Prefect `Crashed`, MLflow `KILLED`, worktree removed; what starts
without a Prefect server calls `recover_records()` alone. A run of another host is never touched, nor one naming no
process unless this process alone could have started it. No record, whatever is in it, stops the work.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import canonical_json, read_json, written_whole
from flows.system.mlflow_server import silence
from flows.system.paths import ROOT, STATE, WORKTREES, lasting
from flows.system.processes import is_process_tag, output, process_tag, tag_alive

OPEN = STATE / "open"
PARENTS = STATE / "parents"
"""A file per MLflow parent run that is open: its id, and the process of its pipeline or `dvc repro`."""


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON record that its owner alone can read."""
    with written_whole(path) as temporary:
        temporary.touch(0o600)
        temporary.write_text(canonical_json(record), encoding="utf-8")


def read_record(path: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """The record of a run; empty if there is none, or if it is damaged: that is said, and the file set aside."""
    try:
        record = read_json(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        record = None
    if isinstance(record, dict) and is_process_tag(record.get("process")):
        return record
    aside = path.with_suffix(".damaged")
    with suppress(FileNotFoundError):
        os.replace(path, aside)
    say(f"{path}: damaged, perhaps by a power cut, so its run cannot be closed in MLflow; set aside as {aside.name}")
    return {}


def opened(name: str, **facts: str) -> Path:
    """Record that this process has a run open, or add to the record: `mlflow` (its id), `worktree` (a path)."""
    path = OPEN / f"{name}.json"
    write_record(path, read_record(path) | {"process": process_tag()} | facts)
    return path


def closed(name: str) -> None:
    """The run ended and its trackers know."""
    (OPEN / f"{name}.json").unlink(missing_ok=True)


def dead(folder: Path | None = None, say: Callable[[str], None] = print) -> list[Path]:
    """Records of runs whose process is gone; `folder` is `OPEN` if none is given."""
    records = {path: read_record(path, say) for path in sorted((folder or OPEN).glob("*.json"))}
    return [path for path, record in records.items() if record and not tag_alive(record["process"])]


def recover(serving: bool = False) -> int:
    """Close what dead processes left open. Returns how many runs that were.

    Args:
        serving: this process is the only one that starts runs of deployments, and has not begun: one that is unfinished
            and names no process was killed before our code began, and would hold its deployment's slot for ever.
    """
    return _crash_in_prefect(serving) + recover_records()


def recover_records(say: Callable[[str], None] = print) -> int:
    """Close in MLflow and git what dead processes left open; asks no Prefect server. Returns how many runs."""
    runs, parents = dead(OPEN, say), dead(PARENTS, say)
    reachable = _mlflow_answers(say) if runs or parents else False
    for path in [*runs, *parents]:
        record = read_record(path, say)
        worktree = Path(record.get("worktree", ""))
        if worktree.parent == WORKTREES:  # in a copied checkout the record names a folder of the original
            remove_worktree(worktree)
        run_id = record.get("mlflow")
        if run_id and not (reachable and _end_in_mlflow(run_id, say)):
            continue  # the record stays for a later start
        say(f"closing {path.stem}: its process ended without closing it")
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
    return len(runs) + len(parents)


UNFINISHED = ("RUNNING", "PENDING", "CANCELLING")


def _crash_in_prefect(serving: bool) -> int:
    """Force unfinished runs of dead processes, with their tasks, to `Crashed`: they would hold a deployment's slot."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed, State

    state: State = Crashed(message="the process of this run is gone; run it again, it resumes")
    with get_client(sync_client=True) as client:
        unfinished = FlowRunFilter.model_validate({"state": {"type": {"any_": list(UNFINISHED)}}})
        running = client.read_flow_runs(flow_run_filter=unfinished)
        runs = [run for run in running if _is_dead(run.tags, never_began=serving and run.deployment_id is not None)]
        for run in runs:
            print(f"closing {run.name} in Prefect: its process is gone")
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


def _mlflow_answers(say: Callable[[str], None]) -> bool:
    """Whether MLflow can be asked at all."""
    if reason := silence(5):
        uri = os.environ["MLFLOW_TRACKING_URI"]
        say(f"MLflow ({uri}) does not answer ({reason}): runs that a kill left open there are closed at a later start")
    return not reason


GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes for a run that it does not have: its database was reset, or is another one."""


def _end_in_mlflow(run_id: str, say: Callable[[str], None]) -> bool:
    """End a run if MLflow has it and believes that it runs. Returns whether its record has served its purpose."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    try:
        client = MlflowClient()
        run = client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            say(f"MLflow run {run_id} was deleted, so there is nothing to close")
        elif run.info.status == "RUNNING":
            client.set_terminated(run_id, "KILLED")
        return True
    except Exception as error:  # whatever it is: the record must not take the work down with it
        gone = getattr(error, "error_code", "") in GONE
        todo = "its record is dropped" if gone else "tried again at the next start"
        say(f"MLflow run {run_id} cannot be closed ({type(error).__name__}: {error}); {todo}")
        return gone


def remove_worktree(path: Path) -> None:
    """Remove a worktree of ours and git's record of it."""
    root = lasting(ROOT)  # a temporary clone by DVC knows none
    with suppress(UserError):  # git has no record of it
        output(["git", "worktree", "remove", "--force", str(path)], root)
    with suppress(UserError):
        output(["git", "worktree", "prune"], root)
