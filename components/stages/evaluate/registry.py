"""The questions, in the order of the report, and how they share processes.

A question is named here and nowhere else. Modules load torch only when they are asked, so the process that collects the
answers does not.
"""

from collections.abc import Callable
from pathlib import Path

from components.core.files import read_json, write_json
from components.params import Evaluate, Numerics
from components.stages.evaluate.tasks.answers import answers
from components.stages.evaluate.tasks.bias_mitigation import bias_mitigation
from components.stages.evaluate.tasks.bits_per_byte import bits_per_byte
from components.stages.evaluate.tasks.calibration import calibration
from components.stages.evaluate.tasks.chain_of_thought import chain_of_thought
from components.stages.evaluate.tasks.context_extension import context_extension
from components.stages.evaluate.tasks.few_shot import few_shot
from components.stages.evaluate.tasks.masked import masked
from components.stages.evaluate.tasks.memorisation import memorisation
from components.stages.evaluate.tasks.minimal_pairs import minimal_pairs
from components.stages.evaluate.tasks.open_book import open_book
from components.stages.evaluate.tasks.pronoun_gap import pronoun_gap
from components.stages.evaluate.tasks.recall import recall
from components.stages.evaluate.tasks.task import Exam, Folders, Outcome, Skip

QUESTIONS: dict[str, Callable[[Exam], Outcome]] = {
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
    "bias_mitigation": bias_mitigation,
    "context_extension": context_extension,
}

GROUPS: tuple[tuple[str, ...], ...] = (
    ("bias_mitigation",),
    ("bits_per_byte", "calibration", "context_extension"),
    ("minimal_pairs", "pronoun_gap", "memorisation"),
    ("recall", "few_shot"),
    ("chain_of_thought", "open_book"),
    ("masked",),
    ("answers",),
)
"""What one process is handed at a time: questions that share a model or its scores; the longest first."""


def answer(group: tuple[str, ...], folders: Folders, params: Evaluate, numerics: Numerics, work: Path) -> None:
    """Ask the questions of a group and leave each answer in `work`; what is there already is not asked again."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(numerics.threads)
    try:
        exam = Exam(folders, params, numerics)
        for name in group:
            if not answer_path(work, name).exists():
                write_json(answer_path(work, name), _ask(name, exam))
    finally:
        torch.set_num_threads(before)


def _ask(name: str, exam: Exam) -> dict:
    """One answer as JSON: the outcome, or why it cannot be asked."""
    try:
        return {"outcome": QUESTIONS[name](exam).as_dict()}
    except Skip as reason:
        return {"skipped": str(reason)}


def answer_path(work: Path, name: str) -> Path:
    """Where an answer is kept between kills."""
    return work / "answers" / f"{name}.json"


def read_answer(work: Path, name: str) -> Outcome | str:
    """An answer, or the reason why there is none."""
    raw = read_json(answer_path(work, name))
    return raw["skipped"] if "skipped" in raw else Outcome.from_dict(raw["outcome"])
