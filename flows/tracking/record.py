"""The record of a run in MLflow, written from the run's folder by one process at a time.

`Recorder.advance()` sends what is new; called again, by this process or after a crash by another
one, it finds each run of MLflow by the process that it is of, and sends what is there already
without making it twice. A stage has its mark when MLflow has everything. The pipeline's process
records its run while it goes on; of a `dvc repro` a running `make up` does (`follow`), else each
stage at its end (`record_repro`). What a kill left is recorded by whoever starts next.

An MLflow that fails does not fail the work: the trouble is printed, the folder keeps what is to be
recorded.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from components.carbon.ledger import reader
from components.core.errors import clause
from flows.system import environment, paths
from flows.system.run_folder import REPRO, EventReader, RunFolder, StageFolder, StageResult, open_runs
from flows.tracking import environment_record, mlflow_run
from flows.tracking.model_registry import ModelRecord, describe_models, log_model

EVERY_S = 1.0
"""Seconds between looks at the events of stages that run."""
SYSTEM_S = 3
"""Seconds between samples of the machine."""
MACHINE = "machine"
"""Run below a pipeline's that has the machine's figures: above they would stand before its
scores."""
KILLED = "its process ended without a result: killed, by somebody or by the system for want of memory"


class StageRecord:
    """The MLflow run of one stage, which may still be at work.

    Args:
        run: the whole run's folder is `folder.run`, its id in MLflow is `parent`.
    """

    def __init__(self, mlflow: Any, folder: StageFolder, parent: str) -> None:
        self._mlflow, self._folder, self._parent = mlflow, folder, parent
        self._events, self.run_id = EventReader(folder), ""

    def advance(self) -> bool:
        """Send what is new. Whether that was all: the stage ended, and its result is sent too."""
        ended = self._folder.ended  # before its last events are read
        events = self._events.new()
        if not self.run_id:
            self.run_id = self._begun(self._folder.begin)
        mlflow_run.log_curves(self._mlflow, self.run_id, events)
        if ended:
            self._finish(result_of(self._folder))
        return ended

    def _begun(self, begin: dict[str, Any]) -> str:
        """The run's id, with what was known when the stage began."""
        name, facts = self._folder.name, self._folder.run.facts()
        tags = {"stage": name, "mlflow.parentRunId": self._parent}
        run_id = mlflow_run.find_run(self._mlflow, begin["process"], tags)
        if not run_id:
            tags |= {"git.commit": facts.get("commit", ""), "fingerprint": begin["fingerprint"], "kind": facts["kind"]}
            tags |= {"log": str(self._folder.log)}
            run_id = mlflow_run.create_run(self._mlflow, name, begin["process"], tags, begin["t"])
        self._mlflow.log_dict(run_id, _environment(), environment_record.FILE)
        mlflow_run.log_params(self._mlflow, run_id, begin["params"])
        mlflow_run.log_inputs(self._mlflow, run_id, begin["hashes"])
        return run_id

    def _finish(self, result: StageResult) -> None:
        """Send the result: figures, files, the model, the cards; end the run."""
        mlflow, kept, record = self._mlflow, self._folder.kept, result.record
        mlflow_run.log_metrics(mlflow, self.run_id, result.metrics, record.get("ms", 0))
        if "reports" in record:
            besides = [kept / path for path in record["besides"]]
            mlflow_run.log_files(mlflow, self.run_id, kept / record["reports"], besides)
        else:
            mlflow.set_tag(self.run_id, "error", result.message[:5000])
        try:
            if "model" in record:
                model = ModelRecord(**record["model"])
                log_model(mlflow, self.run_id, kept / model.path, model)
            if "fingerprints" in record:
                describe_models(mlflow, kept / "reports/cards", record["fingerprints"])
        finally:
            mlflow.set_tag(self.run_id, "outcome", result.name)
            mlflow.set_terminated(self.run_id, result.run_status, record.get("ms"))


class Recorder:
    """Writes the record of one run, which it holds alone: `RunFolder.sole_recorder`."""

    def __init__(self, run: RunFolder) -> None:
        self.run, self.parent = run, ""
        self._mlflow: Any = None
        self._stages: dict[str, StageRecord] = {}
        self._failed = set[str]()

    def advance(self) -> None:
        """Send what is new of every stage. A stage whose record fails is left for a later start."""
        todo = [stage for stage in self.run.stages() if not (stage.recorded or stage.name in self._failed)]
        for stage in todo:
            try:
                self._advance(stage)
            except Exception as error:  # the record must not take the work down with it
                self._failed.add(stage.name)
                self._stages.pop(stage.name, None)  # another try begins anew
                print_failure(error)

    def _advance(self, stage: StageFolder) -> None:
        if stage.name not in self._stages:
            self._stages[stage.name] = StageRecord(self.client, stage, self.open())
        if self._stages[stage.name].advance():
            if self.run.facts()["kind"] == REPRO:  # another stage may follow, and nobody would know
                result, record = result_of(stage), result_of(stage).record
                mlflow_run.log_scores(self.client, self.parent, record.get("scores", {}), record.get("ms", 0))
                self.client.set_terminated(self.parent, result.run_status)
            stage.mark_recorded()

    @property
    def client(self) -> Any:
        """MLflow's client; the first time it takes seconds."""
        self._mlflow = self._mlflow or mlflow_run.client()
        return self._mlflow

    def open(self) -> str:
        """The id of the parent run, made if there is none."""
        self.parent = self.parent or mlflow_run.parent_run(self.client, self.run)
        return self.parent

    @contextmanager
    def monitored(self) -> Iterator[None]:
        """Within, CPU, memory, disk and GPU of the machine are logged, to a run below the parent."""
        import mlflow

        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        mlflow.set_system_metrics_sampling_interval(SYSTEM_S)
        mlflow.set_system_metrics_samples_before_logging(1)
        facts, parent = self.run.facts(), self.open()
        tags = {"kind": facts["kind"], "mlflow.parentRunId": parent}
        machine = mlflow_run.create_run(self.client, MACHINE, facts["process"], tags)
        mlflow.start_run(run_id=machine, log_system_metrics=True)
        try:
            yield
        finally:
            mlflow.end_run()

    def finish(self) -> None:
        """Record what is left, and the end of the run: by its own account, else it was killed."""
        self._failed.clear()
        self.advance()
        end = self.run.ending()
        parent = self.parent or mlflow_run.parent_run(self.client, self.run, make=bool(end))
        if end:
            files = [self.run.kept / name for name in end.pop("files")]
            mlflow_run.close_parent(self.client, parent, self.run.name, files=files, **end)
        elif parent and (status := self.client.get_run(parent).info.status) in ("RUNNING", "KILLED"):
            self._killed(parent, status)
        for stage in self.run.stages() if parent else ():  # so that curves of two runs lie over each other
            before = stage.name.replace("@", "/") + "/"
            mlflow_run.log_curves(self.client, parent, EventReader(stage).new(), before)
        if not self._failed and all(stage.recorded for stage in self.run.stages()):
            self.run.close()

    def _killed(self, parent: str, status: str) -> None:
        """Record a run that left no account of its end; its energy anew while its last stages end."""
        used = {"cost/run_kwh": reader.read(paths.LEDGER).select(run=self.run.name).energy.mid_kwh}
        mlflow_run.log_metrics(self.client, parent, used)
        self.client.set_tag(parent, "cost", mlflow_run.energy(used))
        if status == "RUNNING":
            if params := self.run.facts().get("params"):
                mlflow_run.describe(self.client, parent, self.run.name, params, "")
            self.client.set_tag(parent, "result", f"Killed: {KILLED}")
            self.client.set_terminated(parent, "KILLED")
            tags = {"mlflow.parentRunId": parent, "mlflow.runName": MACHINE}
            if machine := mlflow_run.find_run(self.client, self.run.facts()["process"], tags):
                self.client.set_terminated(machine, "KILLED")

    @property
    def settled(self) -> bool:
        """Whether all that ended stages left is recorded, or cannot be."""
        return all(stage.recorded or stage.name in self._failed for stage in self.run.stages() if stage.ended)


def record_repro(run: RunFolder) -> None:
    """Record what stages of this process's `dvc repro` left, unless `make up` runs and does."""
    if environment.running_servers():
        return
    with run.sole_recorder() as acquired:
        if acquired:
            recorder = Recorder(run)
            recorder.advance()
            if run.ending():
                recorder.finish()


def follow() -> None:
    """Record every `dvc repro` while it runs, and what a kill leaves of any run; for `make up`, until its process ends.

    Its thread has the runs that it records for itself until they end.
    """
    recorders = dict[str, tuple[Recorder, ExitStack]]()
    closed = set[str]()
    while True:
        time.sleep(EVERY_S)
        for run in open_runs(closed):
            try:
                _follow(run, recorders)
            except Exception as error:  # whatever it is: the next look is another try
                print_failure(error)
                closed.add(run.name)  # of this process


def _follow(run: RunFolder, recorders: dict[str, tuple[Recorder, ExitStack]]) -> None:
    if run.name not in recorders and (run.facts().get("kind") == REPRO or not run.alive):
        stack = ExitStack()
        if not stack.enter_context(run.sole_recorder()):
            stack.close()
            return
        recorders[run.name] = Recorder(run), stack
    if run.name not in recorders:
        return
    recorder, stack = recorders[run.name]
    recorder.advance()
    if run.ending() or not run.alive:
        del recorders[run.name]
        with stack:
            close_dead(run, recorder)


def close_dead(run: RunFolder, recorder: Recorder, log: Callable[[str], None] = print) -> None:
    """Close a run whose process is gone. One whose run.json is damaged is left as it is, which is said once."""
    if not run.facts():
        log(f"{run.path / 'run.json'}: damaged, perhaps by a power cut, so its run cannot be closed in MLflow")
        run.close()
        return
    recorder.finish()


def result_of(stage: StageFolder) -> StageResult:
    """The result of a stage that ended."""
    return stage.result() or StageResult("Killed", f"{stage.name}: {KILLED}")


@cache
def _environment() -> dict[str, str]:
    return environment_record.present()


def print_failure(error: Exception) -> None:
    """Print an error of MLflow as one sentence."""
    words = f"{type(error).__name__}: {clause(error)}; it is recorded at the next start"
    print(f"MLflow ({os.environ.get('MLFLOW_TRACKING_URI', '')}): {words}", flush=True)
