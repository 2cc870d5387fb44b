"""What all stages share: how a stage function is called once, locked, metered, recorded, resumed and ended.

It works on empty staging folders; what it made is moved into place only when it has returned. How the process around it
lives and dies is in stage_process.py.
"""

import errno
import fcntl
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import params as schema
from components.core.errors import STOPPED_EXIT, Stopped, UserError
from components.core.files import move, write_json
from components.core.report import Report
from components.core.workers import Workers
from components.params import Params, Runtime
from flows.planning.stage_forecast import Spent, errors, promise, spent
from flows.system import code_files, dvc, paths, processes, recovery
from flows.tracking import environment_record
from flows.tracking.mlflow_run import (
    Tracker,
    client,
    close_parent,
    git_commit,
    log_files,
    log_inputs,
    log_metrics,
    log_params,
)
from flows.tracking.prefect_progress import LiveProgress
from flows.tracking.progress import FlowProgress


@dataclass(frozen=True)
class Place:
    """What a stage function gets: parameters, where its inputs are, where to write.

    `out` and `reports` are empty staging folders; `work` survives a kill, and is this stage's with these inputs alone.
    """

    params: Params
    out: Path
    reports: Path
    work: Path
    progress: FlowProgress
    root: Path = paths.ROOT

    @property
    def common(self) -> dict[str, Any]:
        """The arguments every stage function takes."""
        return {"out": self.out, "reports": self.reports, "work": self.work, "progress": self.progress}

    @property
    def data(self) -> dict[str, Any]:
        """The arguments every data stage takes."""
        return self.common | {"workers": workers_of(self.params.runtime)}


def workers_of(runtime: Runtime) -> Workers:
    """Where data stages work on shards, as their `workers`."""
    if runtime.engine == "local":
        return runtime.workers
    from components.cluster.ray_pool import Cluster

    return Cluster(runtime.workers, runtime.ray_address, runtime.work_path)


@dataclass(frozen=True)
class Stage:
    """A stage as flows know it.

    Attributes:
        name: as in dvc.yaml (`pretrain` of `pretrain@causal`).
        call: runs the stage function on a `Place` (and the branch).
        folder: `data` or `models`: where its outputs go; empty if it has reports alone.
        branches: the names after `@`; empty for a stage without.
        dry_run: says what the stage would do, and does nothing; None for a stage without.
        artifacts: what it writes outside its outputs and reports that MLflow keeps with its run, relative to the root.
    """

    name: str
    call: Callable[[Place, Any], Report]
    folder: str = "data"
    branches: tuple[str, ...] = ()
    dry_run: Callable[[Params], str] | None = None
    artifacts: tuple[str, ...] = ()

    def full_name(self, branch: str = "") -> str:
        """The stage's name in DVC."""
        return f"{self.name}@{branch}" if branch else self.name

    def output(self, branch: str = "") -> str:
        """Where its output goes, relative to the root."""
        return "/".join(part for part in (self.folder, self.name, branch) if part) if self.folder else ""

    def reports(self, branch: str = "") -> str:
        """Where its reports go, relative to the root."""
        return "/".join(part for part in ("reports", self.name, branch) if part)


@dataclass
class Outcome:
    """How a stage ended: one sentence, the log, seconds of its function, `promise.Spent` as a mapping, and its energy.

    `name` is `Completed`, `Failed`, what DVC did without it (`Cached`, `Restored`), or the name of a stop on purpose.
    """

    name: str
    message: str
    log: str = ""
    function_s: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    kwh: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def stopped(self) -> bool:
        return self.name not in ("Completed", "Failed", "Cached", "Restored")

    @property
    def exit_status(self) -> int:
        return STOPPED_EXIT if self.stopped else int(self.name == "Failed")


def run_name() -> str:
    """The name all records of this run share: the pipeline's, or one for the `dvc repro` above this process."""
    return os.environ.get("GREENHOUSE_RUN") or f"dvc-repro-{os.getppid()}"


def perform(stage: Stage, branch: str) -> Outcome:
    """Run the stage function once: locked, metered, recorded; outputs moved into place when it has returned."""
    name = stage.full_name(branch)
    run = run_name()
    log = paths.LOGS / run / f"{name}.log"
    try:
        return _perform(stage, branch, name, run, log)
    except UserError as error:  # before there is a run to mark: params, lock
        return Outcome("Failed", f"{name}: {error}", str(log))


def _perform(stage: Stage, branch: str, name: str, run: str, log: Path) -> Outcome:
    params = schema.load(paths.ROOT / "params.yaml")
    if runtime := os.environ.get("GREENHOUSE_RUNTIME"):  # a run may carry its own neutral settings
        params = params.model_copy(update={"runtime": Runtime.model_validate_json(runtime)})
    inputs = dvc.inputs(name)
    code_files.record(inputs.hashes, paths.ROOT)
    work = paths.WORK / name / inputs.fingerprint
    with sole_writer(work):
        tracker = _tracker(name, run, inputs, log)
        with _meter(params, name, run, inputs.fingerprint) as meter:
            guard, live = _guard(params, meter, run), _live(name)
            progress = FlowProgress(name, log, tracker, meter.span, guard, live, lambda: meter.totals().mid_j)
            progress.listen()
            place = Place(params, fresh(work / "out"), fresh(work / "reports"), work, progress)
            said = promise(meter, name, inputs.fingerprint, params)
            started = time.perf_counter()
            outcome, report = attempt(stage, branch, place)
            outcome.function_s = time.perf_counter() - started
            meter.outcome = outcome.name
            used = meter.totals_now()
            outcome.kwh = (used.low_kwh, used.mid_kwh, used.high_kwh)
            outcome.spent = vars(spent(said, outcome.function_s, used.mid_kwh))
        outcome.log = str(log)
        _finish_record(stage, branch, params, inputs, tracker, outcome, report)
    recovery.closed(f"{run}.{name}")
    if "GREENHOUSE_RUN" not in os.environ and not stage.folder and outcome.name == "Completed":
        _close_repro(name, run, params)
    return outcome


def _close_repro(name: str, run: str, params: Params) -> None:
    """End the MLflow parent run of a plain `dvc repro`, which has nobody to do it, after the graph's last stage."""
    if any(name in needs for needs in dvc.graph().values()):
        return
    from flows.execution.pipeline_run import headline

    files = [paths.ROOT / name for name in ("params.yaml", "defaults.yaml", "dvc.lock")]
    close_parent(client(), run, "FINISHED", headline(paths.ROOT), params.identity(), {}, files)


def attempt(stage: Stage, branch: str, place: Place) -> tuple[Outcome, Report | None]:
    """Call the stage function, move what it made into place, and say in one sentence how it ended."""
    name = stage.full_name(branch)
    try:
        place.progress.raise_if_stopped()  # a budget that is spent lets no stage begin
        report = stage.call(place, branch)
        _settle_work(stage, branch, place)
        return Outcome("Completed", f"{name}: done"), report
    except Stopped as stop:
        write_json(place.work / "stopped.json", {"name": stop.name, "message": str(stop)})
        return Outcome(stop.name, str(stop)), None
    except UserError as error:
        return Outcome("Failed", f"{name}: {error}"), None
    except MemoryError:
        return Outcome(
            "Failed", f"{name}: out of memory; lower batch, micro_batch or runtime.workers in params.yaml"
        ), None
    except OSError as error:
        place.progress.log(traceback.format_exc())
        todo = "free space on the disk and run again" if error.errno == errno.ENOSPC else "mend it and run again"
        return Outcome("Failed", f"{name}: {error}; {todo}"), None
    except Exception as error:
        place.progress.log(traceback.format_exc())
        return Outcome(
            "Failed", f"{name}: {type(error).__name__}: {error} (a mistake in Greenhouse; see the log)"
        ), None


def _settle_work(stage: Stage, branch: str, place: Place) -> None:
    """Move a finished stage's files into place and empty its work folder; an unfinished one keeps it, to resume."""
    if stage.folder:
        move(place.out, place.root / stage.output(branch))
    move(place.reports, place.root / stage.reports(branch))
    # The folder itself stays: its lock is held. What is inside would make a rebuild resume at the last step.
    for path in place.work.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fresh(folder: Path) -> Path:
    """An empty folder at that path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def sole_writer(work: Path) -> Iterator[None]:
    """Hold the lock of a work folder: two processes never work in one.

    Raises:
        UserError: another process holds it; its pid is named.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(f"{work}: process {lock.read()} works here; wait for it or stop it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _meter(params: Params, name: str, run: str, fingerprint: str) -> Any:
    from components.carbon.metering.meter import Meter

    labels = {"stage": name, "run": run, "fingerprint": fingerprint, "checkout": paths.ROOT.name}
    return Meter(paths.LEDGER, params.runtime.meter_interval_s, labels)


def _live(name: str) -> LiveProgress | None:
    """The stage's bar in Prefect, if it is shown there."""
    flow_run = os.environ.get("GREENHOUSE_FLOW_RUN")
    return LiveProgress(flow_run, name) if flow_run else None


def _guard(params: Params, meter: Any, run: str) -> Callable[[], str]:
    from components.carbon.planning.budget import budget_check
    from components.carbon.planning.pause import pauses

    budget, pause = budget_check(params.runtime, meter, paths.LEDGER, run), pauses(params.runtime)

    def check() -> str:
        pause()
        return budget()

    return check


def _tracker(name: str, run: str, inputs: dvc.Inputs, log: Path) -> Tracker:
    """The MLflow run of this attempt, and this attempt's line among the open runs."""
    record = f"{run}.{name}"
    flow_run = os.environ.get("GREENHOUSE_FLOW_RUN")
    recovery.opened(record)
    tags = {
        "stage": name,
        "git.commit": git_commit(),
        "fingerprint": inputs.fingerprint,
        "log": str(log),
        "kind": "pipeline" if "GREENHOUSE_RUN" in os.environ else "dvc repro",
    } | ({"prefect.flow_run": flow_run} if flow_run else {})
    parent_process = os.environ.get("GREENHOUSE_PROCESS") or processes.process_tag(os.getppid())
    tracker = Tracker(name, run, parent_process, tags, record)
    tracker.submit(
        lambda mlflow: mlflow.log_dict(tracker.run_id, environment_record.surroundings(), environment_record.FILE)
    )
    return tracker


def _finish_record(
    stage: Stage,
    branch: str,
    params: Params,
    inputs: dvc.Inputs,
    tracker: Tracker,
    outcome: Outcome,
    report: Report | None,
) -> None:
    """Send params, data sets, metrics, pictures and the model to MLflow, and end the run."""
    tracker.submit(lambda mlflow: log_params(mlflow, tracker.run_id, inputs.params))
    tracker.submit(lambda mlflow: log_inputs(mlflow, tracker.run_id, inputs.hashes))
    tracker.submit(lambda mlflow: log_metrics(mlflow, tracker.run_id, figures(outcome, report)))
    if report is not None:
        besides = [paths.ROOT / path for path in stage.artifacts]
        tracker.submit(lambda mlflow: log_files(mlflow, tracker.run_id, paths.ROOT / stage.reports(branch), besides))
        if stage.folder == "models":
            from flows.tracking.model_registry import log_model

            model = paths.ROOT / stage.output(branch)
            made = (model, stage.name, branch, params, inputs.fingerprint)
            tracker.submit(lambda mlflow: log_model(mlflow, tracker.run_id, *made))
    else:
        tracker.submit(lambda mlflow: mlflow.set_tag(tracker.run_id, "error", outcome.message[:5000]))
    tracker.submit(lambda mlflow: mlflow.set_tag(tracker.run_id, "outcome", outcome.name))
    tracker.close({"Completed": "FINISHED", "Failed": "FAILED"}.get(outcome.name, "KILLED"))


def figures(outcome: Outcome, report: Report | None) -> dict[str, float]:
    """What MLflow has of a stage run: time and energy whichever way it ended, and its metrics if it completed."""
    low, mid, high = outcome.kwh
    used = {
        "seconds/function": outcome.function_s, "energy/kwh": mid, "energy/kwh_low": low, "energy/kwh_high": high,
    }  # fmt: skip
    return used if report is None else report.metrics | used | errors([Spent(**outcome.spent)])
