"""Claims: all that a signed folder says of its model, as one typed object, and how two of them differ.

They are the five answers with what they were taken from. No other file of the folder holds a fact of its own, so
whoever collects the claims again, from dvc.lock, the files, the ledger and MLflow, has compared them all. What nobody
recorded is `NotKnown` with the reason; a part that is known to the signer and not here is not established, never taken
as right.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from components.stages.account.answers import ModelAnswers, NotKnown
from components.stages.account.types import AccountRecord


class GateVerdict(AccountRecord):
    """The gate's last answer on this version of the registered model."""

    registered: str
    version: str
    verdict: str
    champion: str
    reasons: list[str]


class Claims(ModelAnswers):
    """What is claimed of a model: its five answers, and where they come from.

    Attributes:
        files: file of the model -> sha256. md5: DVC's hash of its folder.
        lock: entries of dvc.lock of the stages behind the model, and of evaluate.
        commit: of the code that the model's own stage ran with; `+changes` if tracked files differed from it.
        environment: processor, system, Python and packages of that run.
        retrieved: first and last day on which text was read. personal: kind of personal data -> replaced.
        owner: what only the owner can say, by field.
    """

    files: dict[str, str]
    md5: str
    lock: dict[str, dict[str, Any]]
    commit: str | NotKnown
    environment: dict[str, str] | NotKnown
    verdict: GateVerdict | NotKnown
    retrieved: list[str]
    personal: dict[str, int]
    owner: dict[str, str]


ABSENT = object()
PARTS = {
    "stated": ("cost", "environment", "commit", "verdict", "rebuild", "quality.champion", "owner"),
    "licences": ("licence", "data", "retrieved", "personal"),
    "scores": ("quality",),
}  # fmt: skip
"""Item of a verdict -> parts of the claims; all others are parameters. What is stated rests on a ledger, on MLflow or
on the owner's word. It is of one run and one time, and may differ where another run made the same bytes, shared the
machine, or was judged later: it is shown beside the records here, and is never a difference."""


class Mismatch(NamedTuple):
    """A part of the claims that was not found as signed: its path, what is known of it, whether it is known here."""

    path: str
    text: str
    is_known: bool

    @property
    def item(self) -> str:
        """What the part is: an item that can be established, or "stated"."""
        return item_of(self.path)

    @property
    def differs(self) -> bool:
        """Whether it is another than a record here says of what can be established."""
        return self.is_known and self.item != "stated"


def compared(there: Any, here: Any, path: str = "") -> Iterator[Mismatch]:
    """What differs between two trees of JSON, and which parts nobody knows here.

    Args:
        there: as signed. here: as collected again; `ABSENT` for a part that only one of them has.
    """
    if is_unknown(here) and not here["is_none"]:
        if there != here:
            yield Mismatch(path, f"{path}: {here['not_known']}", is_known=False)
    elif isinstance(there, dict) and isinstance(here, dict) and not (is_unknown(there) or is_unknown(here)):
        for key in dict.fromkeys([*there, *here]):
            yield from compared(there.get(key, ABSENT), here.get(key, ABSENT), f"{path}.{key}".lstrip("."))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, pair in enumerate(zip(there, here, strict=True)):
            yield from compared(*pair, f"{path}[{index}]")
    elif type(there) is not type(here) or there != here:
        yield Mismatch(path, f"{path}: signed {shown(there)}, by the records here {shown(here)}", is_known=True)


def item_of(path: str) -> str:
    """What a part of the claims is, by its path: an item that can be established, or "stated"."""
    return next((item for item, parts in PARTS.items() if any(is_part(path, part) for part in parts)), "parameters")


def is_part(path: str, part: str) -> bool:
    """Whether a path is that of a part of the claims, or of something in it."""
    return re.split(r"\W", path)[: part.count(".") + 1] == part.split(".")


def is_unknown(value: Any) -> bool:
    """Whether a node of a JSON tree is a dumped `NotKnown`."""
    return isinstance(value, dict) and set(value) == set(NotKnown.model_fields)


def shown(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict) and "verdict" in value:
        return f"{value['registered']} version {value['version']}: {value['verdict']}"
    if is_unknown(value):
        value = f"not known: {value['not_known']}"
    text = "nothing" if value is ABSENT else str(value)
    return text if len(text) <= 70 else f"{text[:67]}..."
