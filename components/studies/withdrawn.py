"""Models that must not be used any more: `withdrawn.json`, in git beside opt_out.txt, so that every clone knows them.

    {"0f343b0931126a20f133d67c2b018a3b.dir": {"date": "2026-12-01", "reason": "it saw a forgotten document"}}

The key is DVC's hash of the model's folder. Written by forgetting, by `promote --withdraw` and by hand; nothing is ever
taken out of it but by hand.
"""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from components.core.errors import UserError
from components.core.files import write_json
from components.core.plain_text import plain_name

FILE = "withdrawn.json"


class Withdrawal(BaseModel):
    """Why and when a model was withdrawn."""

    model_config = ConfigDict(extra="forbid")
    date: date
    reason: str = Field(min_length=1)


class _Withdrawals(RootModel[dict[str, Withdrawal]]):
    """DVC's hash of a model's folder -> its withdrawal."""


def withdrawals(root: Path) -> dict[str, Withdrawal] | None:
    """The list of a checkout by DVC's hash of the model; None where the checkout has no list.

    Raises:
        UserError: it is damaged. Nobody may take a damaged list for one that does not name a model.
    """
    path = root / FILE
    try:
        return _Withdrawals.model_validate_json(path.read_bytes()).root
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"{path}: damaged ({why}); take it from git (`git checkout {FILE}`)") from None


def withdraw(root: Path, models: Iterable[str], reason: str, on: date) -> list[str]:
    """Put models on the list of a checkout; the first reason of one that is on it already stays.

    Args:
        models: DVC's hash of each model's folder, as dvc.lock has it.

    Returns:
        The hashes that were not on the list before.
    """
    listed = withdrawals(root) or {}
    new = [md5 for md5 in dict.fromkeys(models) if md5 not in listed]
    listed |= dict.fromkeys(new, Withdrawal(date=on, reason=reason))
    if new:
        write_json(root / FILE, _Withdrawals(listed).model_dump(mode="json"))
    return new


def withdrawn(root: Path, md5: str | None) -> str:
    """The sentence about a withdrawn model, for whoever would use it; "" for any other."""
    entry = (withdrawals(root) or {}).get(md5 or "")
    return f"withdrawn on {entry.date}: {plain_name(entry.reason)} ({FILE})" if entry else ""
