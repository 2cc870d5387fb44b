"""One run of the pipeline: which stages it asks DVC about, their processes, and how they end."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from components.carbon.footprint import intensity
from components.carbon.ledger import reader
from components.carbon.metering.meter import Meter
from components.carbon.planning.forecast import total
from components.core.errors import UserError
from components.core.files import rounded, write_json
from components.params import Params
from flows.execution import fork_server, start_meter
from flows.execution.fork_server import ForkServer
from flows.execution.result import StageResult, headline, kept_files, read_result, result_file, summary_text
from flows.planning import preflight, step_cost
from flows.planning.stage_forecast import Spent, errors, expected
from flows.system import dvc, environment, git, paths, processes
from flows.tracking.mlflow_view import run_page
from flows.tracking.progress import Screen

GRACE_S = 4.0
"""Seconds a stage gets to save and end before it is killed; a cancelled tree is gone within 10."""
UNCHANGED = "DVC: nothing to run"
DVC_ADVICE = (
    "Use `dvc push`",
    "To track the changes",
    "\tgit add",
    "To enable auto",
    "\tdvc config",
    "Updating lock file",
)
"""What DVC says to a person at a terminal after each stage: noise here."""


@dataclass
class Timing:
    """Seconds since the run began: of a stage's process, and of its stage function alone."""

    began: float
    ended: float = 0.0
    function_s: float = 0.0


@dataclass
class PipelineRun:
    """What the threads of one pipeline run share.

    Args:
        name: the Prefect run's; the MLflow parent run and the DVC experiment are named like it.
        root: the checkout to run in: the workspace, or a worktree.
        params: values of this run (identity as in root's params.yaml; runtime may differ).
        targets: stages to end with; empty for all.
    """

    name: str
    root: Path
    params: Params
    targets: list[str]
    stages: dict[str, list[str]] = field(init=False)
    stopped: StageResult | None = None
    results: dict[str, StageResult] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole = dvc.graph(self.root)
        wanted = {name for target in self.targets for name in dvc.upstream(whole, target)} or set(whole)
        self.stages = {name: needs for name, needs in whole.items() if name in wanted}
        stale = set(dvc.stale(self.root))
        self.stale, outdated = stale & wanted, dvc.downstream(whole, stale)
        self._outdated = [name for name in whole if name in outdated]
        preflight.raise_if_unfit(self.params, self.root, dvc.downstream(self.stages, self.stale))
        self.places = threading.BoundedSemaphore(self.params.runtime.parallel_stages)
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen] = {}
        self._screen = Screen()
        self._began = time.perf_counter()
        self._ending = False
        self.closed = threading.Event()

    def __enter__(self) -> "PipelineRun":
        start_meter.end(run=self.name)
        # A span of the ledger without a stage: what orchestration itself uses.
        self._meter = Meter(paths.LEDGER, self.params.runtime.meter_interval_s, {"run": self.name})
        self._meter.__enter__()
        if self.root in fork_server.early:
            self._fork_server = fork_server.early.pop(self.root)
        else:
            self._fork_server = ForkServer(self.root, self._environment(""))
        if len(dvc.downstream(self.stages, self.stale)) > 2:  # for fewer it would import for longer than they save
            self._fork_server.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            self.stop("Failed", f"{type(error).__name__}: {error}")
        elif error is not None:  # Ctrl-C, SIGTERM, a cancel in Prefect's page
            if threading.current_thread() is threading.main_thread():  # told again meanwhile, it goes on ending
                signal.signal(signal.SIGTERM, lambda *_: None)
            self.stop("Cancelled", "cancelled; run it again, it resumes")
        self._fork_server.stop()
        self.wall_s = time.perf_counter() - self._began
        self._meter.outcome = self._final_name()
        self._meter.note(cached=",".join(self._cached()))
        self._meter.__exit__(kind, error, trace)
        stages = {stage: vars(timing) for stage, timing in self.timings.items()}
        took = {"wall_s": self.wall_s, "orchestration_s": self.overhead_s(), "stages": stages}
        try:
            write_json(paths.LOGS / self.name / "timings.json", took)
        except OSError as error:  # a full disk, say, which must not leave the run open
            print(f"the times of the stages are not kept: {error}", flush=True)
        self._close_parent()
        self.closed.set()

    def needs_repro(self, stage: str) -> bool:
        """Whether DVC must look at the stage: it was stale when the run began, or one before it has run since."""
        ran = (
            self.results[need].name in ("Completed", "Restored") for need in self.stages[stage] if need in self.results
        )
        return stage in self.stale or any(ran)

    def _cached(self) -> list[str]:
        """Stages that DVC had done before; none if the run did not come to its end, for then nobody knows."""
        if self._ended:
            return []
        names = {stage: self.results[stage].name if stage in self.results else "Cached" for stage in self.stages}
        return [stage for stage, name in names.items() if name in ("Cached", "Restored")]

    def rows(self, states: dict[str, str]) -> list[dict[str, Any]]:
        """The table of the run: what each stage ended as, what it took, and what it was expected to take."""
        grams, rows = self.grams(), []
        for stage, state in states.items():
            timing, result = self.timings.get(stage), self.results.get(stage)
            part = Spent(**result.spent) if result and result.spent else None
            row = {
                "stage": stage,
                "state": state,
                "seconds": round(timing.ended - timing.began, 1) if timing else 0.0,
                "Wh": f"{1000 * part.kwh:.3g}" if part else "",
                "forecast Wh": f"{1000 * part.forecast_kwh:.3g}" if part and part.forecast_kwh else "",
                "gCO2e": f"{grams[stage]:.3g}" if stage in grams else "",
            }  # fmt: skip
            rows.append(row)
        return rows

    def grams(self) -> dict[str, float]:
        """CO2e of each stage that this run started, by the ledger (mid); empty, and said, if the grid is not known."""
        try:
            known = intensity.resolve(self.params.runtime.grid, self.root)
        except UserError as error:
            print(f"no grams of CO2e: {error}", flush=True)
            return {}
        stages = reader.read(paths.LEDGER).select(run=self.name).by("stage")
        return {stage: known.grams(spans.hours).mid for stage, spans in stages.items()}

    def forecast(self) -> tuple[list[dict[str, str]], str]:
        """What the stages that may run are expected to take: a row for each, and a sentence for all together."""
        books, rates = reader.history(paths.LEDGER), step_cost.known(self.params)
        todo = dvc.downstream(self.stages, self.stale)
        parts = {stage: expected(books, stage, "", self.params, rates) for stage in self.stages if stage in todo}
        known = [part for part in parts.values() if part]
        seconds, kwh = total([part.seconds for part in known]), total([part.kwh for part in known])
        rows = [
            {"stage": stage, "seconds": f"{part.seconds.mid:.3g}", "Wh": f"{1000 * part.kwh.mid:.3g}", "by": part.basis}
            if part else {"stage": stage, "seconds": "", "Wh": "", "by": "no run here to go by"}
            for stage, part in parts.items()
        ]  # fmt: skip
        told = f"about {seconds.mid:.0f} s and {1000 * kwh.mid:.2g} Wh" if known else "none ever completed here"
        less = f" for the {len(known)} that ran or were calibrated here" if 0 < len(known) < len(parts) else ""
        return rows, f"{len(parts)} of {len(self.stages)} stages may run, {told}{less}"

    def open_parent(self) -> str:
        """Make the run's record in MLflow, before a stage does. Returns its page; empty without a server."""
        from flows.tracking.mlflow_run import client, experiment_id, parent_run

        mlflow, address = client(), os.environ["MLFLOW_TRACKING_URI"]
        tags = {"git.commit": git.commit(), "kind": "pipeline"}
        run_id = parent_run(mlflow, self.name, processes.process_tag(), tags)
        return run_page(address, experiment_id(mlflow), run_id) if address.startswith("http") else ""

    # -- one stage -----------------------------------------------------------------------------------------------------

    def repro(self, stage: str, parent_task: str) -> StageResult:
        """Have DVC reproduce one stage in a process of its own, showing its output line by line.

        Called on a thread of the task runner, which waits here: the child is told to die with that thread.
        """
        result_file(self.name, stage).unlink(missing_ok=True)  # of an earlier try of this run
        timing = self.timings[stage] = Timing(time.perf_counter() - self._began)
        with self._lock:
            if self._ending:
                assert self.stopped is not None
                return self.stopped
            # Ctrl-C reaches this process alone, which then stops the others in order: hence sessions of their own.
            process = self._processes[stage] = subprocess.Popen(
                dvc.command("--wait-for-lock", "repro", "--single-item", stage),
                cwd=self.root, text=True,
                env=self._environment(parent_task) | {fork_server.VARIABLE: self._fork_server.address},
                bufsize=1,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=processes.dies_with_parent(signal.SIGTERM), start_new_session=True,
            )  # fmt: skip
        lines = self._relay(stage, process)
        process.wait()
        timing.ended = time.perf_counter() - self._began
        result = self._result(stage, process.returncode, lines)
        timing.function_s = result.function_s
        return result

    def _environment(self, parent_task: str) -> dict[str, str]:
        return environment.environment() | {
            "GREENHOUSE_RUN": self.name,
            "GREENHOUSE_PROCESS": processes.process_tag(),
            "GREENHOUSE_PARENT_TASK": parent_task,
            "GREENHOUSE_RUNTIME": self.params.runtime.model_dump_json(),
            "PYTHONUNBUFFERED": "1",
        }

    def _relay(self, stage: str, process: subprocess.Popen) -> list[str]:
        """Show the child's lines under the stage's name, in the terminal and in Prefect's log; keep the last ones."""
        from prefect.logging import get_run_logger

        logger = get_run_logger()
        kept: list[str] = []
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.rstrip()
            if not line or line.startswith(DVC_ADVICE):
                continue
            kept = [*kept[-30:], line]
            logger.info(line)
            if not self._ending:  # of processes that are being stopped, the last lines are noise
                self._screen.show(stage, line)
        self._screen.end(stage)
        return kept

    def _result(self, stage: str, status: int, lines: list[str]) -> StageResult:
        """What the stage's process reported; what DVC says where it did the work or failed without the stage."""
        result = read_result(self.name, stage) or _dvc_result(stage, status, lines)
        if result.name == "Restored":
            result = self._restored(stage, result)
        if result.name == "Completed" and status:
            last = lines[-1] if lines else "no output"
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

    def _lost(self, stage: str) -> str:
        """Where the outputs of an earlier run are, which DVC removed before it started the stage again."""
        with contextlib.suppress(UserError):  # a damaged dvc.lock is another's to tell
            outs = [self.root / out["path"] for out in dvc.lock(self.root).get(stage, {}).get("outs", [])]
            if self.root == paths.ROOT and not all(path.exists() for path in outs):
                return f" (`dvc checkout` brings back what {stage} made before, if DVC's cache has it)"
        return ""

    def _restored(self, stage: str, result: StageResult) -> StageResult:
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
        until = time.monotonic() + GRACE_S  # the threads that waited for them tell how they ended
        while self._processes and time.monotonic() < until:
            time.sleep(0.02)

    @property
    def _ended(self) -> StageResult | None:
        """What ended the run before its time: the first stage that failed, else what stopped it."""
        return next((result for result in self.results.values() if result.name == "Failed"), self.stopped)

    def _final_name(self) -> str:
        """`Failed`, the name of the stop, or `Completed`: what orchestration cost is counted under it, too."""
        return self._ended.name if self._ended else "Completed"

    def final_state(self, states: dict[str, str]) -> Any:
        """The run's own state: failed if a stage failed, stopped if one stopped, else completed."""
        from prefect.states import Completed

        if self._ended:
            return self._ended.state
        if all(name == "Cached" for name in states.values()):
            return Completed(name="Cached", message="nothing to do: everything is up to date")
        return Completed(message="")

    def overhead_s(self) -> float:
        """Wall seconds less the stage functions' own on the longest path of the graph: what orchestration adds."""
        longest: dict[str, float] = {}
        for stage, needs in self.stages.items():
            before = max((longest[need] for need in needs if need in longest), default=0.0)
            longest[stage] = before + (self.timings[stage].function_s if stage in self.timings else 0.0)
        return self.wall_s - max(longest.values(), default=0.0)

    def _close_parent(self) -> None:
        """End the MLflow parent run, if a stage opened one."""
        record = paths.STATE / "parents" / f"{self.name}.json"
        if not record.exists():
            return
        from flows.tracking.mlflow_run import UNMADE_TAG, client, close_parent

        done = [result for result in self.results.values() if result.name == "Completed"]
        parts = [Spent(**result.spent) for result in done if result.spent]
        status = {"Failed": "FAILED", "Completed": "FINISHED"}.get(self._final_name(), "KILLED")
        told = "account" in self.results and self.results["account"].name == "Completed"
        spans = reader.read(paths.LEDGER).select(run=self.name)  # what this run itself used
        metrics = rounded({"cost/run_kwh": spans.energy.mid_kwh, "cost/run_seconds": self.wall_s})
        metrics |= headline(self.root) if told else {}  # else it is of an earlier run
        figures = {"orchestration_seconds": self.overhead_s()} | errors(parts, "total_")
        with contextlib.suppress(UserError):  # of an unknown grid the pipeline has said so
            figures["run_grams"] = intensity.resolve(self.params.runtime.grid, self.root).grams(spans.hours).mid
        made = {stage for stage, result in self.results.items() if result.name in ("Completed", "Restored", "Cached")}
        unmade = [stage for stage in self._outdated if stage not in made] if self._ended else []
        tags, text = {"stages": json.dumps(list(self.timings))}, summary_text(self.root) if told else ""
        tags |= {UNMADE_TAG: ", ".join(unmade)} if unmade else {}
        try:
            files = kept_files(self.root, told, unmade, paths.LOGS / self.name)
            close_parent(client(), self.name, status, metrics, self.params.identity(), tags, files, figures, text)
        except Exception as error:  # the record must not take the work down with it, nor hide why the run ended
            print(f"MLflow: {type(error).__name__}: {error}; the run is closed at the next start", flush=True)


RUNS: dict[str, PipelineRun] = {}
"""The runs of this process, by name: what the threads of one run share."""


def stop_runs(name: str, message: str) -> bool:
    """Stop the stages of every run of this process, so that each ends by itself. False if there is none.

    Args:
        name: of the state that the runs get. With `Failed`, nobody can be told: wait until their records are closed.
        message: why, in one sentence.
    """
    runs = [run for run in RUNS.values() if not run.closed.is_set()]
    for run in runs:
        run.stop(name, message)
    if name == "Failed":
        for run in runs:
            run.closed.wait(GRACE_S)
    return bool(runs)


def _dvc_result(stage: str, status: int, lines: list[str]) -> StageResult:
    """How a `dvc repro` ended in which the stage itself did not run to an end."""
    if status == 0:
        if any(line.startswith("Running stage") for line in lines):  # a stage of the user's own: it leaves no result
            return StageResult("Completed", "DVC: ran")
        restored = any("is cached - skipping run" in line for line in lines)
        return StageResult("Restored", "DVC: taken from its cache") if restored else StageResult("Cached", UNCHANGED)
    last = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "no output")
    why = f"dvc repro ended with status {status}: {last.removeprefix('ERROR: ')}"
    said = chr(10).join(lines)
    return StageResult("Failed", f"{stage}: {processes.busy(said) or processes.killed(said) or why}")


def _tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
