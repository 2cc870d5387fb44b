"""Constants of energy and carbon: constants.json, each row with bounds, unit and source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

TABLE = Path(__file__).with_name("constants.json")


@dataclass(frozen=True)
class Bounds:
    """A figure with lower and upper bound; arithmetic is bound by bound."""

    low: float = 0
    mid: float = 0
    high: float = 0

    @classmethod
    def exactly(cls, value: float) -> Self:
        return cls(value, value, value)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.low - other.low, self.mid - other.mid, self.high - other.high)

    def __mul__(self, factor: float | Bounds) -> Bounds:
        other = factor if isinstance(factor, Bounds) else Bounds.exactly(factor)
        return Bounds(self.low * other.low, self.mid * other.mid, self.high * other.high)

    def as_list(self) -> list[Any]:
        return [self.low, self.mid, self.high]


@cache
def rows() -> dict[str, dict[str, Any]]:
    """Rows of the table by name: `low`, `mid`, `high`, `unit`, `source`, and more of some."""
    return json.loads(TABLE.read_bytes())


def bounds(name: str) -> Bounds:
    """Value of a constant."""
    row = rows()[name]
    return Bounds(row["low"], row["mid"], row["high"])


def described() -> dict[str, str]:
    """Each constant in words: value, unit and source."""
    return {
        name: f"{row['mid']:g} ({row['low']:g} to {row['high']:g}) {row['unit']}. {row['source']}"
        for name, row in rows().items()
    }
