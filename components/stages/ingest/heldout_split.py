"""The split of groups into training text and held-out text.

A group is held out if sha256(salt, source, group) falls below the fraction, so its side depends on nothing but its
name: text that comes or goes elsewhere moves no group across, and no setting of a later stage can. A source with two
groups or more has at least one on each side: if the hash gives it none, its lowest (or highest) hash crosses over.
"""

from dataclasses import dataclass, field

from components.core.files import sha256_bytes

Position = tuple[float, str]
"""The hash of a group, in [0, 1), and its name."""


@dataclass
class HeldoutSplit:
    """The side of every group: first `observe` the group of every document, then call `holds_out`.

    Attributes:
        fraction: share of groups held out, in expectation.
        salt: changes which.
    """

    fraction: float
    salt: str
    _ranges: dict[str, tuple[Position, Position]] = field(default_factory=dict)

    def position(self, source: str, group: str) -> float:
        """A number in [0, 1) that depends on salt, source and group alone."""
        digest = sha256_bytes(f"{self.salt}\n{source}\n{group}".encode())
        return int(digest[:13], 16) / 16**13

    def observe(self, source: str, group: str) -> None:
        """Take note of a group (as often as you like; memory does not grow with groups)."""
        position = (self.position(source, group), group)
        lowest, highest = self._ranges.get(source, (position, position))
        self._ranges[source] = min(lowest, position), max(highest, position)

    def holds_out(self, source: str, group: str) -> bool:
        """Whether a group that was observed is held out."""
        lowest, highest = self._ranges[source]
        if self.is_single(source):
            return False
        if lowest[0] >= self.fraction:
            return group == lowest[1]
        if highest[0] < self.fraction:
            return group != highest[1]
        return self.position(source, group) < self.fraction

    def is_single(self, source: str) -> bool:
        """Whether a source has one group only, which is then trained on; nothing of it is held out."""
        lowest, highest = self._ranges[source]
        return lowest == highest
