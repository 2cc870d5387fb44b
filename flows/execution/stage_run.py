"""A stage's process: what `cmd` in dvc.yaml starts, `python -m flows.stage STAGE [BRANCH]`.

It computes: parameters, fingerprint, lock, meter, the stage function on empty staging folders, outputs moved into place
when that has returned, the result as a file. On the way it appends to the events of its run's folder
(flows/system/run_folder.py), from which others show and record it. It dies with DVC.
"""

import os
import shutil
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from components import params as schema
from components.carbon.planning.budget import budget_check
from components.carbon.planning.forecast import TOKENS, TRAINED_ON
from components.core.errors import Stopped, UserError
from components.core.files import move, rounded
from components.core.plain_text import plain
from components.core.report import Report
from components.params import Runtime
from components.scores import as_scores, figures_of
from flows.execution import torchrun
from flows.execution.stage import Stage, StageContext
from flows.execution.stages import STAGES
from flows.planning.preflight import raise_if_limited
from flows.planning.stage_forecast import Spent, errors, record_forecast, settings_of, spent, tokens_of, trained_on
from flows.system import code_files, dvc, git, paths, processes
from flows.system.command import run_command, words_of
from flows.system.run_folder import REPRO, EventWriter, StageFolder, StageResult, own_run
from flows.system.work_folder import sole_writer
from flows.tracking.model_registry import ModelRecord, registered_name
from flows.tracking.progress import StageProgress
from flows.tracking.run_files import headline, report_files, run_files, summary_text
from greenhouse_record.metering.meter import Meter


def main() -> NoReturn:
    """Run the stage that DVC started this process for. Exits 0, 1 (failed) or 75 (stopped on purpose)."""
    name, branch = [*sys.argv[1:], "", ""][:2]
    stage, by_dvc = STAGES.get(name), "DVC_STAGE" in os.environ
    if stage is None or branch not in (stage.branches or ("",)) or not (by_dvc or torchrun.UNDER_TORCHRUN):
        sys.exit("flows.stage: DVC starts a stage's process; `greenhouse run --only STAGE` asks DVC for one")
    if not by_dvc:
        torchrun.run(branch)
    run_command(stage.name, lambda: _leave(_work(stage, branch)))


def _work(stage: Stage, branch: str) -> int:
    """Run the stage function and leave its result; without a pipeline, record it too. The exit status."""
    run = own_run()
    alone = "GREENHOUSE_RUN" not in os.environ
    processes.end_with_dvc("" if alone else run.facts().get("process", ""))
    if alone and not run.alive:  # the first stage of this `dvc repro`
        run.open(REPRO, processes.process_tag(os.getppid()), commit=git.commit())
    folder = run.stage(stage.full_name(branch))
    folder.clear()
    result = perform(stage, branch, folder, alone)
    folder.write_result(result)
    if alone:
        print(plain(result.message), flush=True)
        _record(folder)
    return result.exit_status


def _record(folder: StageFolder) -> None:
    from flows.tracking import record, recovery

    record.record_repro(folder.run)
    recovery.recover_records()


def _leave(status: int) -> NoReturn:
    """End at once: all is written, and the libraries would take their time."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def perform(stage: Stage, branch: str, folder: StageFolder, alone: bool) -> StageResult:
    """Run the stage function once: locked, metered; outputs moved into place when it has returned.

    Args:
        alone: no pipeline shows it: it prints, and its result closes the run of its `dvc repro` if nothing follows.
    """
    name = stage.full_name(branch)
    try:
        result = _perform(stage, branch, name, folder, alone)
    except UserError as error:  # before there is a run to mark: params, lock
        result = StageResult("Failed", f"{name}: {error}")
    except BaseException as error:  # the folders of locks, logs and records
        if not (words := words_of(error)):
            raise
        result = StageResult("Failed", f"{name}: {words}")
    result.log = str(folder.log)
    return result


def _perform(stage: Stage, branch: str, name: str, folder: StageFolder, alone: bool) -> StageResult:
    raise_if_limited()
    params = schema.load(paths.PARAMS)
    if runtime := os.environ.get("GREENHOUSE_RUNTIME"):  # a run may carry its own neutral settings
        params = params.model_copy(update={"runtime": Runtime.model_validate_json(runtime)})
    inputs = dvc.inputs(name, intact=True)
    code_files.record(inputs.hashes, paths.ROOT)
    work = paths.WORK / name / inputs.fingerprint
    with sole_writer(work, waits=lambda pid: print(f"{name}: process {pid} makes the same; waits for it", flush=True)):
        events = EventWriter(folder, fingerprint=inputs.fingerprint, params=inputs.params, hashes=inputs.hashes)
        run, checkout = folder.run.name, paths.ROOT.name
        labels = {"stage": name, "run": run, "fingerprint": inputs.fingerprint, "checkout": checkout}
        labels["settings"] = settings_of(name, params)
        if tokens := tokens_of(name, params):
            labels |= {TOKENS: str(tokens), TRAINED_ON: trained_on(name, params)}
        with Meter(paths.LEDGER, params.runtime.meter_interval_s, labels) as meter:
            check, joules = budget_check(params.runtime, meter, paths.LEDGER, run), partial(_joules, meter)
            progress = StageProgress(name, folder.log, events, meter.span, check, joules, quiet=not alone)
            progress.listen()
            context = StageContext(params, fresh(work / "out"), fresh(work / "reports"), work, progress)
            forecast = record_forecast(meter, name, inputs.fingerprint, params)
            if forecast and forecast.alike:
                progress.expected_s, progress.training_s = forecast.seconds.mid, forecast.training_s
            started = time.perf_counter()
            result, report = attempt(stage, branch, context)
            result.function_s = time.perf_counter() - started
            meter.outcome = result.name
            used = meter.totals_now()
            result.kwh = tuple(kwh / 3.6e6 for kwh in used.joules.as_list())
            result.spent = vars(spent(forecast, result.function_s, used.mid_kwh))
        result.metrics = figures(result, report)
        result.record = {"ms": int(time.time() * 1000)}
        if report is not None:
            result.record |= {"scores": rounded(figures_of(as_scores(report.facts)))}
            result.record |= _recorded(stage, branch, folder, context, inputs.fingerprint, alone)
    return result


def _joules(meter: Meter) -> float:
    return meter.totals().joules.mid


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
    except BaseException as error:
        if not (message := words_of(error)):
            if not isinstance(error, Exception):
                raise
            context.progress.log(traceback.format_exc())
            mistake = f"{type(error).__name__}: {error} (a mistake in Greenhouse; see the log)"
            message = f"{error}; fix that and run again" if isinstance(error, OSError) else mistake
    return StageResult("Failed", f"{name}: {message}"), None


def publish_outputs(stage: Stage, branch: str, context: StageContext) -> None:
    """Move a finished stage's files into place and empty its work folder; an unfinished one keeps it, to resume."""
    if stage.folder:
        move(context.out, context.root / stage.output(branch))
    move(context.reports, context.root / stage.reports(branch))
    # A card that lies here is of the model before; `account`, or the end of `greenhouse run`, writes the new one.
    shutil.rmtree(context.root / "reports/cards" / f"{stage.name}-{branch}", ignore_errors=True)
    # The folder itself stays: its lock is held. What is inside would make a rebuild resume at the last step.
    for path in context.work.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fresh(folder: Path) -> Path:
    """An empty folder at that path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# -- what its record will hold -----------------------------------------------------------------------------------------


def figures(result: StageResult, report: Report | None) -> dict[str, float]:
    """What MLflow has of a stage run: time and energy whichever way it ended, and its metrics if it completed."""
    low, mid, high = result.kwh
    used = {
        "seconds/function": result.function_s, "energy/kwh": mid, "energy/kwh_low": low, "energy/kwh_high": high,
    }  # fmt: skip
    return used if report is None else report.metrics | used | errors([Spent(**result.spent)])


def _recorded(
    stage: Stage, branch: str, folder: StageFolder, context: StageContext, fingerprint: str, alone: bool
) -> dict[str, Any]:
    """Keep the files that the record of a completed stage needs, and say what they are."""
    root, reports = context.root, stage.reports(branch)
    folder.keep([*report_files(root / reports), *(root / path for path in stage.artifacts)], root)
    record: dict[str, Any] = {"reports": reports, "besides": list(stage.artifacts)}
    if stage.folder == "models":
        path, account = stage.output(branch), context.params.account
        folder.keep([root / path], root)
        name, md5 = registered_name(context.params, stage.name, branch), dvc.hash_of(stage.full_name(branch), path)
        workspace = paths.ROOT.parent != paths.WORKTREES and paths.lasting(paths.ROOT) == paths.ROOT
        record["model"] = vars(ModelRecord(stage.name, branch, name, account.licence, md5, fingerprint, workspace))
    if stage.name == "account":
        record["fingerprints"] = dvc.fingerprints()
    if alone and not any(stage.full_name(branch) in needs for needs in dvc.graph().values()):
        files, text = run_files(root, accounted=True), summary_text(root)
        folder.run.end("FINISHED", files, root, metrics=headline(root), params=context.params.identity(), summary=text)
    return record
