"""MLflow keeps the record: one parent run per pipeline run or `dvc repro`, one child per stage that ran.

Importing MLflow and talking to it takes seconds, so a `Tracker` does both on a thread of its own while the stage works;
calls return at once and are carried out in order. Metrics are sent in batches. `close()` waits for all of it. An MLflow
that fails does not fail the stage: the trouble is printed, and the model and its books are on disk all the same.
"""

import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from flows.system import recovery
from flows.system.mlflow_location import ARTIFACTS
from flows.system.mlflow_server import require_mlflow
from flows.system.paths import EXPERIMENT, STATE
from flows.system.processes import process_tag
from flows.tracking.mlflow_view import store_view

BATCH = 200
"""Figures per request (MLflow's limit is 1,000)."""
SYSTEM_S = 3.0
"""Seconds between system metrics."""
NAME_TAG = "run"
"""Tag of parent runs alone: the name they share with Prefect and DVC."""
UNMADE_TAG = "unmade"
"""Tag of a parent run that ended early: the stages it did not come to, which its dvc.lock leaves out."""
PIPELINES = ("pipeline", "dvc repro")
"""Kinds of parent runs that are compared with each other."""
MAX_PARAM, MAX_TAG = 6000, 8000
NO_NAME = re.compile(r"[^\w\-. :/]")
"""Characters of a parameter and of a tag that MLflow takes."""


_IMPORTING = threading.Lock()
"""Held while MLflow is imported: its modules import each other in a circle, which two threads at once run into."""
_ANSWERED = set[str]()
"""Servers that this process has asked: one that is away later is tried for as long as MLflow's client does."""


def client() -> Any:
    """An MLflow client, of a server that answers and takes the login.

    Raises:
        UserError: it does not.
    """
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _IMPORTING:
        from mlflow import MlflowClient

        if (uri := os.environ.get("MLFLOW_TRACKING_URI", "")) not in _ANSWERED:
            require_mlflow()
            _ANSWERED.add(uri)

    # The first client of all makes the tables; a pipeline and its first stage begin at the same time.
    with FileLock(STATE / "mlflow.lock"):
        return MlflowClient()


def experiment_id(mlflow: Any) -> str:
    """The experiment of this project, made on first use with an absolute place for artifacts.

    Its kind is set so that the UI opens it in the model-training view, not in the one for agents.
    """
    with FileLock(STATE / "mlflow.lock"):
        found = mlflow.get_experiment_by_name(EXPERIMENT)
        if found:
            return found.experiment_id
        local = os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:///")
        place = (STATE / ARTIFACTS).as_uri() if local else None
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return mlflow.create_experiment(EXPERIMENT, artifact_location=place, tags=tags)


def parent_run(mlflow: Any, name: str, process: str, tags: dict[str, str]) -> str:
    """The id of the parent run `name`: made by whichever stage of the pipeline (or `dvc repro`) asks first."""
    record = STATE / "parents" / f"{name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(record.with_suffix(".lock")):
        if run_id := recovery.read_record(record).get("mlflow"):
            if "GREENHOUSE_RUN" not in os.environ:  # of a `dvc repro`: its last stage paused it
                mlflow.update_run(run_id, "RUNNING")
            return run_id
        run = mlflow.create_run(
            experiment_id(mlflow),
            run_name=name,
            tags={"mlflow.user": "greenhouse", "process": process, NAME_TAG: name} | tags | commit_tag(tags),
        )
        recovery.write_record(record, {"mlflow": run.info.run_id, "process": process})
        return run.info.run_id


def pause_parent(mlflow: Any, name: str, status: str) -> None:
    """Give a parent run that a stage opened a status: none may follow, and nobody would know."""
    if run_id := recovery.read_record(STATE / "parents" / f"{name}.json").get("mlflow"):
        mlflow.set_terminated(run_id, status)


def commit_tag(tags: dict[str, str]) -> dict[str, str]:
    """The tag by which MLflow shows the git commit of a run."""
    commit = tags.get("git.commit", "").removesuffix("+changes")
    return {"mlflow.source.git.commit": commit} if commit else {}


def name_of(run: Any) -> str:
    """The name a parent run shares with Prefect and DVC; the one MLflow shows begins with what changed."""
    return run.data.tags.get(NAME_TAG, run.info.run_name)


def close_parent(
    mlflow: Any,
    name: str,
    status: str,
    metrics: dict[str, float],
    params: dict,
    tags: dict[str, str],
    files: Sequence[Path] = (),
    figures: dict[str, float] | None = None,
    summary: str = "",
) -> None:
    """End a parent run with its headline figures and all parameters; nothing happens if no stage opened one.

    Args:
        metrics: at most twelve; `figures` go to the artifact figures.json instead.
        files: kept with it. By params.yaml, defaults.yaml and dvc.lock a later `compare`, `verify` or `gc` knows the
            bytes of the run; the data sets in dvc.lock become its inputs.
        summary: Markdown; its description, after what changed against the run most like it.
    """
    record = STATE / "parents" / f"{name}.json"
    if not (run_id := recovery.read_record(record).get("mlflow")):
        return
    log_metrics(mlflow, run_id, metrics)
    log_params(mlflow, run_id, params)
    _describe(mlflow, run_id, name, params, summary)
    if summary:
        store_view(mlflow, experiment_id(mlflow), metrics)
    for key, value in tags.items():
        mlflow.set_tag(run_id, key, value)
    log_inputs(mlflow, run_id, _data_sets(files))
    if figures:
        mlflow.log_dict(run_id, figures, "figures.json")
    log_files(mlflow, run_id, None, files)
    mlflow.set_terminated(run_id, status)
    record.unlink(missing_ok=True)
    record.with_suffix(".lock").unlink(missing_ok=True)


def _data_sets(files: Sequence[Path]) -> dict[str, str]:
    """The training mixture and the held-out set by the dvc.lock among these files: path -> hash."""
    lock = next((path for path in files if path.name == "dvc.lock" and path.exists()), None)
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {}) if lock else {}
    outs = {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}
    return {path: outs[path] for path in ("data/mix", "data/ingest/heldout") if path in outs}


def _describe(mlflow: Any, run_id: str, name: str, params: dict, summary: str) -> None:
    """Description and shown name of a parent run: both begin with what it changed against the earlier run most like it.

    Not against the latest: an experiment that follows seed runs would be named by their seeds.
    """
    before, changes = _most_alike(mlflow, mlflow.get_run(run_id), dotted(params))
    if before is None:
        first = "The first run of its kind."
    else:
        first = "\n".join(changes) or "No parameter differs."
        first = f"{first}\n\n(against {name_of(before)})"
        if changes:
            more = f", {len(changes) - 1} more" if len(changes) > 1 else ""
            mlflow.update_run(run_id, name=f"{changes[0][:80]}{more} ({name})")
    mlflow.set_tag(run_id, "mlflow.note.content", f"{first}\n\n{summary}"[:MAX_TAG])


def _most_alike(mlflow: Any, run: Any, params: dict[str, str]) -> tuple[Any, list[str]]:
    """(the earlier finished parent run of the same kind that differs least, the latest of these; what differs).

    One that was closed after a kill has no parameters: nothing can be said against it. (None, []) if there is none.
    """
    kind = run.data.tags.get("kind", "")
    query = f"tags.{NAME_TAG} LIKE '%' and attributes.status = 'FINISHED'"
    experiment, started = [run.info.experiment_id], run.info.start_time
    rows = mlflow.search_runs(experiment, query, order_by=["attributes.start_time DESC"], max_results=50)
    same = [row for row in rows if (row.data.tags.get("kind", "") in PIPELINES) == (kind in PIPELINES)]
    earlier = [row for row in same if row.data.params and row.info.start_time < started]
    differing = [(row, changed(row.data.params, params)) for row in earlier]
    return min(differing, key=lambda pair: len(pair[1]), default=(None, []))


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """`finetune.instruct.steps 100 -> 60` for each parameter that differs; long values are cut."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key, "")[:MAX_PARAM]]
    return [f"{key} {before.get(key, 'unset')[:40]} -> {now.get(key, 'unset')[:40]}" for key in keys]


def log_metrics(mlflow: Any, run_id: str, metrics: dict[str, float]) -> None:
    """Log numbers (`None` and text are left out) in one request per batch."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    rows = [Metric(name, float(value), now, 0) for name, value in metrics.items() if isinstance(value, int | float)]
    for start in range(0, len(rows), BATCH):
        mlflow.log_batch(run_id, metrics=rows[start : start + BATCH])


def log_params(mlflow: Any, run_id: str, tree: dict) -> None:
    """Log a tree of parameters with dotted names; values are cut at MLflow's 6,000 characters."""
    from mlflow.entities import Param

    rows = [Param(key, value[:MAX_PARAM]) for key, value in dotted(tree).items()]
    for start in range(0, len(rows), 100):
        mlflow.log_batch(run_id, params=rows[start : start + 100])


def dotted(tree: dict, prefix: str = "") -> dict[str, str]:
    """`{"a": {"b": 1}}` as `{"a.b": "1"}`; lists as JSON. What MLflow takes in no name (`shots=8`) becomes `_`."""
    rows: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            rows |= dotted(value, f"{prefix}{key}.")
        else:
            rows[NO_NAME.sub("_", prefix + key)] = value if isinstance(value, str) else json.dumps(value)
    return rows


class Tracker:
    """The MLflow run of one stage, kept on a thread of its own.

    Args:
        stage: the run's name.
        parent: name of the pipeline run; parent_process: `process_tag` of its process.
        tags: on the run; commit and kind also on the parent, if this call makes it.
        record: name of the run's file among the open runs.
    """

    def __init__(self, stage: str, parent: str, parent_process: str, tags: dict[str, str], record: str) -> None:
        self.run_id = ""
        self.record = record
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue()
        self._figures: list[tuple[int, int, dict[str, float]]] = []
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self.submit(lambda mlflow: self._start(mlflow, stage, parent, parent_process, tags))
        self._thread.start()

    def _start(self, mlflow: Any, stage: str, parent: str, parent_process: str, tags: dict[str, str]) -> None:
        keys = ("git.commit", "kind")
        parent_id = parent_run(mlflow, parent, parent_process, {key: tags[key] for key in keys if key in tags})
        run = mlflow.create_run(
            experiment_id(mlflow),
            run_name=stage,
            tags={"mlflow.user": "greenhouse", "mlflow.parentRunId": parent_id, "process": process_tag()}
            | tags
            | commit_tag(tags),
        )
        self.run_id = run.info.run_id
        recovery.opened(self.record, mlflow=self.run_id)
        self._monitor = _monitored(self.run_id)

    def submit(self, call: Callable[[Any], None]) -> None:
        """Have `call(client)` carried out on the thread, after all calls before it."""
        self._calls.put(call)

    def log_metrics(self, step: int, values: dict[str, float]) -> None:
        """Buffer live figures; they are sent `BATCH` at a time, at `flush()` and at the end."""
        self._figures.append((step, int(time.time() * 1000), values))
        if sum(len(row) for _, _, row in self._figures) >= BATCH:
            self.flush()

    def flush(self) -> None:
        rows, self._figures = self._figures, []
        if rows:
            self.submit(lambda mlflow: self._send(mlflow, rows))

    def _send(self, mlflow: Any, rows: list[tuple[int, int, dict[str, float]]]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(key, float(value), at, step) for step, at, row in rows for key, value in row.items()]
        for start in range(0, len(metrics), 1000):
            mlflow.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def close(self, status: str) -> None:
        """Send what is left, end the run as `status` (FINISHED, FAILED, KILLED), wait for the thread."""
        self.flush()
        self.submit(lambda mlflow: self._monitor.finish())
        self.submit(lambda mlflow: mlflow.set_terminated(self.run_id, status))
        self._calls.put(None)
        self._thread.join(timeout=120)

    def _work(self) -> None:
        mlflow = None
        while (call := self._calls.get()) is not None:
            try:
                mlflow = mlflow or client()
                call(mlflow)
            except Exception as error:  # the record must not take the work down with it
                print(f"MLflow ({os.environ['MLFLOW_TRACKING_URI']}): {type(error).__name__}: {error}", flush=True)


def _monitored(run_id: str) -> Any:
    """Log CPU, memory, disk and GPU of the machine to a run, a sample every `SYSTEM_S`, until `finish()`."""
    import logging

    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
    monitor = SystemMetricsMonitor(run_id, sampling_interval=SYSTEM_S, samples_before_logging=1)
    monitor.start()
    return monitor


def log_inputs(mlflow: Any, run_id: str, hashes: dict[str, str]) -> None:
    """Log each data or model dependency as a data set whose digest is its DVC hash (32 hex digits fit MLflow's 36)."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for path, value in hashes.items():
        if value and path.startswith(("data/", "models/")):
            digest, source = value.removesuffix(".dir")[:36], json.dumps({"path": path})
            dataset = Dataset(name=path, digest=digest, source_type="dvc", source=source)
            inputs.append(DatasetInput(dataset, [InputTag("dvc.md5", value), InputTag("mlflow.data.context", "input")]))
    if inputs:
        mlflow.log_inputs(run_id, datasets=inputs)


def log_files(mlflow: Any, run_id: str, reports: Path | None, besides: Iterable[Path] = ()) -> None:
    """Copy a stage's pictures and its report to the run, and `besides`: files, and folders whole. What is not there
    is left out."""
    own = (
        [*sorted(reports.rglob("*.png")), reports / "details" / "report.md", reports / "metrics.json"]
        if reports
        else []
    )
    for path in (*own, *besides):
        if path.is_dir():
            mlflow.log_artifacts(run_id, str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(run_id, str(path), "plots" if path.suffix == ".png" else None)
