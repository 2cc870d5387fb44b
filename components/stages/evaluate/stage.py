"""The evaluate stage: tasks that score the models, each held against rules that count, on the same items.

    reports/metrics.json             few numbers, `task/metric`, bounds as `_low` and `_high`
    reports/scores.json              those that `dvc metrics show` and `dvc exp show` have
    reports/plots/                   a picture per curve; its points are details/curves/<name>.csv
    reports/details/items.parquet    every item and its score: what two models are compared on
    reports/details/facts.json       scores of the summary table (components/scores.py), skipped tasks and why,
                                     hashes of the held-out set and of the models' weights

Tasks are independent, so they run in several processes; each result is kept in `work`, so that a killed stage runs only
the tasks it had not finished. Scores do not depend on the number of processes.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

from components.core.files import fingerprint
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import pool
from components.corpus.corpus import read_manifest
from components.params import Evaluate, Numerics
from components.reporting.tables import Page
from components.scored_items import write_items
from components.scores import Score
from components.stages.evaluate.plots import draw
from components.stages.evaluate.registry import GROUPS, read_result, result_path, run_group, wanted
from components.stages.evaluate.tasks.harness import load
from components.stages.evaluate.tasks.task import Folders, TaskResult, Tuned
from components.verdicts import verdict_text, verdicts

TICK_S = 0.5
"""Seconds between two progress updates."""


def evaluate(
    *,
    causal: Path,
    masked: Path,
    instruct: Path,
    classify: Path,
    mix: Path,
    heldout: Path,
    tokens: Path,
    further: Mapping[str, Tuned] | None = None,
    params: Evaluate,
    numerics: Numerics,
    reports: Path,
    work: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Run every task and report.

    Args:
        causal, masked, instruct, classify: model folders.
        further: branch -> the model that was tuned further, and its base; of those branches that there are.
        mix: the mix stage's folder (training text and canaries.json).
        heldout: the held-out corpus.
        tokens: the tokenize stage's folder, from which the text that the causal model saw is read again.
        params: size of the tasks, and how intervals are made.
        numerics: device, and threads of each process.
        reports: empty folder for the report.
        work: folder that survives kills; finished results are kept there.
        workers: processes that run tasks; they change no score.
        progress: receives progress, and may ask to stop.

    Raises:
        UserError: a model or corpus is missing or damaged, the folder of minimal pairs is, or a task of the harness.
    """
    progress = progress or Progress()
    folders = Folders(causal, masked, instruct, classify, mix, heldout, tokens, further or {})
    names = wanted(params)
    if params.tasks:
        load(params.tasks)  # what cannot be asked is said before anything is
    run = partial(run_group, folders=folders, params=params, numerics=numerics, work=work)
    _run_all(run, names, work, workers, progress)
    all_results = {name: read_result(work, name) for name in names}
    results = [result for result in all_results.values() if isinstance(result, TaskResult)]
    skipped = {name: reason for name, reason in all_results.items() if isinstance(reason, str)}
    write_items((row for result in results for row in result.items), reports / "details" / "items.parquet")
    for curve in (curve for result in results for curve in result.curves):
        draw(curve, reports)
    report = _report(results, skipped, heldout)
    models = [causal, masked, instruct, classify, *(one.folder for one in folders.further.values())]
    report.facts["models"] = weights(models)
    report.write(reports)
    return report


# -- running -----------------------------------------------------------------------------------------------------------


def _run_all(
    run: Callable[[tuple[str, ...]], None], names: list[str], work: Path, workers: int, progress: Progress
) -> None:
    """Run all groups in `workers` processes; this thread reports which tasks are finished."""
    with pool(workers) as processes, ThreadPool(1) as thread:
        running = thread.apply_async(lambda: list(processes.map(run, GROUPS)))
        importlib.import_module("matplotlib.figure")  # needed next, and this thread has nothing else to do
        while not running.ready():
            running.wait(TICK_S)
            _update(names, work, progress)
            progress.raise_if_stopped()
        running.get()


def _update(names: list[str], work: Path, progress: Progress) -> None:
    """Report how many tasks are finished, and which comes next in the order of the report."""
    unfinished = [name for name in names if not result_path(work, name).exists()]
    note = unfinished[0].replace("_", " ") if unfinished else ""
    progress.update(len(names) - len(unfinished), len(names), "tasks", note)


# -- reporting ---------------------------------------------------------------------------------------------------------


def _report(results: list[TaskResult], skipped: dict[str, str], heldout: Path) -> Report:
    scores = [score for result in results for score in result.scores]
    facts = {
        "scores": [score.as_json() for score in scores],
        "skipped": skipped,
        "heldout_sha256": fingerprint([shard.sha256 for shard in read_manifest(heldout).shards]),
        "questions": {result.task: result.facts for result in results},
    }
    metrics = {f"{result.task}/{name}": value for result in results for name, value in result.metrics.items()}
    return Report(metrics, markdown(scores, skipped), facts)


def weights(models: Iterable[Path]) -> dict[str, str]:
    """Model (`pretrain/causal`) -> MD5 of its weights: which models these scores are of."""
    found = {}
    for folder in models:
        with open(folder / "model.safetensors", "rb") as file:
            found[f"{folder.parent.name}/{folder.name}"] = hashlib.file_digest(file, "md5").hexdigest()
    return found


def markdown(scores: list[Score], skipped: dict[str, str]) -> str:
    """The summary as a table, and the tasks that did not apply."""
    said, page = verdicts(scores), Page("Evaluation", None)
    columns = "name value value_low value_high verdict baseline baseline_name ceiling ceiling_name"
    columns += " gain gain_low gain_high variance n note"
    page.show(
        columns,
        [
            vars(score)
            | {"name": score.title, "value_low": score.low, "value_high": score.high}
            | {"verdict": verdict_text(score, said)}
            for score in scores
        ],
        "Better than counting is a score that is better than every rule posed on the same items, over works and "
        "training seeds (spread measured on the demo), with Holm's correction for the rows of this table. Scores with "
        "a ceiling are of an ability that some rule has: learned is what is surely above the best rule that is blind "
        "to what is asked. The column `variance` says what an interval covers.",
    )
    if skipped:
        page.say("## Tasks that did not apply")
        page.say("\n".join(f"- {name.replace('_', ' ')}: {why}" for name, why in skipped.items()))
    return page.markdown
