"""Embodied carbon of machines, after ISO/IEC 21031:2024 (Software Carbon Intensity).

M = TE x TS x RS: what making the machine emitted, times the share of its life it was in use for this, times the share
of it that was reserved. Every constant is named in what is printed.
"""

from dataclasses import dataclass

from components.carbon.spans import Bounds
from greenhouse_record.metering import constants

YEAR_S = 365.25 * 86400


@dataclass(frozen=True)
class Embodied:
    """Grams, and what they rest on."""

    grams: Bounds
    source: str


def machine(kind: str, share_s: float, threads: int, gpus: int = 0) -> Embodied:
    """Embodied carbon of using a machine.

    Args:
        kind: row of constants.json (`server`, `workstation`, `laptop`).
        share_s: seconds of its wall clock, divided among what ran at once (`Spans.share_s`).
        threads: hardware threads of the machine; one with fewer than the row's is taken as a share of it.
        gpus: accelerators in use, each reserved wholly.
    """
    rows = constants.rows()
    row = rows[kind]
    reserved = min(1.0, threads / row["threads"]) if row["threads"] else 1.0
    grams = _share(kind, share_s) * reserved + _share("gpu", share_s) * gpus
    kg, years = row["mid"], row["lifetime_years"]
    source = f"{kind} of {kg} kg over {years} years, {reserved:.0%} reserved"
    if gpus:
        source += f"; {gpus} GPU of {rows['gpu']['mid']} kg each over {rows['gpu']['lifetime_years']} years"
    return Embodied(grams, source)


def _share(name: str, share_s: float) -> Bounds:
    life_s = constants.rows()[name]["lifetime_years"] * YEAR_S
    return constants.bounds(name) * (1000 * share_s / life_s)
