"""One run of the pipeline: which stages it asks DVC about, their processes, and how they end."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from components.carbon.footprint import intensity
from components.carbon.ledger import reader
from components.core.errors import UserError
from components.core.files import rounded, write_json
from components.core.plain_text import counted
from components.params import Params
from flows.execution import experiment, start_meter
from flows.execution.stages import STAGES
from flows.planning import preflight
from flows.planning.stage_forecast import Spent, errors
from flows.system import dvc, environment, git, paths, processes
from flows.system.command import NO_MEMORY, OUT_OF_MEMORY
from flows.system.run_folder import PIPELINE, RunFolder, StageFolder, StageResult
from flows.system.work_folder import holder, in_use
from flows.tracking import mlflow_run, record
from flows.tracking.progress import Screen
from flows.tracking.run_files import headline, run_files, summary_text
from greenhouse_record.metering.meter import Meter

GRACE_S = 4.0
"""Seconds a stage gets to save and end before it is killed; a cancelled tree is gone within 10."""
UNCHANGED = "DVC: nothing to run"
BROUGHT = "taken from DVC's cache"
RECORD_S, LEAVE_S = 180.0, 20.0
"""Longest wait for MLflow after the last stage, and after a signal."""
LOOK_S = 0.2
"""Seconds between looks at what a stage says."""


@dataclass
class Timing:
    """Seconds since the run began: of a stage's process, and of its stage function alone."""

    began: float
    ended: float = 0.0
    function_s: float = 0.0


@dataclass
class PipelineRun:
    """State that the threads of one pipeline run share.

    Args:
        name: the Prefect run's; the MLflow parent run and the DVC experiment are named like it.
        root: the checkout to run in: the workspace, or a worktree.
        params: values of this run (identity as in root's params.yaml; runtime may differ).
        targets: stages to end with; empty for all.
        flow_run: id of the Prefect run.
    """

    name: str
    root: Path
    params: Params
    targets: list[str]
    flow_run: str = ""
    stages: dict[str, list[str]] = field(init=False)
    stopped: StageResult | None = None
    results: dict[str, StageResult] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole = dvc.graph(self.root)
        wanted = {name for target in self.targets for name in dvc.upstream(whole, target)} or set(whole)
        self.stages = {name: needs for name, needs in whole.items() if name in wanted}
        stale = set(dvc.stale(self.root))
        self.stale, outdated = stale & wanted, dvc.downstream(whole, stale)
        self._outdated = [name for name in whole if name in outdated]
        preflight.raise_if_unfit(self.params, self.root, dvc.downstream(self.stages, self.stale))
        self.places = threading.BoundedSemaphore(self.params.runtime.parallel_stages)
        self.folder = RunFolder(self.name)
        self.recorder = record.Recorder(self.folder)
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen] = {}
        self._screen = Screen()
        self._began = time.perf_counter()
        self._ending = False
        self._recording, self._worked = False, threading.Event()
        self.closed = threading.Event()

    def __enter__(self) -> "PipelineRun":
        self.began = start_meter.end(run=self.name)  # as the ledger counts, and so MLflow
        # A span of the ledger without a stage: what orchestration itself uses.
        self._meter = Meter(paths.LEDGER, self.params.runtime.meter_interval_s, {"run": self.name})
        self._meter.__enter__()
        if self.stale:
            params = self.params.identity()
            began_ms = int(1000 * self.began)
            self.folder.open(PIPELINE, commit=git.commit(), flow_run=self.flow_run, params=params, t=began_ms)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            self.stop("Failed", f"{type(error).__name__}: {error}")
        elif error is not None:  # Ctrl-C, SIGTERM, a cancel in Prefect's page
            if threading.current_thread() is threading.main_thread():  # told again meanwhile, it goes on ending
                signal.signal(signal.SIGTERM, lambda *_: None)
            self.stop("Cancelled", "cancelled; run it again, it resumes")
        self.wall_s = time.perf_counter() - self._began
        self._meter.outcome = self._final_name()
        self._meter.note(cached=",".join(self._cached()))
        self._meter.__exit__(kind, error, trace)
        try:
            if self.stale:
                self._leave_times()
                self._leave_end()
        except OSError as trouble:  # a full disk, say, which must not leave the run open
            print(f"the end of the run is not kept: {trouble}", flush=True)
        self._worked.set()
        if not self._recording:
            self.closed.set()
        self.closed.wait(LEAVE_S if error else RECORD_S)  # what MLflow has not got then is recorded at the next start

    def _leave_times(self) -> None:
        """Leave the times of the stages, for people and benchmarks."""
        stages = {stage: vars(timing) for stage, timing in self.timings.items()}
        took = {"wall_s": self.wall_s, "orchestration_s": self.overhead_s(), "stages": stages}
        write_json(self.folder.path / "timings.json", took)

    def needs_repro(self, stage: str) -> bool:
        """Whether DVC must look at the stage: it was stale when the run began, or one before it has run since."""
        ran = (
            self.results[need].name in ("Completed", "Restored") for need in self.stages[stage] if need in self.results
        )
        return stage in self.stale or any(ran)

    def _cached(self) -> list[str]:
        """Stages that DVC had done before; none if the run did not come to its end, for then nobody knows."""
        if self.ended:
            return []
        names = {stage: self.results[stage].name if stage in self.results else "Cached" for stage in self.stages}
        return [stage for stage, name in names.items() if name in ("Cached", "Restored")]

    # -- one stage -----------------------------------------------------------------------------------------------------

    def repro(self, stage: str) -> StageResult:
        """Have DVC reproduce one stage in a process of its own, and show it while it works.

        Called on a thread of the task runner, which waits here: the child is told to die with that
        thread.
        """
        folder, known = self.folder.stage(stage), stage.partition("@")[0] in STAGES
        folder.clear()
        before = {} if stage in self.stale else dvc.lock(self.root).get(stage, {})
        from flows.execution.stage_view import StageView  # Prefect, whose import takes seconds

        view = StageView(folder, self._screen, known)
        self._wait_for_the_same(stage, view.line)
        timing = self.timings[stage] = Timing(time.perf_counter() - self._began)
        with self._lock:
            if self._ending:
                assert self.stopped is not None
                return self.stopped
            process = self._processes[stage] = self._start(stage, folder)
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
            if not self._ending:  # of processes that are being stopped, the last lines are noise
                view.refresh()
        timing.ended = time.perf_counter() - self._began
        result = self._result(folder, process.returncode, before)
        if not self._ending:
            if folder.result() or result.name == "Restored":
                view.line(result.message)
            elif known and process.returncode:  # what it printed says why
                view.lines()
        view.end(self.root / "reports" / stage.replace("@", "/") / "details" / "report.md", result.name)
        timing.function_s = result.function_s
        return result

    def _wait_for_the_same(self, stage: str, log: Callable[[str], None]) -> None:
        """Wait while another run makes the same from the same inputs: DVC then takes it from its cache.

        Args:
            log: shows a line of the stage.
        """
        for pid in self._makers(stage):
            log(f"another run makes the same (process {pid}); waits for it")
            for maker in _with_parent(int(pid)):  # the parent is its DVC, which records what it made
                while processes.tag_alive(maker) and not self._ending:
                    time.sleep(LOOK_S)
            time.sleep(LOOK_S)  # its pid may be read before it is written

    def _makers(self, stage: str) -> Iterator[str]:
        """Pids of the processes of other runs that are at work on a stage with the inputs it has here."""
        if any(in_use(work) for work in (paths.WORK / stage).glob("*")):  # only then is it worth hashing the inputs
            work = paths.WORK / stage / dvc.inputs(stage, self.root).fingerprint
            while (pid := holder(work)) and not self._ending:
                yield pid

    def _start(self, stage: str, folder: StageFolder) -> subprocess.Popen:
        """Start DVC. Ctrl-C reaches this process alone, which then stops the others in order: hence own sessions."""
        run = {"GREENHOUSE_RUN": self.name, "GREENHOUSE_RUNTIME": self.params.runtime.model_dump_json()}
        with open(folder.dvc_log, "wb") as output:
            return subprocess.Popen(
                dvc.command("--wait-for-lock", "repro", "--single-item", stage),
                cwd=self.root, env=environment.environment() | run | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                preexec_fn=processes.dies_with_parent(signal.SIGTERM), start_new_session=True,
            )  # fmt: skip

    def _result(self, folder: StageFolder, status: int, before: dict[str, Any]) -> StageResult:
        """Result that the stage's process reported, else what DVC did without it.

        Args:
            before: the stage's entry in dvc.lock before, if DVC had it for up to date.
        """
        stage, printed = folder.name, folder.dvc_log.read_text(errors="replace").splitlines()
        result = folder.result() or self._without_process(folder, status, before, printed)
        if result.name == "Completed" and status:
            last = printed[-1] if printed else "no output"
            result = StageResult("Failed", f"{stage}: the stage is done, but DVC could not record it: {last}")
        if self.stopped and result.name == "Failed":
            result = self.stopped
        if result.name == "Failed":
            result.message += self._lost(stage)
        with self._lock:
            self.results[stage] = result
            self._processes.pop(stage, None)
            if result.stopped:
                self.stopped = self.stopped or result
        return result

    def _without_process(
        self, folder: StageFolder, status: int, before: dict[str, Any], printed: list[str]
    ) -> StageResult:
        """How a `dvc repro` ended in which no stage of ours ran to its end."""
        stage = folder.name
        if status == 0:
            if before and before == dvc.lock(self.root).get(stage):
                return StageResult("Cached", UNCHANGED)
            known = stage.partition("@")[0] in STAGES  # one of the user's own leaves no result
            return self._intact(stage, StageResult("Restored" if known else "Completed", BROUGHT))
        if any(map(NO_MEMORY.search, printed)):  # polars and C++ abort where no memory is left
            return StageResult("Failed", f"{stage}: {OUT_OF_MEMORY}")
        if folder.begin:
            return StageResult("Failed", f"{stage}: {record.KILLED}; run again, it resumes")
        last = next((line for line in reversed(printed) if line.startswith("ERROR")), printed[-1] if printed else "")
        why = f"dvc repro ended with status {status}: {last.removeprefix('ERROR: ') or 'no output'}"
        return StageResult("Failed", f"{stage}: {processes.busy(chr(10).join(printed)) or why}")

    def _lost(self, stage: str) -> str:
        """Where the outputs of an earlier run are, which DVC removed before it started the stage again."""
        with contextlib.suppress(UserError):  # a damaged dvc.lock is another's to tell
            outs = [self.root / out["path"] for out in dvc.lock(self.root).get(stage, {}).get("outs", [])]
            if self.root == paths.ROOT and not all(path.exists() for path in outs):
                return f" (`dvc checkout` brings back what {stage} made before, if DVC's cache has it)"
        return ""

    def _intact(self, stage: str, result: StageResult) -> StageResult:
        """`result`, or a failure if the cache gave other bytes than it was given."""
        try:
            dvc.raise_if_damaged([stage], self.root)
        except UserError as error:
            return StageResult("Failed", f"{stage}: {error}")
        return result

    # -- the end -------------------------------------------------------------------------------------------------------

    def stop(self, name: str, message: str) -> None:
        """End every stage process: ask the stages to save and stop, then kill what is left of the tree."""
        self.stopped = self.stopped or StageResult(name, message)
        with self._lock:
            self._ending = True
            trees = {process: _tree(process.pid) for process in self._processes.values()}
        for tree in trees.values():
            for process in tree[1:]:  # DVC itself stays: the stage dies with it
                _signal(process, signal.SIGTERM)
        _, left = psutil.wait_procs([process for tree in trees.values() for process in tree], timeout=GRACE_S)
        for process in left:
            _signal(process, signal.SIGKILL)
        deadline = time.monotonic() + GRACE_S  # the threads that waited for them tell how they ended
        while self._processes and time.monotonic() < deadline:
            time.sleep(0.02)

    def save(self) -> None:
        """Save an experiment that came to its end; one that cannot be has failed, in MLflow and its cost as well."""
        if self.root == paths.ROOT or self.ended:
            return
        try:
            experiment.save(self.root, self.name)
        except UserError as error:
            self.stop("Failed", str(error))

    @property
    def ended(self) -> StageResult | None:
        """Result that ended the run early: the first stage that failed, else what stopped it."""
        return next((result for result in self.results.values() if result.name == "Failed"), self.stopped)

    def _final_name(self) -> str:
        """`Failed`, the name of the stop, or `Completed`: what orchestration cost is counted under it, too."""
        return self.ended.name if self.ended else "Completed"

    def final_state(self, states: dict[str, str]) -> Any:
        """The run's own state: failed if a stage failed, stopped if one stopped, else completed."""
        from prefect.states import Completed

        if self.ended:
            return self.ended.state
        if all(name == "Cached" for name in states.values()):
            return Completed(name="Cached", message="nothing to do: everything is up to date")
        brought, ran = (list(states.values()).count(name) for name in ("Restored", "Completed"))
        message = f"{counted(ran, 'stage')} ran, {brought} came from DVC's cache" if brought else ""
        return Completed(message=message)

    def overhead_s(self) -> float:
        """Wall seconds less the stage functions' own on the longest path of the graph: what orchestration adds."""
        longest: dict[str, float] = {}
        for stage, needs in self.stages.items():
            before = max((longest[need] for need in needs if need in longest), default=0.0)
            longest[stage] = before + (self.timings[stage].function_s if stage in self.timings else 0.0)
        return self.wall_s - max(longest.values(), default=0.0)

    # -- its record ----------------------------------------------------------------------------------------------------

    def start_record(self, on_open: Callable[[str], None]) -> None:
        """Record the run in MLflow while it works, and its end, on a thread of its own: MLflow takes seconds.

        Args:
            on_open: called there with the id of the run's record, as soon as there is one.
        """
        self._recording = True
        threading.Thread(target=copy_context().run, args=(self._record, on_open), name="record", daemon=True).start()

    def _record(self, on_open: Callable[[str], None]) -> None:
        with self.folder.sole_recorder():
            try:
                on_open(self.recorder.open())
                with self.recorder.monitored():
                    while not self._worked.wait(record.EVERY_S):
                        self.recorder.advance()
                self.recorder.finish()
            except Exception as error:  # the record must not take the work down with it, nor hide why the run ended
                record.print_failure(error)
            finally:
                self.closed.set()

    def wait_for_records(self) -> None:
        """Wait until what has ended so far is recorded, or cannot be."""
        while not (self.recorder.settled or self.closed.is_set()):
            time.sleep(LOOK_S)

    def _leave_end(self) -> None:
        """Leave how the run ended for its record."""
        done = [result for result in self.results.values() if result.name == "Completed"]
        parts = [Spent(**result.spent) for result in done if result.spent]
        status = {"Failed": "FAILED", "Completed": "FINISHED"}.get(self._final_name(), "KILLED")
        has_account = "account" in self.results and self.results["account"].name == "Completed"
        spans = reader.read(paths.LEDGER).select(run=self.name)  # what this run itself used
        used = {"cost/run_kwh": spans.energy.mid_kwh, "cost/run_seconds": time.time() - self.began}
        self.metrics = rounded(used)
        scores = [result.record.get("scores", {}) for result in done]
        self.metrics |= headline(self.root) if has_account else dict(ChainMap(*scores))  # else it is of an earlier run
        figures = {"orchestration_seconds": self.overhead_s()} | errors(parts, "total_")
        with contextlib.suppress(UserError):  # of an unknown grid the pipeline has said so
            figures["run_grams"] = intensity.resolve(self.params.runtime.grid, self.root).grams(spans.hours).mid
        finished = {name for name, result in self.results.items() if result.name in ("Completed", "Restored", "Cached")}
        unmade = [stage for stage in self._outdated if stage not in finished] if self.ended else []
        tags, text = {"stages": json.dumps(list(self.timings))}, summary_text(self.root) if has_account else ""
        tags |= {mlflow_run.UNMADE_TAG: ", ".join(unmade)} if unmade else {}
        tags |= {"result": f"{self.ended.name}: {self.ended.message}"} if self.ended else {}
        files = run_files(self.root, has_account, unmade, self.folder.path)
        params = self.params.identity()
        self.folder.end(
            status, files, self.root, metrics=self.metrics, params=params, tags=tags, figures=figures, summary=text
        )


RUNS: dict[str, PipelineRun] = {}
"""The runs of this process, by name: what the threads of one run share."""


def stop_runs(name: str, message: str) -> bool:
    """Stop the stages of every run of this process, so that each ends by itself. False if there is none.

    Args:
        name: of the state that the runs get. With `Failed`, nobody can be told: wait until their
            records are closed.
        message: why, in one sentence.
    """
    runs = [run for run in RUNS.values() if not run.closed.is_set()]
    for run in runs:
        run.stop(name, message)
    if name == "Failed":
        for run in runs:
            run.closed.wait(GRACE_S)
    return bool(runs)


def _tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _with_parent(pid: int) -> list[str]:
    """The tags of a process and of its parent; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [processes.process_tag(one) for one in (pid, psutil.Process(pid).ppid())]
    return []


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
