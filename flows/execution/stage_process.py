"""The process of a stage, and its flow in Prefect.

`dvc repro` runs `python -m flows.<stage> [branch]`. That process dies with DVC, appears in Prefect as a flow under its
node of the pipeline, does the work (stage.py), and says how it ended by its exit status and one sentence.

The same flow, triggered from the Prefect UI or typed by hand (no DVC above it), goes through the pipeline instead.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from prefect import flow
from prefect.states import State

from components import params as schema
from components.core.errors import UserError
from components.core.files import write_json
from flows.execution.stage import Outcome, Stage, perform, run_name
from flows.system import dvc, paths, processes, recovery

__all__ = ["State", "flow", "main", "run_as_flow"]


def main(stage: Stage, flow: Any) -> None:
    """The process of a stage: what `cmd` in dvc.yaml starts. Exits 0, 1 (failed) or 75 (stopped on purpose)."""
    parser = argparse.ArgumentParser(prog=f"python -m flows.{stage.name}", description=flow.description or flow.__doc__)
    if stage.branches:
        parser.add_argument("branch", choices=stage.branches, help="which of the stage's branches")
    if stage.dry_run:
        parser.add_argument("--dry-run", action="store_true", help="say what it would do, with counts and examples")
    arguments = parser.parse_args()
    branch = getattr(arguments, "branch", "")
    if stage.dry_run and arguments.dry_run:
        try:
            print(stage.dry_run(schema.load(paths.ROOT / "params.yaml")))
        except UserError as error:
            sys.exit(f"{stage.name}: {error}")
        return
    if "DVC_STAGE" not in os.environ:  # typed by hand: DVC decides whether there is anything to do
        command = dvc.command("repro", "--single-item", stage.full_name(branch))
        os.execvpe(command[0], command, os.environ)
    die_with_dvc()
    if "GREENHOUSE_RUN" not in os.environ:  # plain DVC: no pipeline has closed what an earlier kill left open
        recovery.recover_records()
    outcome = under_prefect(stage, branch, flow) if prefect_answers() else perform(stage, branch)
    if postbox := os.environ.get("GREENHOUSE_OUTCOMES"):
        write_json(Path(postbox) / f"{stage.full_name(branch)}.json", vars(outcome))
    print(outcome.message, flush=True)
    leave(outcome.exit_status)


def leave(status: int) -> NoReturn:
    """End at once. All is written and recorded; at a usual exit Prefect would spend a second on events nobody reads."""
    if "prefect.logging.handlers" in sys.modules:
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def die_with_dvc() -> None:
    """Have the kernel kill this process when DVC is gone: else a killed DVC leaves a trainer that nobody owns."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG
    if _orphaned():
        os._exit(1)


def _orphaned() -> bool:
    """Whether DVC died before the kernel was asked: this process needs a second or more to come that far."""
    pipeline = os.environ.get("GREENHOUSE_PROCESS")
    if pipeline and not processes.tag_alive(pipeline):
        return True
    return os.getsid(os.getppid()) != os.getsid(0)  # DVC starts a stage in its own session; who adopts it has another


def prefect_answers() -> bool:
    """Whether a Prefect API is there to register with; a stage never starts a server of its own."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        print("Prefect: no server runs (`make up` starts one), so this stage is not shown there")
        return False
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
        return True
    except httpx.HTTPError as error:
        print(f"Prefect: {url} does not answer ({error}), so this stage is not shown there")
        return False


def under_prefect(stage: Stage, branch: str, flow: Any) -> Outcome:
    """Run the stage as its own flow run, hanging under the pipeline's task run if a pipeline started it."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.states import Pending

    parameters = {"branch": branch} if stage.branches else {}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow,
            parameters=parameters,
            parent_task_run_id=_link_under_task(client, stage.full_name(branch)),
            state=Pending(),
            name=f"{run_name()}/{stage.full_name(branch)}",
            tags=[f"stage:{stage.full_name(branch)}", processes.process_tag()],
        )  # fmt: skip
    os.environ["GREENHOUSE_FLOW_RUN"] = str(run.id)
    # The heartbeat thread of a sync flow makes its end wait a second; whether a run lives is known from recovery.py.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        run_flow(flow, flow_run=run, parameters=parameters, return_type="state")
    assert _outcome is not None, "the flow ended without running its stage"
    return _outcome


def _link_under_task(client: Any, name: str) -> UUID | None:
    """A task run under the pipeline's task, for the flow run to hang on.

    A flow run hung on the task itself would take its place in the run graph, and the edges out of it would vanish.
    """
    if "GREENHOUSE_PARENT_TASK" not in os.environ:
        return None
    from prefect import Task
    from prefect.client.schemas.objects import TaskRunResult
    from prefect.states import Pending

    flow_run, task_run = (UUID(part) for part in os.environ["GREENHOUSE_PARENT_TASK"].split(":"))
    link = client.create_task_run(
        task=Task(name=name, fn=lambda: None),
        flow_run_id=flow_run,
        name=name,
        dynamic_key=str(task_run),
        state=Pending(),
        task_inputs={"__parents__": [TaskRunResult(id=task_run)]},
    )
    return link.id


_outcome: Outcome | None = None


def run_as_flow(stage: Stage, branch: str, params: Any, params_hash: str) -> Any:
    """The body of every stage flow: the work itself under DVC, the pipeline limited to this stage otherwise."""
    if "DVC_STAGE" not in os.environ:
        from flows.pipeline import run_one

        return run_one(stage, branch, params, params_hash)
    from prefect.artifacts import create_markdown_artifact
    from prefect.states import Cancelled, Completed, Failed

    global _outcome
    _outcome = perform(stage, branch)
    report = paths.ROOT / stage.reports(branch) / "details" / "report.md"
    if _outcome.name == "Completed" and report.exists():
        key = stage.full_name(branch).replace("@", "-")
        create_markdown_artifact(report.read_text(), key=key, description=f"Report of {stage.full_name(branch)}")
    if _outcome.name == "Failed":
        return Failed(message=_outcome.message)
    if _outcome.name == "Cancelled":
        return Cancelled(message=_outcome.message)
    return Completed(name=_outcome.name, message=_outcome.message)
