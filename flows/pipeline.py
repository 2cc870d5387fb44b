"""The pipeline: DVC's graph as a Prefect flow, one task per stage, each a `dvc repro --single-item` of its own.

    python -m flows.pipeline            run what is stale, show a summary
    python -m flows.pipeline --until tokenize
    python -m flows.pipeline --demo     write the summary anew, even if nothing ran, and show it (`make demo`)
    python -m flows.pipeline --set finetune.instruct.steps=60      an experiment, as the form's `settings` make one

DVC decides what is stale; Prefect orders, shows and cancels (execution/pipeline_flow.py).
"""

import contextlib
import importlib
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components import params as schema
from components.core.errors import STOPPED_EXIT, UserError
from components.params import Params
from flows.execution import cli, fork_server
from flows.execution.fork_server import ForkServer
from flows.system import dvc, environment, paths
from flows.system.command import parser_of, run_command

if TYPE_CHECKING:
    from prefect.states import State

    from flows.execution.form import PipelineForm


def main() -> int:
    """Run the pipeline from a terminal, with a Prefect server of its own if none runs."""
    parser = parser_of("pipeline", __doc__)
    parser.add_argument("--until", default="", metavar="STAGE", help="stop after this stage, such as pretrain@causal")
    parser.add_argument("--demo", action="store_true", help="end with the summary table")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a value of this run alone")
    arguments = parser.parse_args()
    if arguments.demo and arguments.until:
        raise UserError(
            "--demo shows what the whole pipeline made, and --until ends before that: leave one of them out"
        )
    started = time.perf_counter()
    print("pipeline: reading params.yaml, dvc.lock and the ledger", flush=True)  # what is imported next takes seconds
    state = run_from_terminal(arguments.until, arguments.set)
    if arguments.demo and state.is_completed():
        show_summary()
    message = f": {state.message}" if state.message else ""
    print(f"\npipeline: {state.name} after {time.perf_counter() - started:.0f} s{message}", flush=True)
    return 0 if state.name in ("Completed", "Cached") else 1 if state.is_failed() else STOPPED_EXIT


def show_summary() -> None:
    """Write summary, report and cards anew from what is there now, and print the table."""
    from flows.execution.stages import refresh

    print("\n" + refresh(schema.load(paths.ROOT / "params.yaml")).markdown.replace("```", "").strip())


def run_from_terminal(until: str, settings: Sequence[str] = ()) -> "State":
    """The pipeline flow in this process, after checking what can be checked before anything starts."""
    from pydantic import ValidationError

    from flows.execution import start_meter
    from flows.execution.experiment import refuse_until
    from flows.execution.form import PipelineForm
    from flows.execution.pipeline_run import stop_runs

    own = schema.load(paths.ROOT / "params.yaml")
    if until in (f"finetune@{branch}" for branch in schema.FURTHER):
        own.finetune.raise_if_off(until.partition("@")[2])
    if until:
        dvc.require_stage(until, f"--until {until}")
    try:
        form = PipelineForm(settings=list(settings)) if settings else None
    except ValidationError:
        raise UserError(f"--set {' '.join(settings)}: write each as KEY=VALUE, with a key of params.yaml") from None
    if form:
        chosen = form.applied(schema.read(paths.ROOT / "params.yaml"))
        if until:
            refuse_until(until, chosen, own)
    with start_meter.metered(own), cli.with_prefect(stop_runs, _import_ahead):
        return _run(form, own, until)


def _import_ahead() -> None:
    """While the Prefect server starts, what the run needs anyway: its imports, MLflow's tables, its fork server.

    One after the other: the server needs a core for itself, and there may be no more than two.
    """
    importlib.import_module("flows.execution.pipeline_flow")
    if len(dvc.downstream(dvc.graph(), set(dvc.stale()))) > 2:
        from flows.tracking.mlflow_run import client, experiment_id

        with contextlib.suppress(Exception):  # whoever records a run says so
            experiment_id(client())
        server = fork_server.early[paths.ROOT] = ForkServer(paths.ROOT, environment.environment())
        server.start()


def _run(form: "PipelineForm | None", own: Params, until: str) -> "State":
    """The flow, again after each pause."""
    from components.carbon.spans import PAUSED
    from flows.execution.pipeline_flow import params_hash, pipeline
    from flows.planning import deferral

    # What failed is said once, in the stage's own lines and in the last one; Prefect would say it of every task after.
    logging.getLogger("prefect.task_runs").propagate = False
    state = pipeline(form, params_hash(own), until, return_state=True)
    while state.name == PAUSED:
        at = deferral.after_pause(None, datetime.now(UTC))
        print(f"pipeline: {state.message}\npipeline: waits here until {at:%Y-%m-%d %H:%M} UTC", flush=True)
        state = deferral.run_at(pipeline, at, {"until": until} | ({"params": form} if form else {}))
    return state


if __name__ == "__main__":
    run_command("pipeline", main)
