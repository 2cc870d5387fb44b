"""The evaluate stage: questions asked of the models, each answered with an interval and a chance level.

    reports/metrics.json             few numbers, `question/metric`, bounds as `_low` and `_high`
    reports/plots/                   a picture and a CSV per curve
    reports/details/items.parquet    every item asked and its score: what two models are compared on
    reports/details/facts.json       highlights of the summary table, skipped questions and why, the held-out set's hash

Questions are independent, so they are asked in several processes; an answer depends on no other and is kept in `work`,
so that a killed stage asks only what it had not finished. The figures do not depend on the number of processes.
"""

import importlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.files import fingerprint, written_whole
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import pool
from components.corpus.corpus import read_manifest
from components.params import Evaluate, Numerics
from components.stages.evaluate.plots import draw
from components.stages.evaluate.registry import GROUPS, QUESTIONS, answer, answer_path, read_answer
from components.stages.evaluate.tasks.task import COLUMNS, Folders, Outcome

TICK_S = 0.5
"""Seconds between looks at what is finished."""
SCHEMA = pa.schema(
    [(name, pa.float64() if name in ("score", "weight") else pa.string()) for name in COLUMNS],
)


def evaluate(
    *,
    causal: Path,
    masked: Path,
    instruct: Path,
    classify: Path,
    mix: Path,
    heldout: Path,
    params: Evaluate,
    numerics: Numerics,
    reports: Path,
    work: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Ask every question and report.

    Args:
        causal, masked, instruct, classify: model folders.
        mix: the mix stage's folder (training text and canaries.json).
        heldout: the held-out corpus.
        params: how much to ask, and how intervals are made.
        numerics: device, and threads of each process.
        reports: empty folder for the report.
        work: folder that survives kills; finished answers are kept there.
        workers: processes that ask; changes no figure.
        progress: receives progress, and may ask to stop.

    Raises:
        UserError: a model or corpus is missing or damaged, or the folder of minimal pairs is.
    """
    progress = progress or Progress()
    folders = Folders(causal, masked, instruct, classify, mix, heldout)
    _ask_all(partial(answer, folders=folders, params=params, numerics=numerics, work=work), work, workers, progress)
    answers = {name: read_answer(work, name) for name in QUESTIONS}
    outcomes = [found for found in answers.values() if isinstance(found, Outcome)]
    _write_items(outcomes, reports / "details" / "items.parquet")
    for curve in (curve for outcome in outcomes for curve in outcome.curves):
        draw(curve, reports / "plots")
    report = _report(outcomes, {name: found for name, found in answers.items() if isinstance(found, str)}, heldout)
    report.write(reports)
    return report


# -- asking ------------------------------------------------------------------------------------------------------------


def _ask_all(ask: Callable[[tuple[str, ...]], None], work: Path, workers: int, progress: Progress) -> None:
    """Ask all groups in `workers` processes, reporting which questions are finished."""
    with pool(workers) as processes:
        asking = Background(lambda: list(processes.map(ask, GROUPS)))
        importlib.import_module("matplotlib.figure")  # needed next, and this process has nothing else to do
        while not asking.wait(TICK_S):
            _tell(work, progress)
            progress.raise_if_stopped()
        asking.result()
    _tell(work, progress)


def _tell(work: Path, progress: Progress) -> None:
    """Progress: how many questions are answered, and which comes next in the order of the report."""
    open_questions = [name for name in QUESTIONS if not answer_path(work, name).exists()]
    note = open_questions[0].replace("_", " ") if open_questions else ""
    progress.update(len(QUESTIONS) - len(open_questions), len(QUESTIONS), "questions", note)


class Background:
    """A function that runs in a thread of its own, while this one watches; it does not keep the process alive."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # raised again in the thread that watches
            self._error = error

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; whether the function has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> None:
        """Raise what the function raised."""
        if self._error is not None:
            raise self._error


# -- reporting ---------------------------------------------------------------------------------------------------------


def _write_items(outcomes: list[Outcome], path: Path) -> None:
    rows = [row for outcome in outcomes for row in outcome.items]
    with written_whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")


def _report(outcomes: list[Outcome], skipped: dict[str, str], heldout: Path) -> Report:
    highlights = [line for outcome in outcomes for line in outcome.highlights]
    facts = {
        "highlights": highlights,
        "skipped": skipped,
        "chance": {f"{line['question']}: {line['name']}": line["chance"] for line in highlights},
        "heldout_sha256": fingerprint([shard.sha256 for shard in read_manifest(heldout).shards]),
        "questions": {outcome.question: outcome.facts for outcome in outcomes},
    }
    metrics = {f"{one.question}/{name}": value for one in outcomes for name, value in one.metrics.items()}
    return Report(metrics, markdown(highlights, skipped), facts)


def markdown(highlights: list[dict[str, Any]], skipped: dict[str, str]) -> str:
    """The summary as a table, and what was not asked."""
    lines = ["# Evaluation", "", "| question | score | interval | chance | n | |", "|---|---:|---|---:|---:|---|"]
    for line in highlights:
        bounds = "" if line["low"] is None else f"[{line['low']:.3f}, {line['high']:.3f}]"
        chance = "" if line["chance"] is None else f"{line['chance']:.3g}"
        lines.append(f"| {line['name']} | {line['value']:.3f} | {bounds} | {chance} | {line['n']} | {line['note']} |")
    if skipped:
        lines += ["", "## Not asked", "", *(f"- {name.replace('_', ' ')}: {why}" for name, why in skipped.items())]
    return "\n".join(lines)
