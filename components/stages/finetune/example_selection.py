"""The examples of one call of `finetune`: of a corpus, its curriculum or one's own rows; settings of its training."""

import math
import sys
from dataclasses import replace
from pathlib import Path

from components.core.progress import Progress
from components.finetuning_data.formats import is_corpus
from components.finetuning_data.rows import refuse_empty
from components.instruction_pairs import taught as taught_questions
from components.instruction_pairs.examples import MOST_HELDOUT, Draw, Examples, PromptPair
from components.params import Finetune, Optimizer
from components.stages.finetune import instruct, preferences
from components.stages.finetune.own_rows import choose_rows
from components.stages.finetune.task_selection import Branch, Choice, choose
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import Encoder
from components.training.train_config import TrainConfig

CHARS_PER_TOKEN = 4
"""A passage of `context` times this many characters fills the context, in most languages, and is cut there."""


def select(branch: Branch, train: Path, heldout: Path, params: Finetune, encoder: AnyEncoder, context: int) -> Choice:
    """The task of a branch and its examples.

    Args:
        context: tokens of an example at most: those of `params`, or of the base if that has fewer.

    Raises `UserError`: no task can be fed.
    """
    if not is_corpus(train):
        return choose_rows(branch, train, heldout, encoder, params.model_copy(update={"context": context}))
    if branch == "prefer":
        choice = preferences.that_fit(preferences.curriculum_pairs(train, params), encoder, context)
        refuse_empty(train, choice.examples.train and choice.examples.heldout, choice.refused)
        return choice
    draw = Draw(train, heldout, params.max_pairs, MOST_HELDOUT, CHARS_PER_TOKEN * context, params.seed)
    choice = choose(branch, params.task, draw)
    if branch == "instruct" and isinstance(encoder, Encoder):
        examples = choice.examples
        taught = taught_questions.beside(len(examples.train), params.seed)
        choice = replace(choice, examples=replace(examples, train=[*examples.train, *taught]), taught=len(taught))
    return replace(choice, cut=_num_cut(choice.examples, encoder, context))


def _num_cut(examples: Examples, encoder: AnyEncoder, context: int) -> int:
    """How many pairs or passages have more tokens than `context`."""
    uncut = instruct.Format(encoder, sys.maxsize, chat=True)
    count = 0
    for example in (*examples.train, *examples.heldout):
        if isinstance(example, PromptPair):
            count += sum(map(len, uncut(example))) > context
        else:
            count += len(encoder.passage(example.text, context + 1)) > context
    return count


EVALUATIONS = 3
"""Points of the held-out learning curve."""


def settings_of(params: Finetune, steps: int, name: str, checkpoint_every: int = 0) -> TrainConfig:
    """Settings of a training of `steps`; `name` is the section in params.yaml, for messages."""
    # Every value that counts, though some are the schema's defaults: no stage depends on a default of the schema.
    rates = Optimizer(
        name="adamw", matrix_lr=params.learning_rate, embedding_lr=params.learning_rate, beta1=0.9, weight_decay=0.01,
        grad_clip=1.0, schedule="linear", warmup=0.1,
    )  # fmt: skip
    return TrainConfig(
        steps=steps,
        optimizer=rates,
        checkpoint_every=checkpoint_every or params.checkpoint_every,
        eval_every=max(1, -(-steps // EVALUATIONS)),
        # A row of a rare class, a score far out, an unusual answer: a high loss is what is to be learned, and its
        # gradient is clipped.
        spike_nats=math.inf,
        name=name,
        smaller=f"set finetune.{name.removeprefix('finetune.')}.batch lower, then context, or lora_rank above 0",
        remedy="lower its learning_rate, raise its batch, or take another base if it happens at the first step",
    )


class Part(Progress):
    """Progress of a training beside the stage's own: without its metrics, with a name, and it stops with the stage."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.name = progress, name
        self.raise_if_stopped = progress.raise_if_stopped  # type: ignore[method-assign]

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        self.progress.update(done, total, unit, f"{self.name}: {note}")
