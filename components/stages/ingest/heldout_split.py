"""The held-out cut: which groups are the exam.

A group is held out if sha256(salt, source, group) falls below the fraction, so its side depends on nothing but its
name: text that comes or goes elsewhere moves no group across, and no setting of a later stage can. A source with two
groups or more has at least one on each side: if the hash gives it none, its lowest (or highest) hash crosses over.
"""

from dataclasses import dataclass, field

from components.core.files import sha256_bytes


@dataclass
class _Range:
    """The lowest and highest hash seen in a source, and whose they are."""

    lowest: tuple[float, str]
    highest: tuple[float, str]


@dataclass
class HeldoutSplit:
    """Sees every document's group once (`see`), then tells each one's side (`holds_out`).

    Attributes:
        fraction: share of groups held out, in expectation.
        salt: changes which.
    """

    fraction: float
    salt: str
    _ranges: dict[str, _Range] = field(default_factory=dict)

    def position(self, source: str, group: str) -> float:
        """A number in [0, 1) that depends on salt, source and group alone."""
        digest = sha256_bytes(f"{self.salt}\n{source}\n{group}".encode())
        return int(digest[:13], 16) / 16**13

    def observe(self, source: str, group: str) -> None:
        """Take note of a group (as often as you like; memory does not grow with groups)."""
        place = (self.position(source, group), group)
        known = self._ranges.setdefault(source, _Range(place, place))
        known.lowest = min(known.lowest, place)
        known.highest = max(known.highest, place)

    def holds_out(self, source: str, group: str) -> bool:
        """Whether a group seen before is in the exam."""
        known = self._ranges[source]
        if self.is_single(source):
            return False
        if known.lowest[0] >= self.fraction:
            return group == known.lowest[1]
        if known.highest[0] < self.fraction:
            return group != known.highest[1]
        return self.position(source, group) < self.fraction

    def is_single(self, source: str) -> bool:
        """Whether a source has one group only, which is then trained on, and no exam."""
        return self._ranges[source].lowest == self._ranges[source].highest
