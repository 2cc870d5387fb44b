"""The eval tasks, in the order of the report, and how they share processes.

A task is named here and nowhere else. Modules load torch only when a task runs, so the process that collects the
results does not.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from components.core.files import read_json, write_json
from components.params import Evaluate, Numerics
from components.stages.evaluate.tasks.answers import answers
from components.stages.evaluate.tasks.bits_per_byte import bits_per_byte
from components.stages.evaluate.tasks.calibration import calibration
from components.stages.evaluate.tasks.chain_of_thought import chain_of_thought
from components.stages.evaluate.tasks.few_shot import few_shot
from components.stages.evaluate.tasks.harness import harness
from components.stages.evaluate.tasks.masked import masked
from components.stages.evaluate.tasks.memorisation import memorisation
from components.stages.evaluate.tasks.minimal_pairs import minimal_pairs
from components.stages.evaluate.tasks.open_book import open_book
from components.stages.evaluate.tasks.pronoun_gap import pronoun_gap
from components.stages.evaluate.tasks.recall import recall
from components.stages.evaluate.tasks.sentence_pairs import sentence_pairs
from components.stages.evaluate.tasks.task import EvalContext, Folders, NotApplicable, TaskResult

TASKS: dict[str, Callable[[EvalContext], TaskResult]] = {
    "bits_per_byte": bits_per_byte,
    "masked": masked,
    "answers": answers,
    "minimal_pairs": minimal_pairs,
    "few_shot": few_shot,
    "chain_of_thought": chain_of_thought,
    "recall": recall,
    "open_book": open_book,
    "calibration": calibration,
    "memorisation": memorisation,
    "pronoun_gap": pronoun_gap,
    "sentence_pairs": sentence_pairs,
    "harness": harness,
}

GROUPS: tuple[dict[str, int], ...] = (
    {"bits_per_byte": 14, "calibration": 3},
    {"answers": 16},
    {"masked": 14, "sentence_pairs": 1},
    {"minimal_pairs": 6, "pronoun_gap": 1, "memorisation": 2},
    {"chain_of_thought": 5, "open_book": 1},
    {"recall": 1, "few_shot": 1},
    {"harness": 10},
)
"""Tasks that one process runs after each other, because they share a model or its scores; the longest first.

Task -> about how many CPU seconds it takes on the demo (AMD EPYC with AVX512): its share of the progress, no more.
"""


def wanted(params: Evaluate) -> list[str]:
    """The tasks of a run: `harness` only if it is given any."""
    return [name for name in TASKS if name != "harness" or params.tasks]


def run_group(group: Iterable[str], folders: Folders, params: Evaluate, numerics: Numerics, work: Path) -> None:
    """Run the tasks of a group that have no result in `work` yet, and write their results there."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(numerics.threads)
    try:
        context = EvalContext(folders, params, numerics)
        for name in (name for name in group if name in wanted(params)):
            if not result_path(work, name).exists():
                write_json(result_path(work, name), _run(name, context))
    finally:
        torch.set_num_threads(before)


def _run(name: str, context: EvalContext) -> dict:
    """One task's result as JSON, or the reason why it does not apply."""
    try:
        return {"outcome": TASKS[name](context).as_dict()}
    except NotApplicable as reason:
        return {"skipped": str(reason)}


def result_path(work: Path, name: str) -> Path:
    """The file of a task's result, which survives kills."""
    return work / "answers" / f"{name}.json"


def read_result(work: Path, name: str) -> TaskResult | str:
    """A task's result, or the reason why there is none."""
    raw = read_json(result_path(work, name))
    return raw["skipped"] if "skipped" in raw else TaskResult.from_dict(raw["outcome"])
