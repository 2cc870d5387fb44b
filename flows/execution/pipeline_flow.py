"""The pipeline as a Prefect flow: DVC's graph, one task per stage, each a `dvc repro --single-item` of its own.

DVC decides what is stale; Prefect orders, shows and cancels, and caches nothing. Independent branches run at the same
time. Values other than those of params.yaml make an experiment (experiment.py) and leave the workspace alone.
"""

import logging
import re
from collections.abc import Iterable
from contextlib import nullcontext
from contextvars import copy_context
from threading import Event, Thread
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import FailedRun, ParameterTypeError, SignatureMismatchError
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from components import params as schema
from components.core.errors import UserError
from components.core.files import fingerprint
from components.core.plain_text import plain_name
from components.params import Params
from flows.execution import experiment
from flows.execution.form import PipelineForm
from flows.execution.pipeline_run import GRACE_S, RUNS, UNCHANGED, PipelineRun
from flows.execution.stage import Stage
from flows.system import dvc, paths, recovery
from flows.system.command import words_of


def params_hash(params: Params) -> str:
    """Names the values a form was filled from."""
    return fingerprint(params.model_dump(mode="json"))


RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
"""Names of runs: they become those of folders, records and experiments."""


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of a run's log says more than the line before it, which has the sentence the run failed with.

    For a flow that returns `Failed`, Prefect adds a traceback of its own code: it raises where a deployment runs. Of
    parameters that the flow does not take, the traceback alone says so in the log: a sentence takes its place.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ParameterTypeError | SignatureMismatchError):
        words = " ".join(str(error).replace("Value error, ", "").split())
        record.msg, record.args, record.exc_info = f"{words}; correct what was sent", (), None
    return not isinstance(error, FailedRun)


logging.getLogger("prefect.flow_runs").addFilter(_is_news)


@task(task_run_name="{stage}", cache_policy=NO_CACHE, log_prints=False)
def dvc_stage(stage: str, run: str) -> State:
    """One stage: nothing to do, or a `dvc repro --single-item` whose end becomes this task's state."""
    this = RUNS[run]
    with this.places:
        if this.stopped:
            return Cancelled(message=f"not started: {this.stopped.message}")
        if not this.needs_repro(stage):
            return Completed(name="Cached", message=UNCHANGED)
        return this.repro(stage, f"{flow_run.id}:{task_run.id}").state


@flow(name="pipeline", log_prints=False)
def pipeline(params: PipelineForm | None = None, params_hash: str = "", until: str = "") -> State:
    """Raw text to a compared, accounted model: runs every stage that DVC finds stale.

    Leave the values as they are to bring the workspace up to date. Change some, and the run becomes an experiment: it
    runs apart, does only what the change touches, and is saved as a DVC experiment under this run's name.

    Args:
        params: what people change most; its `settings` take every other key.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
        until: stop after this stage; empty for all. Refused with changed values: an experiment always runs to the end.
    """
    try:
        if until:
            dvc.require_stage(until, f"until = {until}")
        chosen = chosen_params(params, params_hash)
        if until and chosen:
            experiment.refuse_until(until, chosen, schema.load(paths.ROOT / "params.yaml"))
    except UserError as error:
        return Failed(message=str(error))
    return run_pipeline(chosen, params_hash, [until] if until else [])


def chosen_params(form: PipelineForm | None, form_hash: str) -> Params | None:
    """The parameters that a form asks for; None for params.yaml as it is when the run begins.

    Raises:
        UserError: params.yaml is not valid, the form is stale, or one of its fields is out of range.
    """
    if form is None:
        return None
    files = schema.read(paths.ROOT / "params.yaml")
    refuse_stale_form(form_hash, files.params())
    return form.applied(files)


def run_pipeline(params: Params | None, form_hash: str, targets: list[str]) -> State:
    """The body of the flow, also of a stage's flow (`targets`: its stages)."""
    name = str(flow_run.name)
    if not RUN_NAME.fullmatch(name):
        return Failed(message=f"run name {plain_name(name)!r}: use letters, digits, spaces and . _ - only, 100 at most")
    recovery.tag_flow_run(str(flow_run.id))
    try:
        own = schema.load(paths.ROOT / "params.yaml")
        refuse_stale_form(form_hash, own)
        chosen = params or own
        is_experiment = chosen.identity() != own.identity()
        checkout = experiment.worktree(name, chosen) if is_experiment else nullcontext(paths.ROOT)
        with checkout as root:
            # An experiment runs to the end: `dvc exp save` would record stages left out as made from the new values.
            run = RUNS[name] = PipelineRun(name, root, chosen, [] if is_experiment else targets)
            state = _run_stages(run)
            if is_experiment and state.is_completed():
                experiment.save(root, name)
                state = _saved(state, name)
        return state
    except UserError as error:
        return Failed(message=str(error))
    except OSError as error:
        if not (words := words_of(error)):
            raise
        return Failed(message=words)


def _saved(state: State, name: str) -> State:
    """The end of an experiment, with how to go on: a form shows nothing else, and a terminal ends with it."""
    told = f"saved as DVC experiment {name}: `make compare A=workspace B={name}`, `dvc exp apply {name}`"
    return Completed(name=state.name, message=f"{state.message}; {told}" if state.message else told)


def refuse_stale_form(form_hash: str, own: Params) -> None:
    """Refuse a run whose form was filled from other values than params.yaml holds now."""
    if form_hash and form_hash != params_hash(own):
        raise UserError(
            "this form was filled from an older params.yaml, so values you did not touch would count as changes; "
            "reload the page and fill it again"
        )


def _run_stages(run: PipelineRun) -> State:
    futures: dict[str, Any] = {}
    # A thread for each stage, since one that waits for those before it holds its thread; `run.places` bounds what runs.
    with ThreadPoolTaskRunner[State](len(run.stages)) as runner, run:
        if run.stale:
            _show_forecast(run)
        linking = Thread(target=copy_context().run, args=(_link_record, run), daemon=True)
        linking.start()
        for stage, needs in dvc.reduced(run.stages).items():
            named = dvc_stage.with_options(name=stage)  # until a task begins, Prefect shows the name of its function
            futures[stage] = runner.submit(named, {"stage": stage, "run": run.name}, [futures[need] for need in needs])
        _wait(futures.values())
        linking.join(GRACE_S)
    states = {stage: str(future.state.name) for stage, future in futures.items()}
    _show(run, states)
    return run.final_state(states)


def _wait(futures: Iterable[Any]) -> None:
    """Wait until all have ended, in short steps: with MLflow imported, a signal does not wake a wait without end."""
    for future in futures:
        ended = Event()
        future.add_done_callback(lambda _, ended=ended: ended.set())
        while not ended.wait(0.2):
            pass
        future.wait()


def _show_forecast(run: PipelineRun) -> None:
    """What the run is expected to take, in the terminal and on its page in Prefect."""
    rows, total = run.forecast()
    print(f"pipeline: {total}", flush=True)
    create_table_artifact(rows, key="forecast", description=f"Forecast: {total}")


def _link_record(run: PipelineRun) -> None:
    """The way from the run's page in Prefect to its record in MLflow, which takes seconds to import: on a thread."""
    try:
        if run.stale and (address := run.open_parent()):
            create_link_artifact(
                address, link_text=f"{run.name} in MLflow", key="mlflow", description="This run in MLflow"
            )
    except Exception as error:  # the record must not take the work down with it
        print(f"MLflow: {type(error).__name__}: {error}", flush=True)


def _show(run: PipelineRun, states: dict[str, str]) -> None:
    """The run as a table, the summary and the models' cards, on the run's page in Prefect."""
    create_table_artifact(run.rows(states), key="pipeline", description="What ran, how long it took, what it used")
    reports = run.root / "reports"
    pages = {f"card-{path.parent.name}": path for path in sorted((reports / "cards").glob("*/README.md"))}
    for key, path in ({"summary": reports / "summary.md"} | pages).items():
        if path.exists():  # a card begins with metadata for the hub, between two lines of dashes
            text = path.read_text(encoding="utf-8").split("\n---\n", 1)[-1]
            create_markdown_artifact(text, key=key, description=key.replace("-", " ", 1))


def run_one(stage: Stage, branch: str, section: Any, form_hash: str) -> State:
    """A stage's flow triggered without DVC: the pipeline up to that stage, with its section of the parameters."""
    try:
        own = schema.load(paths.ROOT / "params.yaml")
        chosen = own if section is None else own.model_copy(update={stage.name: section})
        if stage.name == "finetune" and branch not in ("", "all"):
            chosen.finetune.raise_if_off(branch)
    except UserError as error:
        return Failed(message=str(error))
    branches = [branch]
    if branch in ("", "all") and stage.branches:
        stages = dvc.graph()  # params.yaml may leave some out
        branches = [name for name in stage.branches if stage.full_name(name) in stages]
    return run_pipeline(chosen, form_hash, [stage.full_name(name) for name in branches])
