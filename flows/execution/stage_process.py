"""The process of a stage: what `cmd` in dvc.yaml starts, `python -m flows.stage STAGE [BRANCH]`.

It dies with DVC, appears in Prefect as a flow run under its node of the pipeline, does the work (stage_run.py), and
leaves its result as a file (result.py). Typed by hand, with no DVC above it, it has DVC reproduce the stage.
"""

import argparse
import os
import sys
from typing import Any, NoReturn
from uuid import UUID

from components import params as schema
from components.core.errors import UserError
from components.core.plain_text import plain
from components.params import FinetuneBranches
from flows.execution import fork_server, torchrun
from flows.execution.result import StageResult, read_result, result_file, run_name, write_result
from flows.execution.stage import Stage
from flows.execution.stages import STAGES
from flows.system import dvc, paths, processes, recovery
from flows.system.command import run_command
from flows.system.prefect_server import healthy


def main() -> NoReturn:
    """Run the stage that the command line names. Exits 0, 1 (failed) or 75 (stopped on purpose)."""
    parser = argparse.ArgumentParser(prog="python -m flows.stage", description=__doc__)
    parser.add_argument("stage", choices=list(STAGES), help="as in dvc.yaml, without branch")
    parser.add_argument("branch", nargs="?", default="", help="which of the stage's branches, if it has any")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, with counts and examples")
    arguments = parser.parse_args()
    stage = STAGES[arguments.stage]
    if arguments.branch not in (stage.branches or ("",)):
        parser.error(f"branches of {stage.name}: {', '.join(stage.branches) or 'none'}")
    if torchrun.UNDER_TORCHRUN and "DVC_STAGE" not in os.environ:
        torchrun.run(arguments.branch)
    run_command(stage.name, lambda: _run(stage, arguments.branch, arguments.dry_run))


def _run(stage: Stage, branch: str, dry_run: bool = False) -> None:
    if dry_run:
        if not stage.dry_run:
            raise UserError(f"{stage.name} has no dry run; ingest and filter have one")
        print(plain(stage.dry_run(schema.load(paths.ROOT / "params.yaml"))))
        return
    if "DVC_STAGE" not in os.environ:  # typed by hand: DVC decides whether there is anything to do
        section = getattr(schema.load(paths.ROOT / "params.yaml"), stage.name)
        if isinstance(section, FinetuneBranches):
            section.raise_if_off(branch)
        dvc.raise_if_not_ready(stage.full_name(branch))
        command = dvc.command("--wait-for-lock", "repro", "--single-item", stage.full_name(branch))
        os.execvpe(command[0], command, os.environ)
    if not os.environ.pop(fork_server.FORKED, ""):
        processes.end_with_dvc()
    if "GREENHOUSE_RUN" not in os.environ:  # plain DVC: no pipeline has closed what an earlier kill left open
        recovery.recover_records()
    result_file(run_name(), stage.full_name(branch)).unlink(missing_ok=True)
    if prefect_answers():
        run_under_prefect(stage, branch)
    else:
        work(stage, branch)
    result = read_result(run_name(), stage.full_name(branch))
    assert result is not None, "the flow ended without running its stage"
    print(plain(result.message), flush=True)
    leave(result.exit_status)


def work(stage: Stage, branch: str) -> StageResult:
    """Run the stage function and leave its result."""
    from flows.execution.stage_run import perform

    result = perform(stage, branch)
    write_result(run_name(), stage.full_name(branch), result)
    return result


def leave(status: int) -> NoReturn:
    """End at once. All is written and recorded; at a usual exit Prefect would spend a second on events nobody reads."""
    if "prefect.logging.handlers" in sys.modules:
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def prefect_answers() -> bool:
    """Whether a Prefect API is there to register with; a stage never starts a server of its own."""
    url = os.environ.get("PREFECT_API_URL", "")
    answers = bool(url) and healthy(f"{url}/health", 5)
    if not answers:
        reason = f"{url} does not answer" if url else "no server runs (`make up` starts one)"
        print(f"Prefect: {reason}, so this stage is not shown there")
    return answers


def run_under_prefect(stage: Stage, branch: str) -> None:
    """Work as a flow run of its own, hanging under the pipeline's task run if a pipeline started this process."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.states import Pending

    from flows.execution.stage_flow import process_flow

    flow = process_flow(stage, branch, lambda: work(stage, branch))
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
