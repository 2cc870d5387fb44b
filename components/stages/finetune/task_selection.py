"""Selection of the fine-tuning task that a corpus can feed, with examples from its own text.

Each branch has an ordered list of tasks, the most telling first and one that any text can feed last. A task looks at
the corpus and either gives examples or says why it cannot; `choose` takes the first that can, and keeps the reasons of
those before it for the report.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from components.core.errors import UserError
from components.finetuning_data.rows import Refused
from components.instruction_pairs import continuation, describe, heading
from components.instruction_pairs.examples import Draw, Examples, NotEnoughText
from components.params import Branch
from components.stages.finetune import passage_tasks


@dataclass(frozen=True)
class FinetuneTask:
    """A task: its name in params.yaml, a line for the report, the function that draws examples."""

    name: str
    title: str
    draw: Callable[[Draw], Examples[Any]] | None = None


TASKS: dict[str, tuple[FinetuneTask, ...]] = {
    "instruct": (
        FinetuneTask(
            "describe", "name and signature of a Python object -> first sentence of its docstring", describe.draw
        ),
        FinetuneTask("heading", "heading of a section -> its first sentence", heading.draw),
        FinetuneTask("continue", "beginning of a passage -> how it goes on", continuation.draw),
    ),
    "classify": (
        FinetuneTask("source", "a few words -> the source they are from", passage_tasks.from_sources),
        FinetuneTask("work", "passage -> the work it is from", passage_tasks.from_works),
        FinetuneTask("order", "passage -> whether its halves are in their true order", passage_tasks.in_order),
    ),
}


@dataclass(frozen=True)
class Choice:
    """The task taken, its examples, and those passed over: `{"task", "reason"}` each.

    `refused` are examples not used, `cut` counts those that lost tokens to the context. Of one's own `rows` (the file's
    name) `lengths` are tokens before that, `chats` are ids and which of them are learned, `cut_heldout` counts the cut
    ones that are held out, and `known_answers` the held-out ones whose answer is also a training answer. `branch`,
    `batch` (examples of a step) and `context` (most tokens of an example) are those of the training. `taught` of the
    training pairs are questions made of the curriculum.
    """

    task: FinetuneTask
    examples: Examples[Any]
    skipped: list[dict[str, str]] = field(default_factory=list)
    rows: str = ""
    refused: list[Refused] = field(default_factory=list)
    cut: int = 0
    lengths: list[int] = field(default_factory=list)
    chats: list[tuple[list[int], list[bool]]] = field(default_factory=list)
    cut_heldout: int = 0
    known_answers: int = 0
    branch: str = ""
    batch: int = 1
    context: int = 0
    taught: int = 0


def choose(branch: Branch, name: str, draw: Draw) -> Choice:
    """The task `name`, or with `auto` the first that the corpus can feed.

    Raises `UserError`: the named task, or every task, lacks text.
    """
    tasks = TASKS[branch]
    skipped: list[dict[str, str]] = []
    for task in tasks if name == "auto" else [task for task in tasks if task.name == name]:
        try:
            assert task.draw
            return Choice(task, _with_clusters(task.draw(draw)), skipped)
        except NotEnoughText as reason:
            skipped.append({"task": task.name, "reason": str(reason)})
    others = "set it to auto" if name != "auto" else "give the pipeline more text"
    assert skipped, f"no task {name}: components/params/finetune.py names one that is not here"
    raise UserError(f"finetune.{branch}.task = {name}: {skipped[-1]['reason']}; {others}")


def _with_clusters(examples: Examples[Any]) -> Examples[Any]:
    """The examples; held-out ones all of one work stand for themselves, as the note says."""
    if len({one.cluster for one in examples.heldout}) > 1:
        return examples
    heldout = [replace(row, cluster=f"{row.cluster}/{index}") for index, row in enumerate(examples.heldout)]
    note = "All held-out examples are of one work, so intervals speak of that work alone."
    return replace(examples, heldout=heldout, note=f"{examples.note} {note}".strip())
