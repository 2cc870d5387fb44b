"""Examples from the curriculum instead of the corpus: problems of the tasks that it holds, with their right answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.corpus.corpus import read_manifest
from components.instruction_pairs.examples import Examples
from components.params import Finetune
from components.stages.finetune.task_selection import Branch, Choice, FinetuneTask
from components.synthetic import curriculum

MOST_HELDOUT = 240


def draw(
    branch: Branch, path: Path, params: Finetune, tasks: Sequence[str], title: str,
    example: Callable[[curriculum.Problem, str], Any],
) -> Choice:  # fmt: skip
    """Examples of those of `tasks` that the corpus in `path` holds a curriculum of; no held-out problem is trained on.

    Args:
        example: makes one of a problem and the name it goes by.

    Raises:
        UserError: it holds none.
    """
    held = [task for task in tasks if f"curriculum/{task}" in read_manifest(path).sources]
    if not held:
        raise UserError(f"finetune.{branch}.data = {path}: the corpus holds no curriculum ({', '.join(tasks)}) to draw "
                        "from; raise mix.curriculum.share, or give a file of rows (docs/finetune.md)")  # fmt: skip

    def examples(part: curriculum.Split, most: int) -> Any:
        made = [curriculum.items(task, params.seed, most // len(held), split=part) for task in held]
        problems = [problem for row in zip(*made, strict=True) for problem in row]
        return [example(problem, f"curriculum/{problem.task} {number}") for number, problem in enumerate(problems)]

    found = Examples(examples("train", params.max_pairs), examples("test", MOST_HELDOUT))
    return Choice(FinetuneTask("curriculum", f"problem of the curriculum ({', '.join(held)}) -> {title}"), found, [])
