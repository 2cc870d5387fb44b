"""Claims: everything the documents of an attestation are made from, as one typed object, and how two of them differ.

The documents hold no fact of their own: whoever collects the claims again, from the files, the ledger and MLflow, can
make every document anew and compare. What nobody recorded is `NotKnown` with the reason; a part that is known in the
attestation and not here is named as not checked, never taken as checked.
"""

from typing import Any

from components.stages.account.answers import ModelAnswers, NotKnown
from components.stages.account.types import AccountRecord, Triple


class StageEnergy(AccountRecord):
    """Energy and carbon of a stage behind the model, attempts included: low, mid, high."""

    kwh: Triple
    grams: Triple


class GateVerdict(AccountRecord):
    """The gate's last answer on this version of the registered model."""

    registered: str
    version: str
    verdict: str
    champion: str
    reasons: list[str]


class Claims(AccountRecord):
    """What is claimed of a model.

    Attributes:
        files: file of the model -> sha256. md5: DVC's hash of its folder.
        lock: entries of dvc.lock of the stages behind the model, and of evaluate.
        commit: of the code that the model's own stage ran with; `+changes` if tracked files differed from it.
        environment: processor, system, Python and packages of that run.
        energy: stage -> its cost.
        source_kinds: source -> its settings. sources: source -> documents and bytes trained on, repeats left out.
        generated: kind of generated text -> documents and bytes in the mixture. retrieved: first and last day.
        read: source -> what ingest read, kept, dropped and put aside. personal: kind of personal data -> replaced.
        shards: file of the mixture and of the held-out set -> sha256. croissant: their description.
        owner: what only the owner can say, by field.
    """

    files: dict[str, str]
    md5: str
    lock: dict[str, dict[str, Any]]
    answers: ModelAnswers
    commit: str | NotKnown
    environment: dict[str, str] | NotKnown
    verdict: GateVerdict | NotKnown
    energy: dict[str, StageEnergy] | NotKnown
    source_kinds: dict[str, dict[str, Any]]
    sources: dict[str, dict[str, int]]
    generated: dict[str, dict[str, int]]
    retrieved: list[str]
    read: dict[str, dict[str, Any]]
    personal: dict[str, int]
    shards: dict[str, str]
    croissant: dict[str, Any]
    owner: dict[str, str]


NEVER_ASKED = "the gate was not asked about this model"
"""Said where the registry knows the model and no verdict on it."""
NONE_THERE_IS = (NEVER_ASKED, "account.licence is empty")
"""Beginnings of answers that say there is none, rather than that none is known here."""
LATER = ("answers.rebuild.verified", "answers.quality.champion", "verdict")
"""What may become known after a model was attested; what then speaks against it is a difference."""
FINDINGS = ("verdict", "result")
NOT_AGAINST = ("promote", "inconclusive", "identical")
"""Verdicts of the gate and results of a rebuild that do not speak against a model."""


def compared(there: Any, here: Any, path: str = "") -> tuple[list[str], list[str]]:
    """What differs between two trees of JSON, and which parts nobody knows here, in words.

    Args:
        there: as attested. here: as collected again.
    """
    if there == here:
        return [], []
    if is_unknown(here) and (is_unknown(there) or not here["not_known"].startswith(NONE_THERE_IS)):
        return [], [f"{path}: {here['not_known']}"]
    if is_unknown(there) and path in LATER:
        told = f"{path}: not in the attestation; here {shown(here)}"
        return ([told], []) if is_adverse(here) else ([], [told])
    if isinstance(there, dict) and isinstance(here, dict):
        pairs = [(f"{path}.{key}".lstrip("."), there.get(key), here.get(key)) for key in dict.fromkeys([*there, *here])]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(there, here, strict=True))]
    else:
        return [f"{path}: attested {shown(there)}, recomputed {shown(here)}"], []
    parts = [compared(a, b, name) for name, a, b in pairs]
    return [line for wrong, _ in parts for line in wrong], [line for _, unreached in parts for line in unreached]


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
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 70 else f"{text[:67]}..."
