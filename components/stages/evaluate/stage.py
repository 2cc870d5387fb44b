"""The evaluate stage: tasks that score the models, each held against rules that count, on the same items.

    reports/metrics.json             few numbers, `task/metric`, bounds as `_low` and `_high`
    reports/scores.json              those that `dvc metrics show` and `dvc exp show` have
    reports/plots/                   a picture per curve; its points are details/curves/<name>.csv
    reports/details/items.parquet    every item and its score: what two models are compared on
    reports/details/facts.json       scores of the summary table (components/scores.py), skipped tasks and why,
                                     hashes of the held-out set and of the models' weights

Tasks are independent, so they run in several processes; each result is kept in `work`, so that a
killed stage runs only the tasks it had not finished. Scores do not depend on the number of
processes.
"""

import hashlib
import importlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from components.core.files import fingerprint
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import pool
from components.corpus.corpus import read_manifest
from components.params import Evaluate, Numerics
from components.reporting.figures import COLOURS, GREY, WIDTH, figure, intervals, legend, save
from components.reporting.tables import Page, write_table
from components.scored_items import write_items
from components.scores import Score
from components.stages.evaluate.registry import GROUPS, read_result, result_path, run_group, wanted
from components.stages.evaluate.tasks.harness import load
from components.stages.evaluate.tasks.task import Curve, Folders, TaskResult, Tuned
from components.verdicts import verdict_text, verdicts

TICK_S = 0.5
"""Seconds between two progress updates."""
MOST_OF_TASK = 0.9
"""Share of a task's time that counts while it is at work."""


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
        further: branch -> the model that was tuned further, and its base; of those branches that
            there are.
        mix: the mix stage's folder (training text and canaries.json).
        heldout: the held-out corpus.
        tokens: the tokenize stage's folder, from which the text that the causal model saw is read
            again.
        params: size of the tasks, and how intervals are made.
        numerics: device, and threads of each process.
        reports: empty folder for the report.
        work: folder that survives kills; finished results are kept there.
        workers: processes that run tasks; they change no score.
        progress: receives progress, and may ask to stop.

    Raises:
        UserError: a model or corpus is missing or damaged, the folder of minimal pairs is, or a
            task of the harness.
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
        draw_curve(curve, reports)
    report = _report(results, skipped, heldout)
    models = [causal, masked, instruct, classify, *(one.folder for one in folders.further.values())]
    report.facts["models"] = weights(models)
    report.write(reports)
    return report


# -- running -----------------------------------------------------------------------------------------------------------


def _run_all(
    run: Callable[[Iterable[str]], None], names: list[str], work: Path, workers: int, progress: Progress
) -> None:
    """Run all groups in `workers` processes; this thread reports which tasks are finished."""
    with pool(workers) as processes, ThreadPool(1) as thread:
        running = thread.apply_async(lambda: list(processes.map(run, GROUPS)))
        importlib.import_module("matplotlib.figure")  # needed next, and this thread has nothing else to do
        began = dict[str, float]()
        while not running.ready():
            running.wait(TICK_S)
            report_progress(names, work, workers, progress, began)
            progress.raise_if_stopped()
        running.get()


def report_progress(names: list[str], work: Path, workers: int, progress: Progress, began: dict[str, float]) -> None:
    """Report how many tasks are finished, which run, and how far that is by what tasks took on the demo.

    Args:
        began: when each task was first seen at work; filled. One that is at work counts by its
            time, at most for most.
    """
    left = {name for name in names if not result_path(work, name).exists()}
    groups = [unfinished for group in GROUPS if (unfinished := [name for name in group if name in left])]
    note = " and ".join(group[0].replace("_", " ") for group in groups[:workers])
    seconds = {name: duration for group in GROUPS for name, duration in group.items() if name in names}
    done, now = float(sum(duration for name, duration in seconds.items() if name not in left)), time.monotonic()
    for name in (group[0] for group in groups[:workers]):
        done += min(now - began.setdefault(name, now), MOST_OF_TASK * seconds[name])
    progress.update(
        round(100 * done / sum(seconds.values())), 100, "%", f"{len(names) - len(left)} of {len(names)} tasks; {note}"
    )


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
    md5s = {}
    for folder in models:
        with open(folder / "model.safetensors", "rb") as file:
            md5s[f"{folder.parent.name}/{folder.name}"] = hashlib.file_digest(file, "md5").hexdigest()
    return md5s


def markdown(scores: list[Score], skipped: dict[str, str]) -> str:
    """The summary as a table, and the tasks that did not apply."""
    judged, page = verdicts(scores), Page("Evaluation", None)
    columns = "name value value_low value_high verdict baseline baseline_name ceiling ceiling_name"
    columns += " gain gain_low gain_high variance n note"
    page.show(
        columns,
        [
            vars(score)
            | {"name": score.title, "value_low": score.low, "value_high": score.high}
            | {"verdict": verdict_text(score, judged)}
            for score in scores
        ],
        "Better than counting is a score that is better than every rule posed on the same items, over works and "
        "training seeds (spread measured on the demo), with Holm's correction for the rows of this table. Scores with "
        "a ceiling are of an ability that some rule has: learned is what is surely above the best rule that is blind "
        "to what is asked. The column `variance` says what an interval covers.",
    )
    if skipped:
        page.add("## Tasks that did not apply")
        page.add("\n".join(f"- {name.replace('_', ' ')}: {why}" for name, why in skipped.items()))
    return page.markdown


COLUMNS = ("series", "x", "y", "low", "high", "n")


def draw_curve(curve: Curve, reports: Path) -> None:
    """Write `plots/<name>.png` and `details/curves/<name>.csv`."""
    rows = ([point[name] for name in COLUMNS] for point in curve.points)
    write_table(reports / "details" / "curves" / f"{curve.name}.csv", COLUMNS, rows)
    drawing, [axes] = figure(WIDTH, 0.19 * len(curve.points) + 0.9 if curve.kind == "bar" else 3.0)
    {"line": _lines, "diagonal": _lines, "bar": _categories}[curve.kind](curve, axes)
    save(drawing, reports / "plots" / f"{curve.name}.png", caption_of(curve))


def caption_of(curve: Curve) -> str:
    """A sentence on what the picture shows."""
    against = f" against {curve.x_label}" if curve.x_label else ""
    bounded = all(point["low"] is not None for point in curve.points)
    marks = {
        "lines are 95% intervals" if curve.kind == "bar" else "bands are 95% intervals": bounded,
        f"the dashed line is {curve.line}": curve.chance is not None,
        "the dashed line is perfect calibration": curve.kind == "diagonal",
    }
    shown = " and ".join(words for words, occurs in marks.items() if occurs)
    return f"{curve.title}: {curve.y_label}{against}{'; ' if shown else ''}{shown}."


def _lines(curve: Curve, axes: Any) -> None:
    """One line with its band per series."""
    names, band = list(dict.fromkeys(point["series"] for point in curve.points)), None
    for number, name in enumerate(names):
        points = [point for point in curve.points if point["series"] == name]
        x, y = ([point[key] for point in points] for key in ("x", "y"))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, marker="o", markersize=3.5, color=colour, label=name)
        if all(point["low"] is not None for point in points):
            low, high = ([point[key] for point in points] for key in ("low", "high"))
            band = axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    if band:
        band.set_label("band: 95% interval")  # for who opens the picture, which shows no caption
    if curve.chance is not None:
        axes.axhline(curve.chance, color=GREY, linestyle="--", linewidth=1, label="baseline")
    if curve.kind == "diagonal":
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    if all(isinstance(point["x"], int) for point in curve.points):  # numbers of digits, examples: none lies between
        axes.xaxis.get_major_locator().set_params(integer=True)
    if curve.log2_x:
        from matplotlib.ticker import ScalarFormatter

        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel(curve.x_label)
    axes.set_ylabel(curve.y_label)
    legend(axes)


def _categories(curve: Curve, axes: Any) -> None:
    """A point with its interval per category."""
    rows = [
        [point["y"] if point[key] is None else point[key] for key in ("y", "low", "high")] for point in curve.points
    ]
    names = [f"{point['x']}, {point['series']}" if point["series"] else str(point["x"]) for point in curve.points]
    intervals(axes, names, rows)
    axes.set_xlabel(curve.y_label)
    if curve.chance is not None:
        axes.axvline(curve.chance, color=GREY, linestyle="--", linewidth=1)
