"""The pipeline: from raw text to compared, accounted models. DVC's graph as a Prefect flow, one task per stage.

    ingest -> dedup -> filter -> bias -> mix -> tokenize -> pretrain@causal -> finetune@instruct  -> evaluate -> account
                                                         -> pretrain@masked -> finetune@classify ->

wired       in dvc.yaml, which alone says what a stage reads and writes; what it calls: flows/execution/stages.py
computed    by plain functions, components/stages/<stage>/stage.py, each in a process of its own that imports neither
            Prefect nor MLflow: flows/execution/stage_run.py
cached      by DVC, which alone decides what is stale: each task is a `dvc repro --single-item`
told        by the stage's process in files of its run, `.greenhouse/runs/<run>/<stage>/`: flows/system/run_folder.py
shown       from these files by this process, in the terminal and in Prefect: flows/execution/stage_view.py
recorded    from these files by this process, in MLflow: flows/tracking/record.py
accounted   by a meter in every process, in the ledger: recorder/greenhouse_record/metering/meter.py

Values other than those of params.yaml make an experiment (flows/execution/experiment.py): a worktree beside the
workspace. What a kill leaves is closed at the next start: flows/tracking/recovery.py.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from components import params as schema
from components.core.errors import UserError
from components.params import Params
from flows import champions, compare
from flows.execution import experiment, prefect_log, run_view
from flows.execution.form import PipelineForm, check_run_name, chosen_params, refuse_stale_form
from flows.execution.pipeline_run import RUNS, UNCHANGED, PipelineRun
from flows.system import dvc, paths
from flows.system.command import words_of
from flows.system.work_folder import sole_writer
from flows.tracking import recovery
from flows.tracking.snapshots import Snapshot, find

prefect_log.say_once()


@task(task_run_name="{stage}", cache_policy=NO_CACHE, log_prints=False)
def dvc_stage(stage: str, run: str) -> State:
    """One stage: nothing to do, or a `dvc repro --single-item` whose end is this task's state."""
    this = RUNS[run]  # a task takes no live object
    with this.places:
        if this.stopped:
            return Cancelled(message=f"not started: {this.stopped.message}")
        if not this.needs_repro(stage):
            return Completed(name="Cached", message=UNCHANGED)
        if stage == "account":  # its cards say how the new models compare with the champions, which MLflow has
            this.wait_for_records()
            champions.compare_in(this.root)
        return this.repro(stage).state


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
            experiment.refuse_until(until, chosen, schema.load(paths.PARAMS))
    except UserError as error:
        return Failed(message=str(error))
    return run_pipeline(chosen, params_hash, [until] if until else [])


def run_pipeline(params: Params | None, form_hash: str, targets: list[str]) -> State:
    """The body of the flow, also of a stage's form (`targets`: its stages). None stands for params.yaml as it is."""
    name, flow_run_id = str(flow_run.name), str(flow_run.id)
    try:
        check_run_name(name)
        print(f"pipeline: run {name}", flush=True)  # by which `cost`, `compare` and the pages know it
        recovery.label_flow_run(flow_run_id)
        configured = schema.load(paths.PARAMS)
        refuse_stale_form(form_hash, configured)
        chosen = params or configured
        is_experiment = chosen.identity() != configured.identity()
        with experiment.worktree(name, chosen) if is_experiment else sole_writer(paths.RUNS, "this checkout") as clone:
            root, before = clone or paths.ROOT, _workspace()
            # An experiment runs to the end: `dvc exp save` would record stages left out as made from the new values.
            run = RUNS[name] = PipelineRun(name, root, chosen, [] if is_experiment else targets, flow_run_id)
            state = _run_stages(run)
            if not state.is_completed():
                run_view.show_result(run)
            elif is_experiment:
                state = _saved(state, name, _compared(run, before, name))
            elif run.stale and (verdict := _compared(run, before, "workspace")):
                messages = filter(None, [state.message, f"against the workspace before it: {verdict}"])
                state = Completed(name=state.name, message="; ".join(messages))
        return state
    except UserError as error:
        return Failed(message=str(error))
    except BaseException as error:
        if not (words := words_of(error)):
            raise
        return Failed(message=words)


def _workspace() -> Snapshot | None:
    """The workspace as it is; None before its first run."""
    with suppress(UserError):
        return find("workspace")
    return None


def _compared(run: PipelineRun, before: Snapshot | None, name: str) -> compare.Verdict | None:
    """Compare what a run made with the workspace before it, on its pages. Returns the verdict if there is one."""
    verdict, lines = None, list[str]()
    try:
        if before:
            before = replace(before, kind="before this run") if name == "workspace" else before
            lines = list(compare.report(before, find(name)))
            verdict = compare.verdict_of(lines)
    except UserError as error:  # the run is done all the same
        print(f"not compared: {error}", flush=True)
    run_view.show_result(run, verdict.brief if verdict else "", lines)
    return verdict


def _saved(state: State, name: str, verdict: str | None) -> State:
    """End of an experiment: how it compares and how to go on; a form shows nothing else."""
    hint = f"saved as DVC experiment {name}: `greenhouse compare workspace {name}`, `dvc exp apply {name}`"
    return Completed(name=state.name, message="; ".join(filter(None, [verdict, state.message, hint])))


def _run_stages(run: PipelineRun) -> State:
    """Submit the stages in the graph's order, show and record them, wait for all, and save an experiment."""
    futures: dict[str, Any] = {}
    # A thread for each stage, since one that waits for those before it holds its thread; `run.places` bounds what runs.
    with ThreadPoolTaskRunner[State](len(run.stages)) as runner, run:
        if run.stale:
            run_view.show_forecast(run)
            run.start_record(partial(run_view.link, run))
        for stage, needs in dvc.reduced(run.stages).items():
            named = dvc_stage.with_options(name=stage)  # until a task begins, Prefect shows the name of its function
            futures[stage] = runner.submit(named, {"stage": stage, "run": run.name}, [futures[need] for need in needs])
        _wait(futures.values())
        run.save()
    states = {stage: str(future.state.name) for stage, future in futures.items()}
    run_view.show(run, states)
    return run.final_state(states)


def _wait(futures: Iterable[Any]) -> None:
    """Wait until all have ended, in short steps: with MLflow imported, a signal does not wake a wait without end."""
    for future in futures:
        ended = Event()
        future.add_done_callback(lambda _, ended=ended: ended.set())
        while not ended.wait(0.2):
            pass
        future.wait()
