"""Claims: all that a signed folder says of its model, as one typed object, and how two of them differ.

They are the five answers with what they were taken from. No other file of the folder holds a fact
of its own, so whoever collects the claims again, from dvc.lock, the files, the ledger and MLflow,
has compared them all. What nobody recorded is `NotKnown` with the reason; a part that is known to
the signer and not here is not established, never taken as right.
"""

import re
from collections.abc import Iterator
from typing import Any

from components.stages.account.answers import ModelAnswers, NotKnown
from components.stages.account.types import AccountRecord
from components.studies.attestation.verdict import Finding


class GateVerdict(AccountRecord):
    """The gate's last answer on this version of the registered model."""

    registered: str
    version: str
    verdict: str
    champion: str
    reasons: list[str]


class Claims(ModelAnswers):
    """Claims about a model: its five answers, and where they come from.

    Attributes:
        files: file of the model -> sha256. md5: DVC's hash of its folder.
        lock: entries of dvc.lock of the stages behind the model, and of evaluate.
        commit: of the code that the model's own stage ran with; `+changes` if tracked files
            differed from it.
        environment: processor, system, Python and packages of that run.
        retrieved: first and last day on which text was read. personal: kind of personal data ->
            replaced.
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
STATED = ("cost", "environment", "commit", "verdict", "owner", "rebuild.commit", "rebuild.verified", "quality.champion")
"""Parts that rest on a ledger, on MLflow or on the owner's word. They are of one run and one time,
and may differ where another run made the same bytes, shared the machine, or was judged later: they
are shown beside the records here, and are never a difference."""
ESTABLISH = {"licence": "licences", "data": "licences", "retrieved": "licences", "personal": "licences",
             "quality": "scores"}  # fmt: skip
"""Other part -> item of a verdict; all that are not here are parameters."""


def halves(claims: Claims) -> tuple[dict[str, Any], dict[str, Any]]:
    """The claims as JSON: what can be established, and each of `STATED`."""
    tree, stated = claims.model_dump(mode="json"), dict[str, Any]()
    for part in STATED:
        above, _, name = part.rpartition(".")
        stated[part] = (tree[above] if above else tree).pop(name, None)
    return tree, stated


def compared(signed: Any, collected: Any, path: str = "") -> Iterator[Finding]:
    """Differences between two trees of JSON, and parts that are not known here.

    Args:
        signed: as signed. here: as collected again; `ABSENT` for a part that only one of them has.
    """
    item = ESTABLISH.get(re.split(r"\W", path)[0], "parameters")
    if is_unknown(collected) and not collected["is_none"]:
        if signed != collected:
            yield Finding(item, "unknown", f"{path}: {collected['not_known']}")
    elif isinstance(signed, dict) and isinstance(collected, dict) and not (is_unknown(signed) or is_unknown(collected)):
        for key in dict.fromkeys([*signed, *collected]):
            yield from compared(signed.get(key, ABSENT), collected.get(key, ABSENT), f"{path}.{key}".lstrip("."))
    elif isinstance(signed, list) and isinstance(collected, list) and len(signed) == len(collected):
        for index, pair in enumerate(zip(signed, collected, strict=True)):
            yield from compared(*pair, f"{path}[{index}]")
    elif type(signed) is not type(collected) or signed != collected:
        yield Finding(item, "no", f"{path}: signed {shown(signed)}, by the records here {shown(collected)}")


def is_unknown(value: Any) -> bool:
    """Whether a node of a JSON tree is a dumped `NotKnown`."""
    return isinstance(value, dict) and set(value) == set(NotKnown.model_fields)


def shown(value: Any) -> str:
    """A value on one line."""
    if is_unknown(value):
        value = f"not known: {value['not_known']}"
    text = "nothing" if value is ABSENT else str(value)
    return text if len(text) <= 70 else f"{text[:67]}..."
