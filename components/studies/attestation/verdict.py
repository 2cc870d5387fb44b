"""The verdict of a check: what was established, what the signer states, what was not established.

Its success is an allow-list: every item of the scope was looked at and found right. An exception,
an empty list or a part that nobody reached leaves an item open, and an open item is no success.
"""

from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "no", "unknown"]
Scope = Literal["all", "bytes"]
ITEMS = {
    "signature": "a signature by this key",
    "bytes": "these bytes, and files of claims that card.json makes",
    "chain": "the whole chain of stages in a dvc.lock here that records this model",
    "hashed": "files of that chain, hashed again",
    "licences": "data and licences, collected again",
    "parameters": "parameters, collected again",
    "scores": "scores, collected again",
    "standing": "that it is not withdrawn",
}
"""What can be established, by recomputation alone -> in words."""
SCOPES: dict[Scope, tuple[str, ...]] = {"all": tuple(ITEMS), "bytes": ("signature", "bytes")}
STATED = "stated"
"""Item of what only the signer says. Where a record here says otherwise it is shown beside, and decides nothing."""
NOTE = "note"
"""Item of what could not be looked at besides, and decides nothing."""


@dataclass(frozen=True)
class Finding:
    """Result of a check of one item, in words.

    Attributes:
        item: of `ITEMS`, `STATED` or `NOTE`. answer: right, wrong, or not to be told here.
    """

    item: str
    answer: Answer
    text: str


@dataclass(frozen=True)
class CheckVerdict:
    """All that a check found, and what was asked of it."""

    findings: list[Finding]
    scope: Scope = "all"

    def answer(self, item: str) -> Answer:
        """The worst answer on an item; unknown where nobody looked."""
        given = {finding.answer for finding in self.findings if finding.item == item}
        if "no" in given:
            return "no"
        return "yes" if given == {"yes"} else "unknown"

    @property
    def wrong(self) -> list[str]:
        """Findings that differ, in any scope."""
        return [finding.text for finding in self.findings if finding.answer == "no"]

    @property
    def open_items(self) -> list[str]:
        """Items of the scope that are not established."""
        return [item for item in SCOPES[self.scope] if self.answer(item) != "yes"]

    @property
    def status(self) -> int:
        """Exit status: 1 for any difference, 0 where every item of the scope was established, else 2."""
        if self.wrong:
            return 1
        return 2 if self.open_items else 0

    def lists(self) -> dict[str, list[str]]:
        """Title -> lines: the three lists, and differences if there are any."""
        established = [item for item in ITEMS if self.answer(item) == "yes"]
        items_by_title = {
            "established by recomputation": established,
            "stated by the signer": [STATED],
            "not established": [NOTE],
        }
        lines = {
            title: [one.text for one in self.findings if one.item in items and one.answer != "no"]
            for title, items in items_by_title.items()
        }
        open_lines = list[str]()
        for item in self.open_items:
            why = "; ".join(one.text for one in self.findings if one.item == item and one.answer != "yes")
            open_lines.append(f"{ITEMS[item]}: {why or 'not looked at'}")
        return lines | {"not established": open_lines + lines["not established"], "DIFFERENT": self.wrong}
