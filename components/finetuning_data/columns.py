"""Columns of rows: which of a table's own are the text, the class, the prompt, the answer; guessed, or named.

A mapping is role -> column, such as {text: review, label: sentiment}; the roles are the names that
rows.py explains. A column may lie inside another (`answers.text`), and several are joined by `+` to
one text, with a blank line between them (`premise+hypothesis`). A guess is by name, in any case of
letters: the first of `FORMS` that is all there, by whole names or else by last words, each of one
column alone (`Customer Review`). Where names do not tell, in any language, what the columns hold
does: prose beside a few values that return, or a question beside its answer.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.finetuning_data.rows import UnusableRow, kind_of, listed

Columns = dict[str, str]
"""Role -> column."""
ANSWER = ("completion", "answers.text", "answer.text", "answer", "answers", "response", "output", "target", "ideal")
ASKED = ("instruction+input", "instruction+context", "instruction", "context+question", "passage+question", "question",
         "query", "input", "problem")  # fmt: skip
BETTER: dict[str, tuple[str, ...]] = {
    "chosen": ("chosen", "chosen_messages", "preferred_output"),
    "rejected": ("rejected", "rejected_messages", "non_preferred_output"),
}
PAIR = ("premise+hypothesis", "sentence1+sentence2", "question1+question2", "text1+text2", "text_a+text_b",
        "question+sentence", "question+answer")  # fmt: skip
TEXT = ("text", "sentence", "review", "content", "document", "body", "tweet", "comment", "message", "utterance",
        "title+description", "headline", "question", "input")  # fmt: skip
LABEL = ("label", "labels", "gold_label", "sentiment", "category", "class", "target", "topic", "intent", "emotion",
         "polarity", "stance", "categories")  # fmt: skip
FORMS: tuple[dict[str, tuple[str, ...]], ...] = (
    {"prompt": ("prompt", "input.messages", "messages", "conversations", *ASKED), **BETTER},
    BETTER,
    {"messages": ("messages", "conversations", "conversation", "dialogue")},
    {"prompt": ("prompt",), "completion": ("completion",)},
    {"prompt": ASKED[:3], "completion": ("output",)},
    {"prompt": ("prompt",), "completion": ANSWER},
    {"text": PAIR, "label": ("label", "gold_label", "is_duplicate")},
    {"prompt": ASKED, "completion": ANSWER},
    {"text": TEXT, "label": LABEL},
    {"text": TEXT, "labels": LABEL},  # where one of both is named
)

MORE_LABELS = ("star", "stars", "rating", "score", "grade", "verdict", "type")
"""Words inside a name that tell which of several columns with few values is the class."""
MOST_CLASSES, LONGEST_CLASS, SHORTEST_PROSE = 100, 60, 16
"""Values of a column of classes; characters of each; bytes of a text."""


def parsed(text: str) -> Columns:
    """A mapping written as `text=review,label=sentiment`, a part in quotes if it has a comma; empty for an empty text.

    It may name some of a kind's roles alone: the others are guessed.

    Raises:
        UserError: it is none, or its roles are not those of one kind of row.
    """
    parts = next(csv.reader([text], skipinitialspace=True), [])
    pairs = [part.partition("=") for part in parts if part.strip()]
    mapping = {role.strip(): column.strip() for role, _, column in pairs}
    if mapping and not (all(mapping.values()) and any(mapping.keys() <= form.keys() for form in FORMS)):
        raise UserError(f"--columns {text}: give text=COLUMN,label=COLUMN, or a column for each of prompt and "
                        "completion, for messages, or for prompt, chosen and rejected; A+B joins two; where a name "
                        'has a comma, put its part in quotes: \'"text=A, B",label=C\'')  # fmt: skip
    return mapping


def refuse_shared(path: Path, columns: Columns) -> None:
    """Raise `UserError` if two roles have a column in common: the text would give the answer away."""
    for column, count in Counter(part for one in columns.values() for part in one.split("+")).items():
        if count > 1:
            roles = " and ".join(role for role, one in columns.items() if column in one.split("+"))
            raise UserError(f"{path}: {roles} are both the column {column}; name another column for one of them")


def columns_of(row: dict[str, Any], given: Columns | None = None) -> Columns:
    """The mapping of a row: the one given, or the guess from its filled columns, or else from all; empty if none fits.

    A guess keeps what is given of its roles.

    Where tables of several forms were united, the columns of the others are null, or empty in a
    csv.
    """
    names = [name for key, value in row.items() for name in _names(key, value)]
    filled = [name for name in names if value_of(row, name) not in (None, "", [])]
    mapping = given or {}
    if not kind_of(mapping):
        parts = tuple(mapping.items())
        mapping = _guess(tuple(filled), parts) or _guess(tuple(names), parts)
    if "label" in mapping and listed(value_of(row, mapping["label"])) is not None:
        mapping = {"labels" if role == "label" else role: column for role, column in mapping.items()}
    return mapping


def _names(key: str, value: Any) -> list[str]:
    """A column, or those inside it; a message is a whole."""
    inside = isinstance(value, dict) and not {"role", "from"} & value.keys()
    return [f"{key}.{name}" for name in value] if inside else [key]


@lru_cache(maxsize=1000)
def _guess(names: tuple[str, ...], parts: tuple[tuple[str, str], ...] = ()) -> Columns:
    given = dict(parts)
    left = [name for name in reversed(names) if name not in given.values()]
    whole = {name.strip().casefold().replace(" ", "_"): name for name in left}
    ends = Counter(name.rpartition("_")[2] for name in whole)
    by_end = {end: name for known, name in whole.items() if ends[end := known.rpartition("_")[2]] == 1}
    for known in (whole, by_end | whole):
        for form in [form for form in FORMS if given.keys() <= form.keys()]:
            mapping = {
                role: next((one for one in accepted if known.keys() >= set(one.split("+"))), "")
                for role, accepted in form.items()
                if role not in given
            }
            if all(mapping.values()):
                columns = {role: "+".join(known[part] for part in one.split("+")) for role, one in mapping.items()}
                return {role: (given | columns)[role] for role in form}
    return {}


def by_contents(rows: Sequence[dict[str, Any]], given: Columns) -> Columns:
    """The mapping of rows by what their columns hold, words in their names deciding between several; empty if none.

    Args:
        given: the part that is known, a text or a label.
    """
    names = [name for name in rows[0] if name not in given.values()]
    cells = {name: [str(row[name]).strip() for row in rows if row.get(name) not in (None, "", [])] for name in names}
    texts = {name: values for name, values in cells.items() if _is_prose(values)}
    labels = [name for name, values in cells.items() if name not in texts and _are_classes(values)]
    asks = {name: sum(value.endswith(("?", "\uff1f")) for value in values) for name, values in texts.items()}
    if not (labels or given) and len(texts) == 2 and min(asks.values()) < len(rows) / 2 < max(asks.values()):
        prompt, completion = sorted(texts, key=lambda name: -asks[name])
        return {"prompt": prompt, "completion": completion}
    text = _named(list(texts), TEXT) or sorted(texts, key=lambda name: -sum(map(len, texts[name])))[:1]
    named = _named([name for name in cells if name not in texts], LABEL + MORE_LABELS)  # no other in silence
    candidates = {"text": text, "label": [name for name in named or labels if name in labels]}
    if given.keys() == {"labels"}:
        del candidates["label"]
    candidates |= {role: [column] for role, column in given.items()}
    is_unique = len(candidates) == 2 and all(len(names) == 1 for names in candidates.values())
    return {role: names[0] for role, names in candidates.items()} if is_unique else {}


def _is_prose(values: list[str]) -> bool:
    """Whether most values are phrases, and most of them unlike; scripts without spaces count by their bytes."""
    phrases = [one for one in values if len(one.encode()) >= SHORTEST_PROSE and (" " in one or not one.isascii())]
    return 2 * len(set(phrases)) > len(values)


def _are_classes(values: list[str]) -> bool:
    kinds = set(values)
    return 1 < len(kinds) <= min(MOST_CLASSES, len(values) / 2) and max(map(len, kinds)) <= LONGEST_CLASS


def _named(names: list[str], words: Sequence[str]) -> list[str]:
    """Names that have one of the words, `StarsGiven` being two."""
    inside = {name: re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()) for name in names}
    return [name for name, words_of in inside.items() if {*words_of} & {*words}]


def value_of(row: dict[str, Any], column: str) -> Any:
    """Value of a row in a column, which may lie inside another, or join several; None without such a column.

    Raises:
        UnusableRow: a part of a joined text is no text.
    """
    if column in row or not {"+", "."} & set(column):
        return row.get(column)
    if "+" not in column:
        outer, _, inner = column.partition(".")
        return value_of(row[outer], inner) if isinstance(row.get(outer), dict) else None
    parts = {name: value_of(row, name) for name in column.split("+")}
    for name, part in parts.items():
        if not isinstance(part, str | None):
            raise UnusableRow(f"{name} is no text", f"{part!r:.40}; write it as a text, or as null where there is none")
    return "\n\n".join(part for part in parts.values() if part and part.strip())


def by_role(row: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """Role -> value; of several right answers, as SQuAD lists them, the first.

    Raises:
        UnusableRow: a part of a joined text is no text.
    """
    values = {role: value_of(row, column) for role, column in columns.items()}
    answers = values.get("completion")
    if isinstance(answers, list) and not any(isinstance(one, dict) for one in answers):
        values["completion"] = answers[0] if answers else None
    return values


def used_by(columns: Columns) -> set[str]:
    """Names that a mapping mentions, each with those that it lies inside."""
    return {name for column in columns.values() for part in (column, *column.split("+"))
            for name in (part, part.partition(".")[0])}  # fmt: skip


def in_words(columns: Columns) -> str:
    """A mapping as `text = review, label = sentiment`."""
    return ", ".join(f"{role} = {column.replace('+', ' + ')}" for role, column in columns.items())
