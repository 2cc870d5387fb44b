"""Examples from one's own rows instead of the corpus: chats, texts with labels, preferences.

Every row that is cut, or has nothing to learn, is counted; the report says how many and why, details/refused.csv which.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.finetuning_data.chat import encode
from components.finetuning_data.columns import said
from components.finetuning_data.coverage import num_known
from components.finetuning_data.formats import read
from components.finetuning_data.rows import Chat, Kind, Message, Refused, raise_if_other_kind, refuse_empty
from components.finetuning_data.split import Split, classes_of, doubts, split
from components.instruction_pairs.examples import Examples, Passage, ProblemType, PromptPair
from components.params import Finetune
from components.stages.finetune import preferences
from components.stages.finetune.task_selection import Branch, Choice, FinetuneTask
from components.tokens.hub_encoder import AnyEncoder

PROBLEMS: dict[Kind, ProblemType] = {
    "label": "single_label_classification", "labels": "multi_label_classification",
}  # fmt: skip
TITLES = {
    "instruct": "the last answer of a chat", "label": "the label of a text", "labels": "the labels of a text",
    "prefer": "the better of two answers",
}  # fmt: skip


def choose_rows(branch: Branch, path: Path, heldout: Path, encoder: AnyEncoder, params: Finetune) -> Choice:
    """Read, split and encode rows.

    Raises `UserError`: they are for another branch, or too few are left.
    """
    examples = read(path, params.columns)
    raise_if_other_kind(branch, path, examples.kind)
    rows = split(examples, path, heldout, params.max_pairs, params.seed)
    choice = choice_of(branch, path, examples.kind, rows, encoder, params.context)
    refuse_empty(path, choice.examples.train and choice.examples.heldout, choice.refused)
    joined = said({role: column for role, column in examples.columns.items() if "+" in column})
    more = f" ({joined}, with a blank line between)" if joined else ""
    return replace(choice, task=replace(choice.task, title=choice.task.title + more))


def choice_of(branch: Branch, path: Path, kind: Kind, rows: Split, encoder: AnyEncoder, context: int) -> Choice:
    """Examples of a branch from divided rows, with what the context leaves of them."""
    task = FinetuneTask("rows", f"rows of {path.name} -> {TITLES[kind if branch == 'classify' else branch]}")
    if branch == "instruct":
        return _chats(task, path, rows, encoder, context)
    if branch == "prefer":
        heldout: Any = zip(rows.heldout, rows.clusters, strict=True)
        tested = [replace(row, cluster=cluster) for row, cluster in heldout]
        choice = Choice(task, Examples(rows.train, tested, [], _note(rows)), [], path.name, list(rows.refused))
        fitting = preferences.that_fit(choice, encoder, context)
        return replace(fitting, known_answers=num_known(fitting.examples.train, fitting.examples.heldout))
    return _labelled(task, path, PROBLEMS[kind], rows, encoder, context)


def _chats(task: FinetuneTask, path: Path, rows: Split, encoder: AnyEncoder, context: int) -> Choice:
    chats, refused, cut = [], list(rows.refused), 0
    fitting: list[Chat] = []
    for row in rows.train:
        assert isinstance(row, Chat)
        ids, learned = encode(row.messages, encoder)
        if not any(learned[1 : context + 1]):
            where = f"the first answer begins after token {learned.index(True)}, the context has {context}"
            refused.append(Refused(row.where, "nothing to learn", where))
            continue
        cut += len(ids) > context + 1
        chats.append((ids[: context + 1], learned[: context + 1]))
        fitting.append(row)
    tested = [last_pair(row, cluster) for row, cluster in zip(rows.heldout, rows.clusters, strict=True)]
    scored = [[*(Message(*turn) for turn in pair.history), Message("user", pair.prompt),
               Message("assistant", pair.answer)] for pair in tested]  # fmt: skip
    cut_heldout = sum(len(encode(messages, encoder)[0]) > context + 1 for messages in scored)
    examples = Examples([last_pair(row, row.where) for row in fitting], tested, [], _note(rows))
    known = num_known(fitting, rows.heldout)
    return Choice(task, examples, [], path.name, refused, cut + cut_heldout, chats, cut_heldout, known)


def last_pair(row: Any, cluster: str) -> PromptPair:
    """The last question of a chat whose answer is learned, that answer, and what stands before."""
    messages = row.messages
    turns = range(1, len(messages))
    roles = [(messages[turn - 1].role, messages[turn].role) for turn in turns]
    last = max(turn for turn, pair in zip(turns, roles, strict=True)
               if pair == ("user", "assistant") and messages[turn].learned)  # fmt: skip
    history = tuple((message.role, message.content) for message in messages[: last - 1])
    return PromptPair(messages[last - 1].content, messages[last].content, cluster, history, where=row.where)


def _labelled(
    task: FinetuneTask, path: Path, problem: ProblemType, rows: Split, encoder: AnyEncoder, context: int
) -> Choice:
    labels = sorted({name for row in rows.train for name in classes_of(row)})
    number = {label: index for index, label in enumerate(labels)}

    def label(row: Any) -> Any:
        numbers = tuple(number[name] for name in classes_of(row))
        return numbers if problem == "multi_label_classification" else numbers[0]

    def passages(some: Sequence[Any], clusters: Sequence[str]) -> list[Passage]:
        return [Passage(row.text, label(row), at, where=row.where) for row, at in zip(some, clusters, strict=True)]

    alone = [row.where for row in rows.train]
    train, tested = passages(rows.train, rows.train_clusters or alone), passages(rows.heldout, rows.clusters)
    cut = sum(len(encoder.passage(row.text, context + 1)) > context for row in (*train, *tested))
    return Choice(task, Examples(train, tested, labels, _note(rows), problem), [], path.name, list(rows.refused), cut)


def _note(rows: Split) -> str:
    beyond = f" {rows.beyond} more rows are left out, by max_pairs." if rows.beyond else ""
    learned, tested = ({name for row in some for name in classes_of(row)} for some in (rows.train, rows.heldout))
    names = ", ".join(map(repr, sorted(learned - tested)[:5])) + (", ..." if len(learned - tested) > 5 else "")
    untested = f" No held-out row is of the classes {names}: no score here is about them." if learned - tested else ""
    warnings = "".join(f" {line[0].upper()}{line[1:]}." for line in doubts(learned))
    given = f" {rows.given[0].upper()}{rows.given[1:]}." if rows.given else ""
    return f"Similar rows are all on one side of the split.{given}{beyond}{untested}{warnings}"
