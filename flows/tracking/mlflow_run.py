"""What MLflow keeps: one parent run per pipeline run or `dvc repro`, one child per stage that ran.

Whoever calls these functions has the run's folder for itself (flows/tracking/record.py), so that
each run has one writer. Each may be called again with the same: MLflow then has it once.
"""

import json
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.params import yaml_text
from flows.system import paths
from flows.system.mlflow_location import ARTIFACTS
from flows.system.mlflow_server import require_mlflow
from flows.system.paths import EXPERIMENT
from flows.system.run_folder import PIPELINE, REPRO, RunFolder
from flows.tracking.mlflow_view import store_view
from flows.tracking.run_files import report_files

BATCH = 1000
"""Figures per request: MLflow's limit."""
NAME_TAG = "run"
"""Tag of parent runs alone: the name they share with Prefect and DVC."""
UNMADE_TAG = "unmade"
"""Tag of a parent run that ended early: stages it did not reach, left out of its dvc.lock."""
PIPELINES = (PIPELINE, REPRO)
"""Kinds of parent runs that are compared with each other."""
PRIMARY = ("instruct", "answer", "bpb", "classify", "mlm")
"""Scores that stand for a run: the first of these that it has."""
PRIMARY_OF = {"finetune.classify": "classify", "pretrain.masked": "mlm"}
"""Section of the parameters -> score that stands for a run which changed nothing else."""
MAX_PARAM, MAX_TAG = 6000, 8000
NO_NAME = re.compile(r"[^\w\-. :/]")
"""Characters of a parameter and of a tag that MLflow takes."""


_IMPORTING = threading.Lock()
"""Held while MLflow is imported: its modules import each other in a circle, which two threads at
once run into."""
_ANSWERED = set[str]()
"""Servers that this process has asked: one that is away later is tried for as long as MLflow's
client does."""


def client() -> Any:
    """An MLflow client, of a server that answers and takes the login.

    Raises `UserError`: it does not.
    """
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line per attempt at a server that ended
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback before our sentence
    with _IMPORTING:
        from mlflow import MlflowClient

        if (uri := os.environ.get("MLFLOW_TRACKING_URI", "")) not in _ANSWERED:
            require_mlflow()
            _ANSWERED.add(uri)

    # The first client of all makes the tables; a pipeline and its first stage begin at the same time.
    with FileLock(paths.STATE / "mlflow.lock"):
        return MlflowClient()


def experiment_id(mlflow: Any) -> str:
    """The experiment of this project, made on first use with an absolute place for artifacts."""
    with FileLock(paths.STATE / "mlflow.lock"):
        experiment = mlflow.get_experiment_by_name(EXPERIMENT)
        if experiment:
            return experiment.experiment_id
        local = os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:///")
        location = (paths.STATE / ARTIFACTS).as_uri() if local else None
        return mlflow.create_experiment(EXPERIMENT, artifact_location=location)


def parent_run(mlflow: Any, run: RunFolder, make: bool = True) -> str:
    """The id of the parent run of a run: found by its process, made if there is none; "" if it shall not `make` it."""
    facts = run.facts()
    process = facts.get("process", "")
    if known := find_run(mlflow, process, {NAME_TAG: run.name}):
        return known
    if not make:
        return ""
    tags = {"kind": facts["kind"], "git.commit": facts.get("commit", "")}
    tags |= {"prefect.flow_run": facts["flow_run"]} if facts.get("flow_run") else {}
    store_view(mlflow, experiment_id(mlflow))
    return create_run(mlflow, run.name, process, tags | {NAME_TAG: run.name}, facts.get("t"))


def create_run(mlflow: Any, name: str, process: str, tags: dict[str, str], ms: int | None = None) -> str:
    """Id of a new run, with its process in it; it began `ms` after the Unix epoch, or now."""
    tags = {"mlflow.user": "greenhouse", "process": process} | tags | commit_tag(tags)
    return mlflow.create_run(experiment_id(mlflow), ms, tags, name).info.run_id


def find_run(mlflow: Any, process: str, tags: dict[str, str]) -> str:
    """The id of the run of a process that has these tags; "" if there is none."""
    query = f"tags.process = '{process}'"
    for run in mlflow.search_runs([experiment_id(mlflow)], query, max_results=100):
        if tags.items() <= run.data.tags.items():
            return run.info.run_id
    return ""


def commit_tag(tags: dict[str, str]) -> dict[str, str]:
    """The tag by which MLflow shows the git commit of a run."""
    commit = tags.get("git.commit", "").removesuffix("+changes")
    return {"mlflow.source.git.commit": commit} if commit else {}


def name_of(run: Any) -> str:
    """The name a parent run shares with Prefect and DVC; the one MLflow shows begins with what changed."""
    return run.data.tags.get(NAME_TAG, run.info.run_name)


def close_parent(
    mlflow: Any,
    run_id: str,
    name: str,
    status: str,
    metrics: dict[str, float],
    params: dict,
    tags: dict[str, str] | None = None,
    files: Sequence[Path] = (),
    figures: dict[str, float] | None = None,
    summary: str = "",
    ms: int = 0,
) -> None:
    """End a parent run with its headline figures and all parameters.

    Args:
        metrics: scores and costs; `figures` go to the artifact figures.json instead.
        files: kept with it. By params.yaml, defaults.yaml and dvc.lock a later `compare`, `verify`
            or `gc` knows the bytes of the run; the data sets in dvc.lock become its inputs.
        summary: Markdown; its description, after what changed against the run most like it.
        ms: when it ended, in Unix milliseconds; now by default.
    """
    log_params(mlflow, run_id, params)
    log_inputs(mlflow, run_id, _data_sets(files))  # before it is described, by what it read
    log_scores(mlflow, run_id, metrics, ms, describe(mlflow, run_id, name, params, summary))
    if used := energy(metrics):
        mlflow.set_tag(run_id, "cost", used)
    for key, value in (tags or {}).items():
        mlflow.set_tag(run_id, key, value)
    if figures:
        mlflow.log_dict(run_id, figures, "figures.json")
    log_files(mlflow, run_id, None, files)
    mlflow.set_terminated(run_id, status, ms or None)


def _data_sets(files: Sequence[Path]) -> dict[str, str]:
    """The training mixture and the held-out set by the dvc.lock among these files: path -> hash."""
    lock = next((path for path in files if path.name == "dvc.lock" and path.exists()), None)
    stages = (yaml_text.load(lock.read_text()) or {}).get("stages", {}) if lock else {}
    outs = {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}
    return {path: outs[path] for path in ("data/mix", "data/ingest/heldout") if path in outs}


def describe(mlflow: Any, run_id: str, name: str, params: dict, summary: str) -> str:
    """Description and shown name of a parent run: both begin with what it changed against the earlier run most like it.

    Not against the latest: an experiment that follows seed runs would be named by their seeds.

    Returns:
        the score that stands for it, where what it changed says so.
    """
    run = mlflow.get_run(run_id)
    before, changes = _most_alike(mlflow, run, dotted(params))
    # A key that is there no more says little: `columns {} -> unset` stands beside `columns.prompt unset -> question`.
    shown_changes = [change for change in changes if not change.endswith(" -> unset")] or changes
    besides = _changed_besides(mlflow, before, run) if before and not changes else ""
    mlflow.set_tag(run_id, "changed", ("; ".join(map(brief, shown_changes)) or besides)[:MAX_TAG])
    if before is None:
        first = "The first run of its kind."
    else:
        first = "\n".join(changes) or f"No parameter differs: {besides}."
        first = f"{first}\n\n(against {name_of(before)})"
        if changes:
            mlflow.update_run(run_id, name=f"{shown_name(shown_changes)} ({name})")
    mlflow.set_tag(run_id, "mlflow.note.content", f"{first}\n\n{summary}"[:MAX_TAG])
    sections = {".".join(change.split(".")[:2]) for change in changes}
    return PRIMARY_OF.get(sections.pop(), "") if len(sections) == 1 else ""


def log_scores(mlflow: Any, run_id: str, metrics: dict[str, float], ms: int = 0, preferred: str = "") -> None:
    """Log figures of a parent run, the score that stands for it first.

    MLflow's page that compares runs opens with their first metric.

    Args:
        preferred: the score that shall stand for it, if it has that.
    """
    main, text = primary(mlflow.get_run(run_id).data.metrics | metrics, preferred)
    if main:
        mlflow.set_tag(run_id, "primary", text)
    log_metrics(mlflow, run_id, {name: metrics[name] for name in (main, *metrics) if name in metrics}, ms)


def primary(scores: dict[str, float], preferred: str = "") -> tuple[str, str]:
    """The score that stands for a run, and its value with the half-width of its interval; "" of none.

    Args:
        preferred: the score that shall stand for it, if it has that.
    """
    main = next((name for name in (preferred, *PRIMARY) if name in scores), "")
    if not main:
        return "", ""
    low, high = (scores.get(main + end, math.nan) for end in ("_low", "_high"))
    half = "" if math.isnan(high - low) else f"±{(high - low) / 2:.2f}".replace("±0", "±")
    return main, f"{scores[main]:.3f}{half} {main}"


def energy(metrics: dict[str, float]) -> str:
    """What a run used, in few characters, and in all, with the stages that it reused; "" if it is not known."""
    used = metrics.get("cost/run_kwh")
    if used is None:
        return ""
    behind = metrics.get("cost/behind_kwh", 0.0)  # without what orchestration used
    return f"{1000 * used:.2g} Wh ({1000 * behind:.2g} in all)" if used < behind else f"{1000 * used:.3g} Wh"


def shown_name(changes: list[str]) -> str:
    """What a run changed, for its name: the first change, or of one key in several sections its new values."""
    keys = {change.split(" ")[0].rpartition(".")[2] for change in changes}
    if len(changes) > 1 and len(keys) == 1:
        values = ", ".join(dict.fromkeys(change.rpartition(" -> ")[2] for change in changes))
        return f"{keys.pop()} {values}"[:80] + f" in {len(changes)} sections"
    return changes[0].replace(" unset -> ", "=")[:80] + (f", {len(changes) - 1} more" if len(changes) > 1 else "")


def brief(change: str) -> str:
    """A change for a narrow column: `steps 100 -> 60 (finetune.instruct)`."""
    key, _, values = change.partition(" ")
    section, _, leaf = key.rpartition(".")
    return f"{leaf} {values} ({section})"


def describe_comparison(mlflow: Any, run_id: str, verdict: str, page: str) -> None:
    """Begin a run's description with how it compares with another; the verdict is its `result`, as the view has it."""
    note = mlflow.get_run(run_id).data.tags.get("mlflow.note.content", "")
    mlflow.set_tag(run_id, "result", verdict[:MAX_TAG])
    mlflow.set_tag(run_id, "mlflow.note.content", f"{page}\n{note}"[:MAX_TAG])


def _most_alike(mlflow: Any, run: Any, params: dict[str, str]) -> tuple[Any, list[str]]:
    """(the earlier finished parent run of the same kind that differs least, the latest of these; what differs).

    One that was closed after a kill has no parameters: nothing can be said against it. (None, [])
    if there is none.
    """
    kind = run.data.tags.get("kind", "")
    query = f"tags.{NAME_TAG} LIKE '%' and attributes.status = 'FINISHED'"
    experiment, started = [run.info.experiment_id], run.info.start_time
    rows = mlflow.search_runs(experiment, query, order_by=["attributes.start_time DESC"], max_results=50)
    same = [row for row in rows if (row.data.tags.get("kind", "") in PIPELINES) == (kind in PIPELINES)]
    earlier = [row for row in same if row.data.params and row.info.start_time < started]
    differing = [(row, changed(row.data.params, params)) for row in earlier]
    return min(differing, key=lambda pair: len(pair[1]), default=(None, []))


def _changed_besides(mlflow: Any, before: Any, run: Any) -> str:
    """What differs of two runs with the same parameters: data sets they read, as where a text was forgotten; code."""
    sides = [mlflow.get_run(one.info.run_id) for one in (before, run)]
    was, now = ({one.dataset.name: one.dataset.digest for one in side.inputs.dataset_inputs} for side in sides)
    parts = [f"other {name}" for name in now if name in was and was[name] != now[name]]
    old, new = (side.data.tags.get("git.commit", "") for side in sides)
    return "; ".join(parts + ([f"code of {new[:9]}"] if old != new else [])) or "the same data and commit"


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """`finetune.instruct.steps 100 -> 60` for each parameter that differs; long values are cut."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key, "")[:MAX_PARAM]]
    return [f"{key} {before.get(key, 'unset')[:40]} -> {now.get(key, 'unset')[:40]}" for key in keys]


def log_metrics(mlflow: Any, run_id: str, metrics: dict[str, float], ms: int = 0) -> None:
    """Log final numbers (`None` and text are left out).

    Args:
        ms: when, in Unix milliseconds; now by default. What is logged again with the same time is
            there once.
    """
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    log_curves(mlflow, run_id, [{"t": ms or int(time.time() * 1000), "step": 0, "values": numbers}])


def log_curves(mlflow: Any, run_id: str, events: Iterable[dict[str, Any]], before: str = "") -> None:
    """Log the events that have values, in one request per batch; `before` begins their names."""
    from mlflow.entities import Metric

    rows = [
        Metric(NO_NAME.sub("_", before + name), float(value), event["t"], event["step"])
        for event in events
        for name, value in event.get("values", {}).items()
    ]
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
    """Copy a stage's pictures, report and metrics to a run, and `besides`: files or whole folders, those there are."""
    for path in (*(report_files(reports) if reports else []), *besides):
        if path.is_dir():
            mlflow.log_artifacts(run_id, str(path), path.name)
        elif path.exists():
            mlflow.log_artifact(run_id, str(path), "plots" if path.suffix == ".png" else None)
