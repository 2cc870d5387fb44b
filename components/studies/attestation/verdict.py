"""The verdict of a check: what was recomputed here, what is recorded and by whom, what is not established.

Its success is an allow-list: every item of the scope was looked at and found right. An exception,
an empty list or a part that nobody reached leaves an item open, and an open item is no success.
A record is somebody's word: whoever can write it can make it up. So a training or scores that are
on record, and were not repeated here, have a status of their own.
"""

from dataclasses import dataclass
from typing import Literal

Answer = Literal["no", "unknown", "recorded", "yes"]
"""Wrong; not to be told here; right by a record that was read; right, computed here. The worst comes first."""
ANSWERS: tuple[Answer, ...] = ("no", "unknown", "recorded", "yes")
Scope = Literal["all", "bytes"]
TRAINING = "training"
ITEMS = {
    "signature": "a signature by this key",
    "bytes": "these bytes, and files of claims that card.json makes",
    "chain": "the whole chain of stages in a dvc.lock here that records this model",
    "hashed": "files of that chain, hashed again",
    "licences": "each document's licence, read from its source again",
    "parameters": "parameters and other claims, as that dvc.lock and its files have them",
    "scores": "scores, measured again on these weights",
    "standing": "that it is not withdrawn",
    TRAINING: "that it was trained as claimed",
}
"""What can be established -> in words."""
SCOPES: dict[Scope, tuple[str, ...]] = {"all": tuple(ITEMS), "bytes": ("signature", "bytes")}
NOTE = "note"
"""Item of what is shown besides, and decides nothing: what only the signer says, what could not be looked at."""
WRONG, OPEN, ON_RECORD = 1, 2, 3
"""Exit statuses beside 0: any difference; an item that nobody could establish; all items right, and one of `REPEATED`
by a record alone."""
REPEATED = ("scores", TRAINING)
"""Items that are established only where they were done again here."""


@dataclass(frozen=True)
class Finding:
    """Result of a check of one item, in words.

    Attributes:
        item: of `ITEMS`, or `NOTE`. answer: one of `ANSWERS`.
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
        given = [finding.answer for finding in self.findings if finding.item == item]
        return min(given, key=ANSWERS.index, default="unknown")

    @property
    def wrong(self) -> list[str]:
        """Findings that differ, in any scope."""
        return [finding.text for finding in self.findings if finding.answer == "no"]

    @property
    def open_items(self) -> list[str]:
        """Items of the scope that are not established."""
        return [item for item in SCOPES[self.scope] if self.answer(item) in ("no", "unknown")]

    @property
    def status(self) -> int:
        """Exit status: 0 where every item of the scope was established, the training by a rebuild."""
        if self.wrong or self.open_items:
            return WRONG if self.wrong else OPEN
        return ON_RECORD if self.on_record else 0

    @property
    def on_record(self) -> list[str]:
        """Items of the scope that should be repeated here, and are known by a record alone."""
        return [item for item in SCOPES[self.scope] if item in REPEATED and self.answer(item) == "recorded"]

    def lists(self) -> dict[str, list[str]]:
        """Title -> lines: the three lists, and differences if there are any."""
        right = {NOTE, *ITEMS} - {item for item in ITEMS if self.answer(item) in ("no", "unknown")}

        def lines(answer: Answer) -> list[str]:
            return [one.text for one in self.findings if one.answer == answer and one.item in right]

        open_lines = list[str]()
        for item in (item for item in self.open_items if self.answer(item) == "unknown"):
            why = "; ".join(one.text for one in self.findings if (one.item, one.answer) == (item, "unknown"))
            open_lines.append(f"{ITEMS[item]}: {why or 'not looked at'}")
        return {
            "recomputed here": lines("yes"),
            "recorded, by whom and when": lines("recorded"),
            "not established": open_lines + lines("unknown"),
            "DIFFERENT": self.wrong,
        }
