"""The examples of one call of `finetune`: drawn from a corpus or its curriculum, or read from rows of one's own."""

import sys
from dataclasses import replace
from pathlib import Path

from components.finetuning_data.formats import is_corpus
from components.finetuning_data.rows import refuse_empty
from components.instruction_pairs import taught as taught_questions
from components.instruction_pairs.examples import MOST_HELDOUT, Draw, Examples, PromptPair
from components.params import Finetune
from components.stages.finetune import instruct, preferences
from components.stages.finetune.own_rows import choose_rows
from components.stages.finetune.task_selection import Branch, Choice, choose
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import Encoder

CHARS_PER_TOKEN = 4
"""A passage of `context` times this many characters fills the context, in most languages, and is cut there."""


def select(branch: Branch, train: Path, heldout: Path, params: Finetune, encoder: AnyEncoder, context: int) -> Choice:
    """The task of a branch and its examples.

    Args:
        context: tokens of an example at most: those of `params`, or of the base if that has fewer.

    Raises:
        UserError: no task can be fed.
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
    return replace(choice, cut=_cut(choice.examples, encoder, context))


def _cut(examples: Examples, encoder: AnyEncoder, context: int) -> int:
    """How many pairs or passages have more tokens than `context`."""
    whole = instruct.Format(encoder, sys.maxsize, chat=True)
    count = 0
    for one in (*examples.train, *examples.heldout):
        if isinstance(one, PromptPair):
            count += sum(map(len, whole(one))) > context
        else:
            count += len(encoder.passage(one.text, context + 1)) > context
    return count
