"""Claims: all that a signed folder says of its model, as one typed object, and how two of them differ.

They are the five answers with what they were taken from. No other file of the folder holds a fact of its own, so
whoever collects the claims again, from dvc.lock, the files, the ledger and MLflow, has compared them all. What nobody
recorded is `NotKnown` with the reason; a part that is known to the signer and not here is not established, never taken
as right.
"""

import re
from typing import Any

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


NEVER_ASKED = "the gate was not asked about this model"
"""Said where the registry knows the model and no verdict on it."""
NONE_THERE_IS = (NEVER_ASKED, "account.licence is empty")
"""Beginnings of answers that say there is none, rather than that none is known here."""
ABSENT = object()
PARTS = {
    "stated": ("cost", "environment", "commit", "verdict", "rebuild", "quality.champion", "owner"),
    "licences": ("licence", "data", "retrieved", "personal"),
    "scores": ("quality",),
}  # fmt: skip
"""Item of a verdict -> parts of the claims; all others are parameters. What is stated rests on a ledger, on MLflow or
on the owner's word, which the signer could have rewritten before."""
LATER = ("rebuild.verified", "quality.champion", "verdict")
"""What may become known after a model was signed; what then speaks against it is a difference."""
FINDINGS = ("verdict", "result")
NOT_AGAINST = ("promote", "inconclusive", "identical")
"""Verdicts of the gate and results of a rebuild that do not speak against a model."""


def compared(there: Any, here: Any, path: str = "") -> tuple[list[str], list[str]]:
    """What differs between two trees of JSON, and which parts nobody knows here, in words.

    Args:
        there: as signed. here: as collected again; `ABSENT` for a part that only one of them has.
    """
    if is_unknown(here) and there == here:
        return [], []
    if is_unknown(here) and (is_unknown(there) or not here["not_known"].startswith(NONE_THERE_IS)):
        return [], [f"{path}: {here['not_known']}"]
    if is_unknown(there) and path in LATER and here is not ABSENT:
        told = f"{path}: not in card.json; here {shown(here)}"
        return ([told], []) if is_adverse(here) else ([], [told])
    if isinstance(there, dict) and isinstance(here, dict):
        keys = dict.fromkeys([*there, *here])
        pairs = [(f"{path}.{key}".lstrip("."), there.get(key, ABSENT), here.get(key, ABSENT)) for key in keys]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(there, here, strict=True))]
    elif type(there) is type(here) and there == here:
        return [], []
    else:
        return [f"{path}: signed {shown(there)}, recomputed {shown(here)}"], []
    parts = [compared(a, b, name) for name, a, b in pairs]
    return [line for wrong, _ in parts for line in wrong], [line for _, unreached in parts for line in unreached]


def item_of(path: str) -> str:
    """What a part of the claims is, by its path: an item that can be established, or "stated"."""
    return next((item for item, parts in PARTS.items() if re.match(rf"({'|'.join(parts)})(\W|$)", path)), "parameters")


def is_unknown(value: Any) -> bool:
    """Whether a node of a JSON tree is a dumped `NotKnown`."""
    return isinstance(value, dict) and set(value) == {"not_known"}


def is_adverse(value: Any) -> bool:
    """Whether it is a verdict or a rebuild that speaks against the model: one may have been left out on purpose."""
    return isinstance(value, dict) and any(value.get(name, NOT_AGAINST[0]) not in NOT_AGAINST for name in FINDINGS)


def shown(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict) and "verdict" in value:
        return f"{value['registered']} version {value['version']}: {value['verdict']}"
    text = "nothing" if value is ABSENT else str(value)
    return text if len(text) <= 70 else f"{text[:67]}..."
