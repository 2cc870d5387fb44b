"""Rows for fine-tuning: chats, texts with labels, preferences, and what makes one unusable.

    messages                     list of {role, content}, or of ShareGPT's {from, value}, with or without a
                                 system message; content is a text or a list of parts, {type: text,
                                 text}; an answer with `weight` 0 is not learned
    prompt, completion           one question and its answer (texts, or lists of messages)
    text, label                  for a classifier: the one class of a text
    text, labels                 all classes of a text, a list that may be empty (in a csv, as JSON or as red;round)
    prompt, chosen, rejected     two answers, the better one first; without `prompt`, what both begin with

These are roles; columns.py says which columns of a table have them. The names are those of trl.
"""

import json
import re
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from components.core.errors import UserError
from components.core.plain_text import plain_name
from components.instruction_pairs.examples import Message
from components.params import Branch

Kind = Literal["chat", "label", "labels", "preference"]
WANTED: dict[Branch, str] = {
    "instruct": "chats (messages, or prompt and completion)", "classify": "text and label or labels",
    "prefer": "prompt, chosen and rejected",
}  # fmt: skip
ROLES = ("messages", "prompt", "completion", "text", "label", "labels", "chosen", "rejected")
SPEAKING = ("system", "user", "assistant")
SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}
"""Who speaks in ShareGPT's chats -> role."""
JOINED = re.compile(r"\s*[;|]\s*")
"""What stands between the names of several classes in a text."""
NOT_UTF8 = "not UTF-8"
"""Reason of a refused row."""
LONGEST_LABEL = 100
"""Characters of the name of a class."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns with at least one answer by the assistant.

    Attributes:
        where: file and line.
        cluster: name of the group of similar rows that a split has found it in.
    """

    messages: tuple[Message, ...]
    where: str
    cluster: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """Text that is compared with other rows; a system message, which many share, is none of it."""
        return "\n".join(message.content for message in self.messages if message.role != "system")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and the name of its class, or the names of all its classes in order."""

    text: str
    label: str | tuple[str, ...]
    where: str
    cluster: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt, the better and the worse answer to it."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    where: str
    cluster: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """Text that is compared with other rows: all answers to a prompt belong together."""
        return "\n".join(message.content for message in self.prompt if message.role != "system")


Row = Chat | Labelled | Preference


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not used: where it stands, the reason (a few fixed words, to be counted), and what was found."""

    where: str
    reason: str
    detail: str = ""


class UnusableRow(Exception):  # noqa: N818 - an answer, not an error
    """A row cannot be used: the reason, and what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def kind_of(names: Iterable[str]) -> Kind | None:
    """Kind of a row with these roles; None if they make up no row."""
    present = set(names)
    return next((kind for kind, known in KINDS.items() if any(one <= present for one in known.names)), None)


def raise_if_other_kind(branch: Branch, path: Path, kind: Kind) -> None:
    """Raise `UserError` if rows of this kind are for another branch."""
    if KINDS[kind].branch != branch:
        raise UserError(
            f"finetune.{branch}.data = {path}: its rows are of the kind {kind}, and {branch} learns from "
            f"{WANTED[branch]}; `greenhouse edit rows {path}` says where they belong"
        )


def refuse_empty(path: Path, rows: Sequence[Any], refused: Sequence[Refused]) -> None:
    """Raise if no row is left, or if more cannot be decoded than are, with what became of them.

    Raises:
        UserError: as said.
    """
    if not (rows or refused):
        raise UserError(f"{path}: no row, none below a header, or no text; give a file with rows")
    if not rows:
        raise UserError(f"{path}: no row is left to train on: {'; '.join(reason_lines(refused))}")
    undecoded = [row for row in refused if row.reason == NOT_UTF8]
    if len(undecoded) > len(rows):
        what = f"{len(undecoded)} rows are {NOT_UTF8}, {len(rows)} can be used"
        raise UserError(f"{path}: {what}: {'; '.join(reason_lines(undecoded))}")


def count_reasons(refused: Sequence[Refused]) -> dict[str, int]:
    """How many rows were refused by reason, the commonest first."""
    return dict(Counter(one.reason for one in refused).most_common())


def reason_lines(refused: Sequence[Refused]) -> list[str]:
    """A line for each reason: how many rows were refused, and the first of them."""
    lines = []
    for reason, count in count_reasons(refused).items():
        first = next(one for one in refused if one.reason == reason)
        lines.append(f"{count} x {reason}, first {first.where}" + (f" ({first.detail})" if first.detail else ""))
    return lines


def _chat(row: dict[str, Any], where: str) -> Chat:
    """A chat; an empty prompt or answer makes it unusable, since nothing says what to learn."""
    if "messages" in row:
        messages = _messages(_field(row, "messages"), "messages", "")
    else:
        question = _messages(_field(row, "prompt"), "prompt", "user")
        shown = [replace(one, learned=one.role != "assistant") for one in question]
        messages = (*shown, *_messages(_field(row, "completion"), "completion", "assistant"))
    _refuse_empty_prompt(messages)
    answers = [message for message in messages if message.role == "assistant"]
    if not answers:
        raise UnusableRow("no answer", "no message of the assistant")
    if not all(message.content.strip() for message in answers):
        raise UnusableRow("empty answer")
    if not any(message.learned for message in answers):
        raise UnusableRow("nothing to learn", "each answer has weight 0, or stands in the prompt")
    if not any(
        (one.role, other.role, other.learned) == ("user", "assistant", True) for one, other in pairwise(messages)
    ):
        raise UnusableRow("no question", "no message of the assistant follows one of the user")
    return Chat(messages, where)


def _refuse_empty_prompt(messages: Sequence[Message]) -> None:
    if any(message.role == "user" and not message.content.strip() for message in messages):
        raise UnusableRow("empty prompt")


def _text(row: dict[str, Any]) -> str:
    text = _field(row, "text")
    if not isinstance(text, str) or not text.strip():
        raise UnusableRow("empty text" if isinstance(text, str) else "text is no text")
    return text


def _name(label: Any) -> str:
    if isinstance(label, float) and label.is_integer():  # whole numbers of a column with gaps; in a csv they read `1.0`
        label = int(label)
    if label is None or str(label).strip() in ("", "nan", "NaN"):  # what pandas and numpy write where there is none
        raise UnusableRow("label missing")
    if isinstance(label, list | dict | float | bytes):
        raise UnusableRow(
            "label is no name",
            f"{str(label)[:40]} ({type(label).__name__}); a class has a whole number or a text as "
            "name, several go into `labels` as a list",
        )
    name = json.dumps(label) if isinstance(label, bool) else str(label).strip()  # `true`, as in a csv
    name = re.sub(r"^(-?\d+)\.0$", r"\1", name)
    if plain_name(name) != name or len(name) > LONGEST_LABEL:
        raise UnusableRow("label is no name", f"control characters, or more than {LONGEST_LABEL} characters")
    return name


def _label(row: dict[str, Any], where: str) -> Labelled:
    return Labelled(_text(row), _name(row.get("label")), where)


def _labels(row: dict[str, Any], where: str) -> Labelled:
    text, labels = _text(row), several(_field(row, "labels"))
    if labels is None:
        raise UnusableRow("labels are no list", 'such as ["red", "round"] or red;round')
    names = sorted(map(_name, labels))
    if len(set(names)) < len(names):
        raise UnusableRow("label twice", "give the names of a text's classes, not 0 or 1 for each class")
    return Labelled(text, tuple(names), where)


def _preference(row: dict[str, Any], where: str) -> Preference:
    """With `prompt`; or where both answers are whole chats, what they have in common."""
    chosen, rejected = (_messages(_turns(_field(row, name)), name, "assistant") for name in ("chosen", "rejected"))
    prompt = chosen[:-1] or _messages(_field(row, "prompt"), "prompt", "user")
    if rejected[:-1] not in ((), prompt):
        raise UnusableRow("two prompts", "`chosen` and `rejected` answer different prompts")
    if not prompt or not chosen or not rejected:
        raise UnusableRow("empty prompt" if not prompt else "empty answer")
    _refuse_empty_prompt(prompt)
    if any(messages[-1].role != "assistant" for messages in (chosen, rejected)):
        raise UnusableRow("no answer", "the last message is not the assistant's")
    best, worst = chosen[-1].content, rejected[-1].content
    if not best.strip() or not worst.strip():
        raise UnusableRow("empty answer")
    if best.strip() == worst.strip():
        raise UnusableRow("chosen equals rejected")
    return Preference(prompt, best, worst, where)


def _turns(value: Any) -> Any:
    """A chat written as one text, as in HH-RLHF, as messages; anything else as it is."""
    parts = re.split(r"(?:^|\n\n)(Human|Assistant): ?", value) if isinstance(value, str) else []
    if len(parts) < 5 or parts[0].strip():
        return value
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[speaker], "content": text} for speaker, text in zip(parts[1::2], parts[2::2], strict=True)]


def _field(row: dict[str, Any], name: str) -> Any:
    if row.get(name) is None:
        raise UnusableRow("missing field", name)
    return row[name]


def listed(value: Any) -> list[Any] | None:
    """A list, which a csv has as JSON, or as Python writes it; None for anything else."""
    for reader in (json.loads, literal_eval) if str(value).lstrip().startswith("[") else ():
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = reader(value) if isinstance(value, str) else value
    return value if isinstance(value, list) else None


def several(value: Any) -> list[Any] | None:
    """The classes of a text: a list, or names with `;` or `|` between them; None for anything else."""
    names = listed(value)
    return [name for name in JOINED.split(value) if name] if names is None and isinstance(value, str) else names


def _messages(value: Any, name: str, role: str) -> tuple[Message, ...]:
    """A text as one message of `role`, or a list of messages (in a csv, as JSON)."""
    if isinstance(value, str) and role:
        return (Message(role, value),)
    if role and isinstance(value, int | float):
        raise UnusableRow(
            f"{name} is a number", f'{value}; write it as a text, "{value}", or a class as `text` and `label`'
        )
    value = [value] if role and isinstance(value, dict) else listed(value)
    if not value:
        raise UnusableRow("no messages", f"{name} must be {'a text or ' if role else ''}a list of messages")
    messages = []
    for number, one in enumerate(map(_turn, value), 1):
        content = _words(one, f"{name}, message {number}")
        if one.get("role") not in SPEAKING:
            known = ", ".join((*SPEAKING, *SPEAKERS) if "from" in one else SPEAKING)
            raise UnusableRow("unknown role", f"{one.get('role')!r:.40} in message {number}; known are {known}")
        weight = one.get("weight")
        if weight not in (None, 0, 1):
            raise UnusableRow("weight is neither 0 nor 1", f"{weight!r:.40} in message {number}; write 0 or 1")
        messages.append(Message(one["role"], content, weight != 0))
    return tuple(messages)


def _turn(message: Any) -> Any:
    """A message as it is, or one of ShareGPT's as role and content."""
    if not isinstance(message, dict) or "from" not in message or message.get("role") is not None:
        return message
    speaker = message["from"]
    role = SPEAKERS.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return message | {"role": role, "content": message.get("value")}


def _words(message: Any, where: str) -> str:
    """The text of a message: its content, or the parts of it as they follow each other, which must all be texts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call")):
        raise UnusableRow("tool call", f"{where}; only texts are learned, so leave such chats out")
    parts: list[Any] = [content]
    if isinstance(content, list):
        kinds = [part.get("type") if isinstance(part, dict) else type(part).__name__ for part in content]
        if other := [kind for kind in kinds if kind != "text"]:
            raise UnusableRow(
                "message part that is no text", f"{where}: {other[0]!r:.40}; give parts of the type 'text'"
            )
        parts = [part.get("text", part.get("value")) for part in content] or [None]
    if not all(isinstance(part, str) for part in parts):
        raise UnusableRow("message without text", f"{where}; give each message a text, or leave the chat out")
    return "".join(parts)


@dataclass(frozen=True)
class KindOfRow:
    """One kind of row.

    Attributes:
        names: sets of names that nothing else has.
        branch: of fine-tuning, that learns from them.
        learned: what it learns of them, in words.
        check: a row by role, and where it stands -> the row, or `UnusableRow`.
    """

    names: tuple[set[str], ...]
    branch: Branch
    learned: str
    check: Callable[[dict[str, Any], str], Row]


CHAT = ({"messages"}, {"conversations"}, {"prompt", "completion"}, {"instruction", "output"})
KINDS: dict[Kind, KindOfRow] = {
    "preference": KindOfRow(({"chosen", "rejected"},), "prefer", "the better of two answers", _preference),
    "chat": KindOfRow(CHAT, "instruct", "the last answer of a chat", _chat),
    "label": KindOfRow(({"text", "label"},), "classify", "the label of a text", _label),
    "labels": KindOfRow(({"text", "labels"},), "classify", "the labels of a text", _labels),
}
"""Of a row with the names of several kinds, the first here is taken."""
