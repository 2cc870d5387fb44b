"""Constants of energy and carbon: constants.json, each row with bounds, unit and source."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from components.carbon.spans import Bounds

TABLE = Path(__file__).with_name("constants.json")


@cache
def rows() -> dict[str, dict[str, Any]]:
    """Rows of the table by name: `low`, `mid`, `high`, `unit`, `source`, and what only this row has."""
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
