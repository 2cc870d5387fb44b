"""One run of a stage function: locked, metered, recorded, resumed and ended.

It works on empty staging folders; what it made is moved into place only when it has returned. How the process around it
lives and dies is in stage_process.py.
"""

import os
import shutil
import time
import traceback
from pathlib import Path

from components import params as schema
from components.carbon.metering.meter import Meter
from components.carbon.planning.budget import budget_check
from components.carbon.planning.forecast import TOKENS
from components.core.errors import Stopped, UserError
from components.core.files import move
from components.core.report import Report
from components.params import Params, Runtime
from flows.execution.result import StageResult, headline, kept_files, run_name, summary_text
from flows.execution.stage import Stage, StageContext
from flows.planning.stage_forecast import Spent, errors, record_forecast, settings_of, spent, tokens_of
from flows.system import code_files, dvc, git, paths, processes, recovery
from flows.system.command import words_of
from flows.system.mlflow_server import require_mlflow
from flows.system.work_folder import sole_writer
from flows.tracking import environment_record
from flows.tracking.mlflow_run import (
    Tracker,
    client,
    close_parent,
    log_files,
    log_inputs,
    log_metrics,
    log_params,
    pause_parent,
)
from flows.tracking.prefect_progress import PrefectProgress
from flows.tracking.progress import FlowProgress


def perform(stage: Stage, branch: str) -> StageResult:
    """Run the stage function once: locked, metered, recorded; outputs moved into place when it has returned."""
    name = stage.full_name(branch)
    run = run_name()
    log = paths.LOGS / run / f"{name}.log"
    try:
        return _perform(stage, branch, name, run, log)
    except UserError as error:  # before there is a run to mark: params, lock
        return StageResult("Failed", f"{name}: {error}", str(log))
    except OSError as error:  # the folders of locks, logs and records
        if not (words := words_of(error)):
            raise
        return StageResult("Failed", f"{name}: {words}", str(log))


def _perform(stage: Stage, branch: str, name: str, run: str, log: Path) -> StageResult:
    require_mlflow()
    params = schema.load(paths.ROOT / "params.yaml")
    if runtime := os.environ.get("GREENHOUSE_RUNTIME"):  # a run may carry its own neutral settings
        params = params.model_copy(update={"runtime": Runtime.model_validate_json(runtime)})
    inputs = dvc.inputs(name, intact=True)
    code_files.record(inputs.hashes, paths.ROOT)
    work = paths.WORK / name / inputs.fingerprint
    with sole_writer(work):
        tracker = _tracker(name, run, inputs, log)
        labels = {"stage": name, "run": run, "fingerprint": inputs.fingerprint, "checkout": paths.ROOT.name}
        labels["settings"] = settings_of(name, params)
        labels |= {TOKENS: str(tokens)} if (tokens := tokens_of(name, params)) else {}
        with Meter(paths.LEDGER, params.runtime.meter_interval_s, labels) as meter:
            flow_run = os.environ.get("GREENHOUSE_FLOW_RUN")
            check = budget_check(params.runtime, meter, paths.LEDGER, run)
            live = PrefectProgress(flow_run, name) if flow_run else None
            progress = FlowProgress(name, log, tracker, meter.span, check, live, lambda: meter.totals().joules.mid)
            progress.listen()
            context = StageContext(params, fresh(work / "out"), fresh(work / "reports"), work, progress)
            forecast = record_forecast(meter, name, inputs.fingerprint, params)
            if forecast:
                progress.expected_s, progress.training_s = forecast.seconds.mid, forecast.training_s
            started = time.perf_counter()
            result, report = attempt(stage, branch, context)
            result.function_s = time.perf_counter() - started
            meter.outcome = result.name
            used = meter.totals_now()
            result.kwh = tuple(kwh / 3.6e6 for kwh in used.joules.as_list())
            result.spent = vars(spent(forecast, result.function_s, used.mid_kwh))
        result.log = str(log)
        _finish_record(stage, branch, params, inputs, tracker, result, report)
    recovery.closed(f"{run}.{name}")
    if "GREENHOUSE_RUN" not in os.environ:
        _end_repro(name, run, params, result)
    return result


def _end_repro(name: str, run: str, params: Params, result: StageResult) -> None:
    """End the MLflow parent run of a plain `dvc repro`, which has nobody to do it; its next stage may go on."""
    if result.name != "Completed" or any(name in needs for needs in dvc.graph().values()):
        pause_parent(client(), run, {"Completed": "FINISHED", "Failed": "FAILED"}.get(result.name, "KILLED"))
        return
    files, text = kept_files(paths.ROOT, accounted=True), summary_text(paths.ROOT)
    close_parent(client(), run, "FINISHED", headline(paths.ROOT), params.identity(), {}, files, {}, text)


def attempt(stage: Stage, branch: str, context: StageContext) -> tuple[StageResult, Report | None]:
    """Call the stage function, move what it made into place, and say in one sentence how it ended."""
    name = stage.full_name(branch)
    try:
        context.progress.raise_if_stopped()  # a budget that is spent lets no stage begin
        report = stage.call(context, branch)
        publish_outputs(stage, branch, context)
        return StageResult("Completed", f"{name}: done"), report
    except Stopped as stop:
        return StageResult(stop.name, str(stop)), None
    except UserError as error:
        message = str(error)
    except MemoryError:
        message = "out of memory; lower the batch of the stage, or runtime.workers, in params.yaml"
    except OSError as error:
        if not (message := words_of(error)):
            context.progress.log(traceback.format_exc())
            message = f"{error}; fix that and run again"
    except Exception as error:
        context.progress.log(traceback.format_exc())
        message = f"{type(error).__name__}: {error} (a mistake in Greenhouse; see the log)"
    return StageResult("Failed", f"{name}: {message}"), None


def publish_outputs(stage: Stage, branch: str, context: StageContext) -> None:
    """Move a finished stage's files into place and empty its work folder; an unfinished one keeps it, to resume."""
    if stage.folder:
        move(context.out, context.root / stage.output(branch))
    move(context.reports, context.root / stage.reports(branch))
    # The folder itself stays: its lock is held. What is inside would make a rebuild resume at the last step.
    for path in context.work.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fresh(folder: Path) -> Path:
    """An empty folder at that path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _tracker(name: str, run: str, inputs: dvc.Inputs, log: Path) -> Tracker:
    """The MLflow run of this attempt, and this attempt's line among the open runs."""
    record = f"{run}.{name}"
    flow_run = os.environ.get("GREENHOUSE_FLOW_RUN")
    recovery.opened(record)
    tags = {
        "stage": name,
        "git.commit": git.commit(),
        "fingerprint": inputs.fingerprint,
        "log": str(log),
        "kind": "pipeline" if "GREENHOUSE_RUN" in os.environ else "dvc repro",
    } | ({"prefect.flow_run": flow_run} if flow_run else {})
    parent_process = os.environ.get("GREENHOUSE_PROCESS") or processes.process_tag(os.getppid())
    tracker = Tracker(name, run, parent_process, tags, record)
    tracker.submit(
        lambda mlflow: mlflow.log_dict(tracker.run_id, environment_record.present(), environment_record.FILE)
    )
    return tracker


def _finish_record(
    stage: Stage,
    branch: str,
    params: Params,
    inputs: dvc.Inputs,
    tracker: Tracker,
    result: StageResult,
    report: Report | None,
) -> None:
    """Send params, data sets, metrics, pictures and the model to MLflow, and end the run."""
    tracker.submit(lambda mlflow: log_params(mlflow, tracker.run_id, inputs.params))
    tracker.submit(lambda mlflow: log_inputs(mlflow, tracker.run_id, inputs.hashes))
    tracker.submit(lambda mlflow: log_metrics(mlflow, tracker.run_id, figures(result, report)))
    if report is not None:
        besides = [paths.ROOT / path for path in stage.artifacts]
        tracker.submit(lambda mlflow: log_files(mlflow, tracker.run_id, paths.ROOT / stage.reports(branch), besides))
        if stage.folder == "models":
            from flows.tracking.model_registry import log_model

            model = paths.ROOT / stage.output(branch)
            made = (model, stage.name, branch, params, inputs.fingerprint)
            tracker.submit(lambda mlflow: log_model(mlflow, tracker.run_id, *made))
        elif stage.name == "account":
            from flows.tracking.model_registry import describe_models

            cards, made_from = paths.ROOT / "reports" / "cards", dvc.fingerprints()
            tracker.submit(lambda mlflow: describe_models(mlflow, cards, made_from))
    else:
        tracker.submit(lambda mlflow: mlflow.set_tag(tracker.run_id, "error", result.message[:5000]))
    tracker.submit(lambda mlflow: mlflow.set_tag(tracker.run_id, "outcome", result.name))
    tracker.close({"Completed": "FINISHED", "Failed": "FAILED"}.get(result.name, "KILLED"))


def figures(result: StageResult, report: Report | None) -> dict[str, float]:
    """What MLflow has of a stage run: time and energy whichever way it ended, and its metrics if it completed."""
    low, mid, high = result.kwh
    used = {
        "seconds/function": result.function_s, "energy/kwh": mid, "energy/kwh_low": low, "energy/kwh_high": high,
    }  # fmt: skip
    return used if report is None else report.metrics | used | errors([Spent(**result.spent)])
