"""Task `harness`: tasks of lm-evaluation-harness, run in this process on the causal model, their items in our table.

What is asked, in which form, and how an answer is scored is the harness's own code (package
lm_eval, its extra); only log-likelihoods come from our network, so a score is that of
`lm_eval --model hf` on the same model folder.

Data is local, beside the task's YAML file, or of the hub at a revision that is stated.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from components.core.errors import UserError
from components.stages.evaluate.tasks.task import EvalContext, TaskResult, item_id

SCORED = ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
"""Output types whose answers are log-likelihoods."""
READERS = ("json", "csv", "text", "parquet", "arrow")
"""Names under which `datasets` reads files instead of a data set of the hub."""
UNREAD = (".json", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".zst", ".zip", ".xz", ".bz2")
"""Data of which training text would not be cleared: components/similarity/decontaminate.py reads none of these."""
FEWSHOT_SEED = 1234
"""The harness's own: which examples are shown before a question."""


def harness(context: EvalContext) -> TaskResult:
    """Score the tasks that `params.tasks` names."""
    from components.stages.evaluate.tasks.harness_model import HarnessModel

    result, tasks = TaskResult("harness", unit="items"), load(context.params.tasks)
    results = run(HarnessModel(context.causal), tasks)
    for name in tasks:
        choices, samples = tasks[name].OUTPUT_TYPE == "multiple_choice", results["samples"][name]
        values = {key.split(",")[0]: value for key, value in results["results"][name].items()}
        for metric, better in tasks[name].higher_is_better().items():
            if _is_mean(values.get(metric), [sample.get(metric) for sample in samples]):
                _add(context, result, name, metric, samples, better, choices)
        result.facts[name] = {key: value for key, value in values.items() if isinstance(value, float)}
    return result


def _is_mean(value: Any, scores: list[Any]) -> bool:
    """Whether a metric is the mean of its items' scores: a perplexity, say, is not, and stays a fact without rows."""
    if not all(isinstance(score, int | float) for score in [value, *scores]):
        return False
    return math.isclose(value, sum(scores) / len(scores), rel_tol=1e-6, abs_tol=1e-9)


def _add(
    context: EvalContext, result: TaskResult, task: str, metric: str, samples: list[dict], better: bool, choices: bool
) -> None:
    """Rows, metric and score of one metric of a task."""
    full = f"{task}_{metric}"
    for sample in samples:
        result.item(
            full,
            item_id(f"{sample['doc_hash']}{sample['doc_id']}"),
            sample[metric],
            condition=task,
            direction="higher" if better else "lower",
            rules={"guessing": 1 / len(sample["arguments"])} if choices and metric == "acc" else None,
        )
    total = result.estimate(full)
    result.metric(full, total)
    guess = result.baseline(full) if choices and metric == "acc" else None
    way = "higher" if better else "lower"
    result.score(full, f"{task}, {metric}", total, guess, "lm-evaluation-harness", better=way)


def run(model: Any, tasks: dict[str, Any]) -> dict[str, Any]:
    """The harness's results of some tasks, samples included; `model` is any of its models."""
    from lm_eval.evaluator import evaluate

    results: dict[str, Any] = evaluate(model, {"tasks": tasks, "groups": {}}, bootstrap_iters=0)
    return results


# -- which tasks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """An entry of `evaluate.tasks`: a YAML file, or a name of the harness and the revision of its data."""

    name: str
    revision: str

    @property
    def folder(self) -> Path | None:
        """The folder of a YAML file, in which its data must lie."""
        return Path(self.name).resolve().parent if self.name.endswith((".yaml", ".yml")) else None


def known(entries: Sequence[str], root: Path = Path()) -> tuple[list[Spec], Any]:
    """Entries of `evaluate.tasks`, parsed, and the harness's TaskManager, which knows them; no data is read.

    Raises:
        UserError: lm_eval is not installed, or there is no such task or file.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise UserError(
            "evaluate.tasks needs the package lm_eval: pip install -c constraints.txt -e '.[lm-eval]'"
        ) from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    specs = [Spec(*entry.partition("@")[::2]) for entry in entries]  # params check their form
    manager = TaskManager(include_defaults=any(spec.folder is None for spec in specs))
    for spec in specs:
        if spec.folder is None and spec.name not in manager.all_tasks:
            raise UserError(f"evaluate.tasks: lm_eval has no task {spec.name}; `lm_eval ls tasks` lists them")
        if spec.folder is not None and not (root / spec.name).is_file():
            raise UserError(f"evaluate.tasks: {spec.name}: no such file")
    return specs, manager


def load(entries: Sequence[str]) -> dict[str, Any]:
    """The harness's task objects by name, groups taken apart; data is fetched or read.

    Raises:
        UserError: of `known`; or a task's data is not pinned, or it asks for generated text.
    """
    tasks: dict[str, Any] = {}
    specs, manager = known(entries)
    for spec in specs:
        with pinned_data(spec):
            try:
                tasks |= manager.load([spec.name])["tasks"]
            except UserError:
                raise
            except Exception as error:  # lm_eval and datasets raise whatever their readers raise
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                raise UserError(f"evaluate.tasks: {spec.name}: {reason}") from None
    for name, task in tasks.items():
        if task.OUTPUT_TYPE not in SCORED:
            raise UserError(f"evaluate.tasks: {name} asks for generated text; only log-likelihoods are scored here")
        task.set_config(key="num_fewshot", value=task.get_config("num_fewshot") or 0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return tasks


@contextmanager
def pinned_data(spec: Spec) -> Iterator[None]:
    """Have the harness read only data that lies beside the task's file, or is pinned."""
    import datasets

    read = datasets.load_dataset

    def load_dataset(path: str, name: str | None = None, **options: Any) -> Any:
        named = [*_files(options.get("data_files")), *_files(options.get("data_dir"))]
        local = path in READERS or Path(path).is_dir()
        pinned = re.fullmatch("[0-9a-f]{40}", str(options.get("revision")))
        if spec.revision:
            options["revision"] = spec.revision
        elif local or (named and not pinned):
            _require_inside(spec, [Path(one) for one in named or [path]])
        elif not pinned:
            raise UserError(
                f"evaluate.tasks: {spec.name}: its data set {path} is not pinned; write dataset_kwargs: {{revision: "
                "<commit of 40 hex digits>}} into the file, or give local data by data_files"
            )
        return read(path, name, **options)

    with mock.patch.object(datasets, "load_dataset", load_dataset):
        yield


def _files(named: Any) -> Iterator[str]:
    """All paths in `data_files`: a path, a list, or a mapping of splits to either."""
    if isinstance(named, str):
        yield named
    elif named:
        for nested in named.values() if isinstance(named, dict) else named:
            yield from _files(nested)


def _require_inside(spec: Spec, paths: Sequence[Path]) -> None:
    for path in paths:
        if spec.folder is None or not path.resolve().is_relative_to(spec.folder):
            raise UserError(
                f"evaluate.tasks: {spec.name}: its data {path} does not lie beside it; move it there, so that DVC and "
                "decontamination see it"
            )
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.suffix in UNREAD:
                raise UserError(
                    f"evaluate.tasks: {spec.name}: decontamination reads jsonl and txt alone, not its data {file}; "
                    "write that as jsonl"
                )
