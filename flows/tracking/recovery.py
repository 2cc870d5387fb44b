"""Closing what a kill left open, at the next start: in Prefect, in MLflow, and worktrees.

In Prefect every run of ours carries its process as a label (`processes.process_tag`); one whose
process is gone becomes `Crashed`. In `.greenhouse/runs/` a run without its mark is recorded as far
as it came, and is `KILLED` in MLflow (record.py). A worktree has its process in a file beside it. A
run of another host is never touched, nor one naming no process unless this process alone could have
started it. No record, whatever is in it, stops the work.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from components.carbon.ledger import reader
from flows.system import git, paths
from flows.system.mlflow_server import silence
from flows.system.processes import is_process_tag, process_tag, tag_alive
from flows.system.run_folder import RunFolder, open_runs
from flows.tracking.record import Recorder, close_dead, print_failure


def recover(serving: bool = False) -> None:
    """Close what dead processes left open.

    Args:
        serving: this process is the only one that starts runs of deployments, and has not begun:
            one that is unfinished and names no process was killed before our code began, and would
            hold its deployment's slot for ever.
    """
    crash_in_prefect(serving)
    recover_records()


def recover_records(log: Callable[[str], None] = print) -> None:
    """Record and close runs that dead processes left open, and remove their worktrees; asks no Prefect server."""
    dead = [run for run in open_runs() if not run.alive]
    if dead and (reason := silence(5)):
        uri = os.environ["MLFLOW_TRACKING_URI"]
        log(f"MLflow ({uri}) does not answer ({reason}): what a kill left open there is closed at a later start")
        dead = []
    for run in dead:
        _close(run, log)
    git.remove_dead_worktrees()


def _close(run: RunFolder, log: Callable[[str], None]) -> None:
    with run.sole_recorder() as acquired:
        if not acquired or run.closed:  # another process does it, or has
            return
        log(f"closing {run.name}: its process ended without closing it")
        try:
            close_dead(run, Recorder(run), log)
        except Exception as error:  # whatever it is: the record must not take the work down with it
            print_failure(error)


UNDER_WAY = ("RUNNING", "PENDING")
WATCH_S = 10.0
"""Seconds between looks for runs of dead processes."""


def crash_in_prefect(serving: bool = False, states: Sequence[str] = (*UNDER_WAY, "CANCELLING")) -> None:
    """Force runs of dead processes, in these states, and their tasks to `Crashed`: they would hold a deployment's slot.

    While `up` serves, `UNDER_WAY` alone: who cancels a run on its page gets `Cancelled` from
    Prefect, a moment later.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed, State

    with get_client(sync_client=True) as client:
        unfinished = FlowRunFilter.model_validate({"state": {"type": {"any_": list(states)}}})
        running = client.read_flow_runs(flow_run_filter=unfinished)
        runs = [run for run in running if _is_dead(run, never_began=serving and run.deployment_id is not None)]
        for run in runs:
            print(f"closing {run.name} in Prefect: its process is gone")
            state: State = Crashed(message=_crash_message(run.name))
            client.set_flow_run_state(run.id, state, force=True)
            only = FlowRunFilter.model_validate({"id": {"any_": [str(run.id)]}})
            for task in client.read_task_runs(flow_run_filter=only):
                if not task.state or not task.state.is_final():
                    client.set_task_run_state(task.id, state, force=True)


def _crash_message(name: str) -> str:
    """Message on the page of a dead process's run: it resumes, and its energy if the ledger knows it."""
    used = reader.read(paths.LEDGER).select(run=name).energy.mid_kwh
    spent = f"; {1000 * used:.3g} Wh so far (ledger)" if used else ""
    return f"the process of this run is gone; run it again, it resumes{spent}"


def watch() -> None:
    """Close in Prefect, every `WATCH_S`, what a kill leaves while `up` serves; until its process ends."""
    while True:
        time.sleep(WATCH_S)
        with suppress(Exception):  # the server is busy: the next look is another try
            crash_in_prefect(states=UNDER_WAY)


def _is_dead(run: Any, never_began: bool = False) -> bool:
    """Whether a run names its process, the last try's, and it is gone; `never_began` if it names none."""
    processes = [text for text in (*run.labels.values(), *run.tags) if is_process_tag(text)]
    return never_began if not processes else not any(tag_alive(tag) for tag in processes)


def label_flow_run(flow_run_id: str) -> None:
    """Have a flow run of this process carry it as a label: tags stand in the head of its page."""
    from uuid import UUID

    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(UUID(flow_run_id), {"process": process_tag()})
