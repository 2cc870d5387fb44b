"""The examples of one call of `finetune`: drawn from a corpus, problems of its curriculum, or one's own rows.

Every row that is cut, or has nothing to learn, is counted; the report says how many and why,
details/refused.csv which.
"""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from components.finetuning_data.chat import encode
from components.finetuning_data.columns import in_words
from components.finetuning_data.coverage import notes, num_known
from components.finetuning_data.formats import is_corpus, read
from components.finetuning_data.rows import KINDS, Chat, Refused, raise_if_other_kind, refuse_empty
from components.finetuning_data.split import Split, classes_of, split
from components.instruction_pairs import taught as taught_questions
from components.instruction_pairs.examples import MOST_HELDOUT, Draw, Examples, Passage, ProblemType, PromptPair
from components.params import Finetune
from components.stages.finetune import instruct, preferences
from components.stages.finetune.task_selection import Branch, Choice, FinetuneTask, choose
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import Encoder

CHARS_PER_TOKEN = 4
"""A passage of `context` times this many characters fills the context, in most languages, and is cut there."""


def select(branch: Branch, train: Path, heldout: Path, params: Finetune, encoder: AnyEncoder, context: int) -> Choice:
    """The task of a branch and its examples.

    Args:
        context: tokens of an example at most: those of `params`, or of the base if that has fewer.

    Raises `UserError`: no task can be fed; or rows are for another branch, or too few.
    """
    if is_corpus(train) and branch != "prefer":
        return _drawn(branch, train, heldout, params, encoder, context)
    if is_corpus(train):
        choice = preferences.that_fit(preferences.curriculum_pairs(train, params), encoder, context)
    else:
        rows = read(train, params.columns)
        raise_if_other_kind(branch, train, rows.kind)
        choice = choice_of(split(rows, heldout, params.max_pairs, params.seed), encoder, context)
    refuse_empty(train, choice.examples.train and choice.examples.heldout, choice.refused)
    return choice


def _drawn(branch: Branch, train: Path, heldout: Path, params: Finetune, encoder: AnyEncoder, context: int) -> Choice:
    """The first task that a corpus can feed, with how many examples have more tokens than the context."""
    draw = Draw(train, heldout, params.max_pairs, MOST_HELDOUT, CHARS_PER_TOKEN * context, params.seed)
    choice = choose(branch, params.task, draw)
    examples = choice.examples
    if branch == "instruct" and isinstance(encoder, Encoder):
        taught = taught_questions.mixed_in(len(examples.train), params.seed)
        examples = replace(examples, train=[*examples.train, *taught])
        choice = replace(choice, examples=examples, taught=len(taught))
    uncut = instruct.Format(encoder, sys.maxsize, chat=True)
    lengths = [
        sum(map(len, uncut(one))) if isinstance(one, PromptPair) else len(encoder.passage(one.text, context + 1))
        for one in (*examples.train, *examples.heldout)
    ]
    return replace(choice, cut=sum(length > context for length in lengths))


# -- one's own rows ----------------------------------------------------------------------------------------------------


def choice_of(rows: Split, encoder: AnyEncoder, context: int) -> Choice:
    """Examples of the branch that rows are for, with what the context leaves of them."""
    source = rows.source
    joined = in_words({role: column for role, column in source.columns.items() if "+" in column})
    more = f" ({joined}, with a blank line between)" if joined else ""
    task = FinetuneTask("rows", f"rows of {source.path.name} -> {KINDS[source.kind].learned}{more}")
    lines = ["Similar rows are all on one side of the split.", *(f"{one[0].upper()}{one[1:]}." for one in notes(rows))]
    examples = Examples[Any](rows.train, rows.heldout, note=" ".join(lines))
    choice = Choice(task, examples, rows=source.path.name, refused=list(rows.refused))
    if source.kind == "chat":
        return _chats(choice, encoder, context)
    if source.kind == "preference":
        choice = preferences.that_fit(choice, encoder, context)
        return replace(choice, known_answers=num_known(choice.examples.train, choice.examples.heldout))
    return _passages(choice, source.kind == "labels", encoder, context)


def _chats(choice: Choice, encoder: AnyEncoder, context: int) -> Choice:
    rows, lengths, cut = choice.examples, list[int](), 0
    chats, learnable = [], list[Chat]()
    for row in rows.train:
        ids, learned = encode(row.messages, encoder)
        lengths.append(len(ids))
        if any(learned[1 : context + 1]):
            chats.append((ids[: context + 1], learned[: context + 1]))
            learnable.append(row)
            cut += len(ids) > context + 1
        else:
            detail = f"the first answer begins after token {learned.index(True)}, the context has {context}"
            choice.refused.append(Refused(row.where, "nothing to learn", detail))
    tested = [last_pair(row) for row in rows.heldout]
    scored = [len(encode(pair.messages, encoder)[0]) for pair in tested]
    cut_heldout = sum(length > context + 1 for length in scored)
    return replace(
        choice,
        examples=replace(rows, train=[last_pair(row) for row in learnable], heldout=tested),
        lengths=lengths + scored,
        cut=cut + cut_heldout,
        chats=chats,
        cut_heldout=cut_heldout,
        known_answers=num_known(learnable, rows.heldout),
    )


def last_pair(row: Chat) -> PromptPair:
    """The last question of a chat whose answer is learned, that answer, and what stands before."""
    turns = enumerate(pairwise(row.messages))
    last = max(number for number, (question, answer) in turns
               if (question.role, answer.role, answer.learned) == ("user", "assistant", True))  # fmt: skip
    question, answer = row.messages[last : last + 2]
    return PromptPair(question.content, answer.content, row.cluster, row.messages[:last], where=row.where)


def _passages(choice: Choice, several: bool, encoder: AnyEncoder, context: int) -> Choice:
    """Texts with the index of their class, or of `several`."""
    rows = choice.examples
    labels = sorted({name for row in rows.train for name in classes_of(row)})
    index = {label: number for number, label in enumerate(labels)}

    def passage(row: Any) -> Passage:
        numbers = tuple(index[name] for name in classes_of(row))
        return Passage(row.text, numbers if several else numbers[0], row.cluster, where=row.where)

    train, tested = [passage(row) for row in rows.train], [passage(row) for row in rows.heldout]
    lengths = [len(encoder.passage(row.text, sys.maxsize)) for row in (*train, *tested)]
    problem: ProblemType = "multi_label_classification" if several else "single_label_classification"
    examples = replace(rows, train=train, heldout=tested, labels=labels, problem=problem)
    return replace(choice, examples=examples, lengths=lengths, cut=sum(length > context for length in lengths))
